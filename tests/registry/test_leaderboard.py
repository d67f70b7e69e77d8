"""The leaderboard: best first within one data set and protocol, as a table, JSON or CSV."""

import csv
import io
import json
import shutil
from pathlib import Path


def test_an_empty_store_says_how_to_start(workspace):
    assert workspace.done("leaderboard").strip() == "No finished run yet. Start with: make run EXP=phase5_multiscale"
    assert json.loads(workspace.done("leaderboard", "--json")) == []


def test_runs_are_ranked_within_their_data_and_never_across(workspace):
    workspace.done("run", "tiny", "--data", "data")
    workspace.done("run", "tiny", "--data", "data", "--set", "train.epochs=1")
    workspace.done("run", "tiny", "--data", "data", "--set", "train.epochs=1", "--force")
    shutil.copytree("data", "yard")
    shutil.rmtree("yard/Dataset/testing_videos/03")
    labels = Path("yard/labels.csv")
    labels.write_text("\n".join(row for row in labels.read_text().splitlines() if not row.startswith("3_")) + "\n")
    workspace.done("run", "tiny", "--data", "yard")

    rows = json.loads(workspace.done("leaderboard", "--json"))
    assert [(row["experiment"].split(" ap ")[0], row["rank"]) for row in rows] == [
        ("data", 1),
        ("data", 2),
        ("yard", 1),
    ]
    assert rows[0]["value"] >= rows[1]["value"]
    assert {row["reference_ap"] for row in rows} == {0.5}
    assert {row["profile"] for row in rows[:2]} == {"full", "full (train.epochs=1)"}
    assert "production" in "".join(row["model"] for row in rows)
    assert len(json.loads(workspace.done("leaderboard", "--json", "--all"))) == 4

    as_csv = list(csv.DictReader(io.StringIO(workspace.done("leaderboard", "--csv"))))
    assert [float(row["value"]) for row in as_csv] == [row["value"] for row in rows]
    text = workspace.done("leaderboard")
    assert text.count("reference AP") == 2
    assert f"{rows[0]['value']:.4f}" in text
    assert rows[0]["run_id"][:8] in text
