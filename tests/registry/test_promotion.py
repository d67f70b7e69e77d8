"""The promotion rule: a pure function of candidate, incumbent, policy and the paired difference; and its policy's file."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from registry.models import production
from registry.models.packaging import FACT
from registry.models.production import Policy, Production, decide, read_policy
from registry.models.versions import NAME, Version, VersionMetric, Versions
from tests.registry.conftest import paint_dataset
from vad.measures.metrics import Difference

CANDIDATE = VersionMetric("7", "ap", 0.62, "street")
INCUMBENT = replace(CANDIDATE, version="3", value=0.61)
POLICY = Policy(same_data=True, min_gain=0.0, confidence=0.5)
SURE = Difference(0.01, 0.002, 0.03, 5, 0.98)
FEW = Difference(0.01, 0.01, 0.01, 2, 1.0)


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
    assert "scores of version 3 are missing or altered" in decision.reason


def test_too_few_videos_cannot_make_sure():
    decision = decide(CANDIDATE, INCUMBENT, POLICY, FEW)
    assert not decision.promote
    assert "2 videos are too few to say how surely" in decision.reason


def test_other_data_or_another_metric_cannot_be_compared():
    for other in (replace(INCUMBENT, protocol="yard"), replace(INCUMBENT, metric="proxy_ap")):
        decision = decide(replace(CANDIDATE, value=0.99), other, POLICY, SURE)
        assert not decision.promote
        assert "`vad promote 7` makes version 7 production all the same" in decision.reason


def test_a_policy_may_compare_across_data_but_never_metrics():
    loose = POLICY.model_copy(update={"same_data": False})
    assert decide(CANDIDATE, replace(INCUMBENT, protocol="yard"), loose).promote
    assert not decide(CANDIDATE, replace(INCUMBENT, metric="proxy_ap"), loose).promote


def test_production_stays_production():
    assert decide(CANDIDATE, CANDIDATE, POLICY).reason == "version 7 is production already"


def test_the_policy_of_the_working_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_policy() == POLICY, "the one that comes with the project"
    Path("promotion.yaml").write_text("same_data: true\nmin_gain: 0.01\nconfidence: 0.95\n")
    assert read_policy() == Policy(same_data=True, min_gain=0.01, confidence=0.95)
    Path("promotion.yaml").rename("Promotion.YAML")
    assert read_policy() == Policy(same_data=True, min_gain=0.01, confidence=0.95)


def test_a_policy_that_is_there_and_cannot_be_read_is_not_passed_over(tmp_path, monkeypatch, refuses):
    monkeypatch.chdir(tmp_path)
    Path("promotion.yaml").symlink_to("gone.yaml")
    with refuses("cannot read promotion.yaml: No such file or directory"):
        read_policy()
    Path("promotion.yaml").unlink()
    Path("promotion.yml").mkdir()
    with refuses("cannot read promotion.yml: Is a directory"):
        read_policy()


def add(tracking, metric):
    """A version with this metric, of files that nobody looks at here."""
    tags = {"vad.figure": metric.metric, "vad.value": str(metric.value), "vad.protocol": metric.protocol}
    client = tracking.client
    with suppress(MlflowException):
        client.create_registered_model(NAME)
    made = client.create_model_version(NAME, str(Path.cwd()), None, {**tags, FACT: "0"})
    return Version(str(made.version), "", tags, "")


@pytest.fixture
def machines(workspace, tmp_path, monkeypatch):
    """Two machines that decide on one store, each with files of its own; and a version that is production."""
    monkeypatch.setattr(production, "compare_scores", lambda *_: SURE)
    for name in ("whole", "complete"):
        monkeypatch.setattr(Versions, name, lambda *_: True)
    tracking = workspace.tracking()
    versions = Versions(tracking)
    first = add(tracking, INCUMBENT)
    ours, theirs = (Production(versions, tmp_path / name) for name in ("ours", "theirs"))
    ours.promote(first, "the first")
    return ours, theirs


@pytest.mark.parametrize(("value", "number", "action"), [(0.70, "2", "refused"), (0.615, "3", "promoted")])
def test_of_two_machines_that_promote_at_once_the_better_version_stays(machines, monkeypatch, value, number, action):
    ours, theirs = machines
    versions = ours._versions
    other = add(ours._tracking, replace(CANDIDATE, value=value))
    candidate = add(ours._tracking, CANDIDATE)
    look = production.decide

    def decide_slowly(*given):
        monkeypatch.setattr(production, "decide", look)
        decision = look(*given)
        theirs.promote(other, "just now, elsewhere")
        return decision

    monkeypatch.setattr(production, "decide", decide_slowly)
    decision = ours.consider(candidate)
    assert versions.alias("production").number == number == ours._history.last().version
    assert "version 2" in decision.reason and decision.promote == (action == "promoted")


@pytest.mark.parametrize("part", ["point", "make_production", "tag"])
@pytest.mark.parametrize("done", ["promote", "rollback"])
def test_a_decision_that_was_cut_off_in_any_part_is_completed_by_the_next_reader_and_the_next_decision(
    workspace, machines, monkeypatch, part, done
):
    ours, theirs = machines
    versions, second = ours._versions, add(ours._tracking, CANDIDATE)
    if done == "rollback":
        ours.promote(second, "by hand")
    cut = (lambda: ours.promote(second, "by hand")) if done == "promote" else ours.rollback
    with monkeypatch.context() as patch:
        patch.setattr(Versions, part, _killed)
        with pytest.raises(KeyboardInterrupt):
            cut()
    decided = "2" if done == "promote" else "1"
    assert versions.resolve("production").number == decided
    third = add(ours._tracking, replace(CANDIDATE, value=0.1))
    assert not theirs.consider(third).promote
    assert versions.alias("production").number == decided
    assert versions.alias("previous").number == {"1": "2", "2": "1"}[decided]


def _killed(*_):
    raise KeyboardInterrupt


def test_an_alias_that_was_cut_off_is_completed_by_hand_too(workspace, machines, monkeypatch):
    ours, _ = machines
    second = add(ours._tracking, CANDIDATE)
    with monkeypatch.context() as patch:
        patch.setattr(Versions, "make_production", _killed)
        with pytest.raises(KeyboardInterrupt):
            ours.promote(second, "by hand")
    assert "was cut off" in workspace.vad("doctor").stdout
    assert "version 2 is production" in workspace.done("promote", "v2")
    assert ours._versions.alias("production").number == "2"
    assert "production already" in workspace.refused("promote", "v2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("same_data: true\nmin_gian: 0.1\nconfidence: 0.5\n", 'line 2: min_gian: unknown key; did you mean "min_gain"?'),
        ("same_data: true\nmin_gain: -1\nconfidence: 0.5\n", "line 2: min_gain: input should be greater than or equal to 0"),
        ("same_data: true\nmin_gain: 0\nconfidence: 95\n", "line 3: confidence: input should be less than or equal to 1"),
        ("same_data: true\nmin_gain: 0\n", "confidence: this key is missing"),
        ("same_data: true\nsame_data: true\nmin_gain: 0\nconfidence: 1\n", "line 1: same_data: this key appears twice"),
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
    demo = VersionMetric("1", "ap", 0.9, "the demo's", trial="the demo street")
    real = VersionMetric("2", "ap", 0.5, "avenue")
    policy = Policy(same_data=True, min_gain=0, confidence=0)
    assert decide(real, demo, policy).promote
    assert not decide(demo, real, policy).promote
    loose = policy.model_copy(update={"same_data": False})
    assert decide(demo, real, loose).reason.startswith("version 1 is of the demo street, which is only for trying")


def test_a_model_that_a_profile_trained_briefly_takes_production_from_none_of_other_data(trained):
    paint_dataset(trained.folder / "other", seed=1)
    trial = "version 2 is of profile demo, which is only for trying things out"
    said = trained.done("run", "tiny", "--data", "other", "--profile", "demo")
    assert f"not promoted: {trial}; `vad promote 2` makes version 2 production all the same" in said
    trained.done("promote", "2")
    said = trained.done("run", "tiny", "--data", "data", "--set", "train.epochs=1")
    assert f"now production: {trial}" in said


def test_two_models_that_are_both_for_trying_out_are_told_as_such():
    demo = VersionMetric("1", "ap", 0.9, "the demo's", trial="the demo street")
    brief = VersionMetric("2", "ap", 0.9, "avenue", trial="profile demo")
    said = decide(brief, demo, Policy(same_data=True, min_gain=0, confidence=0))
    assert not said.promote
    both = "versions 1 and 2 are both only for trying things out (the demo street; profile demo)"
    fix = "a run with `--profile full` on your own data takes production, or `vad promote 2` makes"
    assert said.reason.startswith(f"{both} and were measured on different data, so the two cannot be compared; {fix}")


def test_a_bank_is_the_same_under_every_profile(workspace):
    bank = "{model: nearest_cells, input: {flow_cells: 16}, size: 64, aspect: keep, stride: 1}"
    streams = "{flow: {members: flow, reduce: {top: 3}, steps: [{fill: nearest}]}}"
    entry = f"name: bank\nhypothesis: H.\nmembers: {{flow: {bank}}}\nstreams: {streams}\nvariants: {{flow: {{stream: flow}}}}\n"
    Path("experiments/bank.yaml").write_text(entry)
    workspace.done("run", "bank", "--data", "data", "--profile", "demo")
    assert Versions(workspace.tracking()).resolve("production").metric().trial == ""
