"""Two runs side by side, and the leaderboard's ties, on made-up scores whose figures are computed here again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from registry.analysis.changes import plan_changes
from registry.analysis.compare import as_text, compare
from registry.store.tracking import Tracking
from tests.registry.conftest import paint_dataset
from vad.measures.metrics import shortfall


def table_of(workspace, name):
    scores = pd.read_csv(workspace.folder / f"{name}.csv")
    labels = pd.read_csv(workspace.folder / "labels.csv")["Label"].to_numpy(bool)
    video = scores["Id"].str.split("_").str[0].astype(int).to_numpy()
    return video, labels, scores["Predicted"].to_numpy()


def test_the_difference_its_interval_and_the_videos_where_it_is_won(blends):
    found = json.loads(blends.done("compare", "bad:plain", "good:plain", "--json"))
    (video, labels, bad), (_, _, good) = table_of(blends, "bad"), table_of(blends, "good")
    whole = average_precision_score(labels, good) - average_precision_score(labels, bad)
    assert found["difference"]["ap"] == pytest.approx(whole, abs=1e-12)
    assert found["difference"]["low"] < whole < found["difference"]["high"]
    assert found["difference"]["low"] > 0 and found["difference"]["better"] == 1.0
    assert [row["video"] for row in found["videos"]] == [1, 2, 3, 4]
    assert sum(row["share"] for row in found["videos"]) == pytest.approx(whole, abs=1e-12)
    lost = shortfall(bad, labels) - shortfall(good, labels)
    for row in found["videos"]:
        here = video == row["video"]
        assert row["share"] == pytest.approx(lost[here].sum(), abs=1e-12)
        if row["video"] == 4:
            assert row["a"] is None, "no anomaly, no AP"
            assert row["share"] > 0, "but false alarms"
        else:
            assert row["b"] == pytest.approx(average_precision_score(labels[here], good[here]), abs=1e-12)
    assert "B is better" in blends.done("compare", "bad:plain", "good:plain")
    assert "A is better" in blends.done("compare", "good:plain", "bad:plain")


@pytest.mark.parametrize("videos", [1, 2])
def test_two_videos_give_no_interval(blends, videos):
    found = compare("bad:plain", "good:plain", Path(".vad"))
    few = replace(found, difference=replace(found.difference, videos=videos))
    said = next(line for line in as_text(few).splitlines() if line.startswith("B less A"))
    assert said.endswith(
        f"{videos} video{'s' if videos > 1 else ''}, too few for an interval: nothing shows whether that is chance"
    )
    assert "better" not in said


def test_what_differs_is_told_by_its_keys(blends):
    text = blends.done("compare", "good:plain", "good:smooth")
    assert "variant: plain -> smooth" in text
    assert "steps: [] -> [{gaussian: {sigma: 1.0}}]" in text
    assert "data   the same" in text
    text = blends.done("compare", "good", "close")
    assert "streams.made.scores: good.csv -> close.csv" in text
    assert "undecided" in text
    assert text.splitlines()[0] == Tracking().find("experiment")[0].experiment


def test_runs_on_different_data_are_told_with_the_data_of_each(trained):
    paint_dataset(trained.folder / "other", seed=1)
    trained.done("run", "tiny", "--data", "other")
    runs = {run.tags["vad.data_name"]: run for run in Tracking().find("experiment")}
    text = trained.done("compare", runs["data"].run_id, runs["other"].run_id)
    assert text.splitlines()[0] == f"A on {runs['data'].experiment}, B on {runs['other'].experiment}"


def test_what_matters_most_comes_first(trained):
    text = (trained.folder / "experiments" / "tiny.yaml").read_text().replace("name: tiny", "name: other")
    text = (
        text.replace("size: 64", "size: 48")
        .replace("epochs: 2", "epochs: 1")
        .replace("output: tanh", "output: sigmoid")
    )
    text = text.replace("seeds: [1, 2]", "seeds: [1]").replace("members:\n", "repair: [flips]\nmembers:\n")
    text += "".join(f"  v{n}: {{stream: small, steps: [{{gaussian: {n}}}]}}\n" for n in range(1, 12))
    (trained.folder / "experiments" / "other.yaml").write_text(text)
    trained.done("run", "other", "--data", "data")
    told = trained.done("compare", "tiny", "other:max").partition("entry  ")[2].splitlines()
    assert [line.split()[0] for line in told[:6]] == [
        *("repair:", "members.large.size:", "train.epochs:"),
        *("members.small-2:", "members.small.output:", "members.large.output:"),
    ]
    assert told[0] == "repair: absent -> [flips]" and told[12].endswith("more (--json has all)")
    assert told[3].strip() == "members.small-2: fully_conv_ae, rgb, 32 px, seed 2 -> absent"


def test_members_without_seeds_are_named_as_they_are():
    def plan(cell):
        members = {name: {"model": "nearest_cells", "cell": cell} for name in ("flow", "edge-cells")}
        return {"members": members | {"small-7": {"model": "conv_ae", "seed": 7, "cell": cell}}}

    changed = [str(change) for change in plan_changes(plan(4), plan(8))]
    assert changed == [f"members.{name}.cell: 4 -> 8" for name in ("flow", "edge-cells", "small")]


def test_a_run_goes_by_its_id_its_beginning_or_its_experiment(blends):
    run = next(run for run in Tracking().find("experiment") if run.tags["vad.entry"] == "bad")
    for name in (run.run_id, run.run_id[:8], "bad"):
        found = json.loads(blends.done("compare", name, "good", "--json"))
        assert found["a"]["run_id"] == run.run_id


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("goood", 'goood is not a finished run; did you mean "good"?'),
        ("good:smoth", 'has no variant smoth; did you mean "smooth"?'),
        ("v9", "no model is registered yet"),
        (
            "beef",
            "beef is not a finished run; it is too short for a run's id (give a run's id or the first 8 or more digits",
        ),
        ("deadbeef", "deadbeef is not a finished run (give a run's id"),
        ("", "a run's name is empty; give a run's id"),
    ],
)
def test_a_name_that_is_none(blends, name, said):
    assert said in blends.refused("compare", name, "bad")


def test_what_is_no_run_of_an_experiment_is_named(trained):
    run, member = (Tracking().find(kind)[0] for kind in ("experiment", "member"))
    said = f"{member.run_id[:8]} is not a finished run: it is a member, {member.name}, of run {run.run_id[:8]}"
    assert said in trained.refused("compare", member.run_id[:8], "tiny")
    assert "VERSION=v99: vad-ensemble has no such alias or version" in trained.refused("compare", "v99", "tiny")
    assert "versions: 1)" in trained.refused("compare", "tiny", "models:/vad-ensemble/99")
    Tracking().reopen(run.run_id).end("KILLED")
    Tracking().open_run(run.experiment_id, "experiment", "x", "other", {"vad.entry": "other"}).end("FINISHED")
    assert f"{run.run_id[:8]} is not a finished run: the run of tiny is KILLED" in trained.refused(
        "compare", run.run_id[:8], "other"
    )


def test_runs_on_other_frames_are_described_but_not_compared(blends):
    labels = (blends.folder / "labels.csv").read_text().splitlines()
    scores = (blends.folder / "good.csv").read_text().splitlines()
    (blends.folder / "short.csv").write_text("\n".join(row for row in scores if not row.startswith("3_")) + "\n")
    (blends.folder / "short-labels.csv").write_text("\n".join(r for r in labels if not r.startswith("3_")) + "\n")
    entry = (blends.folder / "experiments" / "good.yaml").read_text().replace("good", "short")
    (blends.folder / "experiments" / "short.yaml").write_text(entry)
    blends.done("run", "short", "--labels", "short-labels.csv")
    text = blends.done("compare", "good", "short")
    assert "they were measured on other frames or labels" in text
    assert "test frames differ" in text


def test_ties_share_a_rank_and_what_differs_has_a_column(blends):
    rows = [row for row in json.loads(blends.done("leaderboard", "--json")) if row["entry"] in ("good", "close", "bad")]
    assert [row["value"] for row in rows] == sorted((row["value"] for row in rows), reverse=True)
    first = rows[0]
    for position, row in enumerate(rows[1:], 2):
        assert (row["rank"] == 1) == (row["high"] >= first["value"]), position
    assert {row["entry"]: row["rank"] for row in rows}["bad"] == 3, "far below"
    assert [row["tied"] for row in rows] == [True, True, False]
    text = blends.done("leaderboard")
    assert "\n1=  " in text and "\n3   bad" in text and "=  a tie" in text
    assert "epochs" not in text, "no run differs in it"
    assert "MB" not in text, "there are no weights"
    assert all(row["reference_of"] == "smooth" for row in rows)


def test_a_thousandth_of_a_percent_is_not_lost_between_the_figures(blends):
    """The AP on the leaderboard is the AP of the scores that are stored."""
    for row in json.loads(blends.done("leaderboard", "--json")):
        if row["entry"] in ("good", "bad"):
            path = Tracking().fetch(row["run_id"], "scores.csv", blends.folder / "fetched")
            table = pd.read_csv(path)
            again = average_precision_score(table["label"], table[row["variant"]])
            assert np.isclose(row["value"], again, rtol=0, atol=1e-12)
