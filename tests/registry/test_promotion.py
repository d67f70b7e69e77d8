"""The promotion rule as a pure function."""

from dataclasses import replace

from registry.models.promotion import Standing, decide

CANDIDATE = Standing("7", "ap", 0.62, "street")


def test_the_first_version_is_promoted():
    assert decide(CANDIDATE, None).promote


def test_a_better_version_on_the_same_data_is_promoted():
    decision = decide(CANDIDATE, replace(CANDIDATE, version="3", value=0.61))
    assert decision.promote
    assert decision.reason == "better: ap 0.6200 against 0.6100 of version 3"


def test_an_equal_or_worse_version_is_not_promoted():
    for value in (0.62, 0.63):
        decision = decide(CANDIDATE, replace(CANDIDATE, version="3", value=value))
        assert not decision.promote
        assert decision.reason == f"not better: ap 0.6200 against {value:.4f} of version 3"


def test_other_data_or_another_figure_cannot_be_compared():
    for other in (replace(CANDIDATE, version="3", protocol="yard"), replace(CANDIDATE, version="3", figure="proxy_ap")):
        decision = decide(replace(CANDIDATE, value=0.99), other)
        assert not decision.promote
        assert "`vad promote 7` makes version 7 production all the same" in decision.reason


def test_production_stays_production():
    assert decide(CANDIDATE, CANDIDATE).reason == "version 7 is production already"
