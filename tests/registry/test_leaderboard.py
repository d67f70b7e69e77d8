"""The leaderboard: best first within one data set and protocol, as a table, JSON or CSV."""

import csv
import io
import json
from pathlib import Path

from registry.store.tracking import Tracking


def test_an_empty_store_says_how_to_start(workspace):
    assert workspace.done("leaderboard").strip() == "No finished run yet. Start with: make run EXP=phase5_multiscale"
    assert json.loads(workspace.done("leaderboard", "--json")) == []
    assert workspace.done("leaderboard", "--csv").startswith("experiment,rank,tied,entry,")


def test_runs_are_ranked_within_their_data_and_never_across(blends):
    changed = ("--set", "variants.smooth.steps=[{gaussian: 2}]")
    blends.done("run", "bad", "--labels", "labels.csv", *changed)
    blends.done("run", "bad", "--labels", "labels.csv", *changed, "--force")
    labels = Path("labels.csv").read_text().splitlines()
    Path("other.csv").write_text("\n".join([*labels[:-1], labels[-1].replace(",0", ",1")]) + "\n")
    blends.done("run", "good", "--labels", "other.csv")

    rows = json.loads(blends.done("leaderboard", "--json"))
    boards = list(dict.fromkeys(row["experiment"] for row in rows))
    assert len(boards) == 2, "other labels are another protocol"
    for board in boards:
        values = [row["value"] for row in rows if row["experiment"] == board]
        assert values == sorted(values, reverse=True)
        assert next(row["rank"] for row in rows if row["experiment"] == board) == 1
    assert sorted(len([row for row in rows if row["experiment"] == board]) for board in boards) == [1, 4]
    profiles = {row["profile"] for row in rows if row["entry"] == "bad"}
    assert profiles == {"demo", "demo (variants.smooth.steps=[{gaussian: 2}])"}
    assert len(json.loads(blends.done("leaderboard", "--json", "--all"))) == 6

    as_csv = list(csv.DictReader(io.StringIO(blends.done("leaderboard", "--csv"))))
    assert [float(row["value"]) for row in as_csv] == [row["value"] for row in rows]
    text = blends.done("leaderboard")
    assert text.count("reference AP") == 2
    for row in rows:
        assert f"{row['value']:.4f}" in text and row["run_id"][:8] in text


def test_a_run_whose_model_was_registered_before_shows_that_version(finished):
    finished.done("run", "tiny", "--data", "data", "--set", "variants.small_only.steps=[{gaussian: 2}]")
    first, second = json.loads(finished.done("leaderboard", "--json", "--all"))
    assert first["model"] == second["model"] == "v1 production candidate"
    assert {run.tags["vad.version"] for run in Tracking().find("experiment")} == {"1"}
    assert first["params"]["sizes"] == "32/64" and first["megabytes"] > 1 and first["frames_per_second"] > 0


def test_no_two_columns_have_one_title(trained):
    trained.done(
        "run",
        "tiny",
        "--data",
        "data",
        "--set",
        "members.large={model: conv_ae, size: 64, latent: 4, batch_size: 4, seeds: [1]}",
    )
    titles = trained.done("leaderboard").splitlines()[1].split()
    assert titles.count("model") == titles.count("version") == 1
