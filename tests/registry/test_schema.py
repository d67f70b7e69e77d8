"""A database whose tables are those of another MLflow is left as it is, and every command says so in one message."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from registry.store import mlflow_private
from vad.system.files import sha256

COMMANDS = (["doctor"], ["leaderboard"], ["run", "tiny", "--data", "data"], ["history"], ["gc", "--runs", "tiny"])


@pytest.fixture
def revision(workspace):
    def change(name: str) -> str:
        with closing(sqlite3.connect("mlflow.db")) as opened, opened:
            opened.execute("UPDATE alembic_version SET version_num = ?", [name])
        return sha256(Path("mlflow.db"))

    return change


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_an_older_one_is_upgraded_by_you_after_a_copy(workspace, revision, command):
    before = revision(mlflow_private._revisions()[1])
    said = workspace.refused(*command)
    name = Path("mlflow.db").resolve()
    assert f"cp {name} {name}.bak && mlflow db upgrade sqlite:///{name}" in said
    assert said.count("\n") == 1 or command[0] == "run"
    assert sha256(name) == before


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_newer_one_needs_a_newer_mlflow(workspace, revision, command):
    before = revision("ffffffffffff")
    assert "by a newer MLflow than" in workspace.refused(*command)
    assert sha256(Path("mlflow.db")) == before


def test_a_database_of_another_program_is_not_written_to(workspace):
    Path("mlflow.db").unlink()
    with closing(sqlite3.connect("mlflow.db")) as opened, opened:
        opened.execute("CREATE TABLE songs (name TEXT)")
    assert "is a database, but not MLflow's" in workspace.refused("run", "tiny", "--data", "data")
