"""Every experiment of the project: it begins with its command, validates, builds, and has the reference's networks."""

from pathlib import Path

import pytest
import torch

from registry.loading import load_entry
from registry.plan import make_plan, rehearse

EXPERIMENTS = sorted((Path(__file__).parents[1] / "experiments").rglob("*.yaml"))
PARAMETERS = {
    "phase1_convae_mean": {"ae": 9_780_803},
    "phase2_max_error": {"ae": 7_683_523},
    "phase5_multiscale": {"small": 5_842_307, "medium": 7_683_523, "large": 22_388_291},
}
VARIANTS = {
    "phase1_convae_mean": ["mean"],
    "phase2_max_error": [
        "mean100", "mean80", "mean70", "mean60", "mean50", "mean40", "max100",
        "model1_mean60", "model2_mean60", "model3_mean60",
    ],
    "phase5_multiscale": ["small_only", "medium_only", "large_only", "equal", "medium_heavy", "max"],
}  # fmt: skip


def test_there_are_experiments():
    assert {path.stem for path in EXPERIMENTS} >= set(PARAMETERS)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_validates_builds_and_says_what_to_expect(path):
    loaded = load_entry(str(path))
    head = loaded.source.splitlines()
    assert head[0] == f"# make run EXP={path.stem}"
    comment = "\n".join(line for line in head if line.startswith("#"))
    for word in ("Hypothesis:", "Expect:", "Cost:"):
        assert word in comment
    plan = make_plan(loaded, torch.device("cpu"), labelled=True)
    counts = rehearse(plan)
    assert {plan.members[name].group: count for name, count in counts.items()} == PARAMETERS[path.stem]
    assert list(plan.variants) == VARIANTS[path.stem]
    assert plan.holdout == 0


def test_members_of_one_recipe_are_one_member_whatever_they_are_called():
    plan = make_plan(load_entry(str(EXPERIMENTS[-1])), torch.device("cpu"), labelled=True)
    digests = [member.digest("frames") for member in plan.members.values()]
    assert len(set(digests)) == len(digests) == 6
