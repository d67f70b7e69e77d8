"""The promotion rule: a pure function of candidate, incumbent, policy and the paired difference; and its policy's file."""

from dataclasses import replace
from pathlib import Path

import pytest

from registry.models import gate
from registry.models.promotion import Policy, Standing, decide, read_policy
from registry.models.versions import Version
from vad.metrics import Difference

CANDIDATE = Standing("7", "ap", 0.62, "street")
INCUMBENT = replace(CANDIDATE, version="3", value=0.61)
POLICY = Policy(same_data=True, min_gain=0.0, confidence=0.5)
SURE = Difference(0.01, 0.002, 0.03, 5, 0.98)


def test_the_first_version_is_promoted():
    assert decide(CANDIDATE, None, POLICY).promote


def test_a_better_version_on_the_same_data_is_promoted():
    decision = decide(CANDIDATE, INCUMBENT, POLICY, SURE)
    assert decision.promote
    assert decision.reason == (
        "better: ap 0.6200 against 0.6100 of version 3; in 98% of the draws of 5 videos the better one"
    )


def test_an_equal_or_worse_version_is_not_promoted():
    for value in (0.62, 0.63):
        decision = decide(CANDIDATE, replace(INCUMBENT, value=value), POLICY, SURE)
        assert not decision.promote
        assert decision.reason == f"not better: ap 0.6200 against {value:.4f} of version 3"


def test_a_gain_below_the_least_is_not_enough():
    decision = decide(CANDIDATE, INCUMBENT, POLICY.model_copy(update={"min_gain": 0.02}), SURE)
    assert not decision.promote
    assert decision.reason.startswith("better by 0.0100, less than min_gain 0.02: ")


def test_a_gain_must_be_as_sure_as_the_policy_asks():
    strict = POLICY.model_copy(update={"confidence": 0.95})
    assert decide(CANDIDATE, INCUMBENT, strict, SURE).promote
    decision = decide(CANDIDATE, INCUMBENT, strict, replace(SURE, better=0.9))
    assert not decision.promote
    assert "in 90% of the draws of 5 videos the better one, and 95% is asked" in decision.reason
    assert decide(CANDIDATE, INCUMBENT, strict.model_copy(update={"confidence": 0.0}), None).promote


def test_scores_that_are_gone_cannot_make_sure():
    decision = decide(CANDIDATE, INCUMBENT, POLICY, None)
    assert not decision.promote
    assert "scores of version 3 are gone" in decision.reason


def test_other_data_or_another_figure_cannot_be_compared():
    for other in (replace(INCUMBENT, protocol="yard"), replace(INCUMBENT, figure="proxy_ap")):
        decision = decide(replace(CANDIDATE, value=0.99), other, POLICY, SURE)
        assert not decision.promote
        assert "`vad promote 7` makes version 7 production all the same" in decision.reason


def test_a_policy_may_compare_across_data_but_never_figures():
    loose = POLICY.model_copy(update={"same_data": False})
    assert decide(CANDIDATE, replace(INCUMBENT, protocol="yard"), loose).promote
    assert not decide(CANDIDATE, replace(INCUMBENT, figure="proxy_ap"), loose).promote


def test_production_stays_production():
    assert decide(CANDIDATE, CANDIDATE, POLICY).reason == "version 7 is production already"


def test_the_policy_of_the_working_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_policy() == POLICY, "the one that comes with the project"
    Path("promotion.yaml").write_text("same_data: true\nmin_gain: 0.01\nconfidence: 0.95\n")
    assert read_policy() == Policy(same_data=True, min_gain=0.01, confidence=0.95)


class Shared:
    """A model's versions in a store on which another machine promotes, just before this one looks again."""

    def __init__(self, *others):
        self.production, self.others, self.decided = version(INCUMBENT), list(others), []

    def alias(self, _name):
        return self.production

    def promote(self, candidate, _reason):
        self.production = candidate
        self.decided.append("promoted")

    def refuse(self, _candidate, _reason):
        self.decided.append("refused")

    def confirm(self, _incumbent):
        self.decided.append("confirmed")

    def compare(self, *_):
        if self.others:
            self.production = version(self.others.pop(0))
        return SURE


def version(standing):
    tags = {"vad.figure": standing.figure, "vad.value": str(standing.value), "vad.protocol": standing.protocol}
    return Version(standing.version, "", tags, "")


@pytest.mark.parametrize(("value", "number", "decided"), [(0.70, "8", "refused"), (0.615, "7", "promoted")])
def test_of_two_machines_that_promote_at_once_the_better_version_stays(monkeypatch, tmp_path, value, number, decided):
    versions = Shared(replace(CANDIDATE, version="8", value=value))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gate, "compare_scores", versions.compare)
    decision = gate.consider(version(CANDIDATE), versions, None, tmp_path)
    assert (versions.production.number, versions.decided) == (number, [decided])
    assert "version 8" in decision.reason


def test_who_was_overtaken_and_is_not_better_leaves_a_true_record(monkeypatch, tmp_path):
    versions = Shared()
    better = version(replace(CANDIDATE, version="8", value=0.7))

    def overtaken(_candidate, _reason):
        versions.production = better
        versions.decided.append("promoted")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gate, "compare_scores", versions.compare)
    monkeypatch.setattr(versions, "promote", overtaken)
    assert not gate.consider(version(CANDIDATE), versions, None, tmp_path).promote
    assert versions.decided == ["promoted", "refused", "confirmed"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("same_data: true\nmin_gian: 0.1\nconfidence: 0.5\n", 'line 2: min_gian: there is no such key; did you mean "min_gain"?'),
        ("same_data: true\nmin_gain: -1\nconfidence: 0.5\n", "line 2: min_gain: input should be greater than or equal to 0"),
        ("same_data: true\nmin_gain: 0\nconfidence: 95\n", "line 3: confidence: input should be less than or equal to 1"),
        ("same_data: true\nmin_gain: 0\n", "confidence: field required"),
        ("same_data: true\nsame_data: true\nmin_gain: 0\nconfidence: 1\n", "line 1: same_data: this key is there twice"),
        ("[1, 2]\n", "the file: "),
        ("", "the file: "),
    ],
)  # fmt: skip
def test_a_policy_with_a_fault_is_refused_with_its_line(tmp_path, monkeypatch, text, said, capsys):
    from vad.errors import InputError

    monkeypatch.chdir(tmp_path)
    Path("promotion.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_policy()
    assert said in str(caught.value), str(caught.value)
    assert "promotion.yaml" in str(caught.value)


def test_a_model_of_the_demo_street_gives_way_to_one_of_other_data_and_never_the_reverse():
    demo = Standing("1", "ap", 0.9, "the demo's", demo=True)
    real = Standing("2", "ap", 0.5, "avenue")
    policy = Policy(same_data=True, min_gain=0, confidence=0)
    assert decide(real, demo, policy).promote
    assert not decide(demo, real, policy).promote
