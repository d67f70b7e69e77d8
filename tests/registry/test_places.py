"""Folders and addresses of any name, homes that are not there, proxies, foreign repositories."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy.engine import make_url

from registry import provenance
from registry.cli import main
from registry.cli.options import home
from registry.store.address import sqlite_path, sqlite_uri
from registry.store.tracking import Tracking

NAMES = ["my%20project", "a b", "o'neill", 'say "so"', "c#", "why?", "50% off?#", "Übung 日本", "a@b", "x:y"]


@pytest.mark.parametrize("name", NAMES)
def test_an_address_names_the_file_that_it_was_made_of(name, tmp_path):
    path = tmp_path / name / "mlflow.db"
    assert sqlite_path(sqlite_uri(path)) == path
    assert make_url(sqlite_uri(path)).database == str(path)


def test_options_of_an_address_are_no_part_of_the_file():
    assert sqlite_path("sqlite:///mlflow.db?timeout=30") == Path("mlflow.db")
    assert sqlite_path("http://tracker:5000") is None


@pytest.mark.parametrize("name", ["my%20project", '50% o\'neill?#日 "x"'])
def test_a_store_lies_in_its_own_folder_whatever_its_name(name, blends_folder, monkeypatch, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    for part in ("experiments", "labels.csv", "good.csv"):
        copy = shutil.copytree if (blends_folder / part).is_dir() else shutil.copy
        copy(blends_folder / part, folder / part)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    invoke = CliRunner().invoke
    done = invoke(main, ["run", "good", "--labels", "labels.csv"])
    assert done.exit_code == 0, done.output
    assert {"mlflow.db", "mlartifacts", "experiments"} <= set(os.listdir(folder))
    assert os.listdir(tmp_path) == [name]
    run = Tracking().find("experiment")[0]
    predictions = next((folder / "mlartifacts").rglob("predictions-*.csv"))
    shutil.copy(predictions, folder / "mine.csv")
    for command in (["explain", "mine.csv"], ["record", "mine.csv", "--score", "0.5"], ["doctor"], ["leaderboard"]):
        done = invoke(main, command)
        assert done.exit_code == 0, done.output
    assert invoke(main, ["export", "parcel", "--run", run.run_id]).exit_code == 0


def test_a_model_is_made_and_of_use_in_a_folder_of_any_name(ran, tmp_path, monkeypatch):
    folder = tmp_path / "my%20project's"
    shutil.copytree(ran, folder, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts", ".vad"))
    monkeypatch.chdir(folder)
    for command in (
        ["run", "tiny", "--data", "data"],
        ["submit"],
        ["explain", "models:/vad-ensemble/1"],
        ["render", "1"],
    ):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
    assert os.listdir(tmp_path) == [folder.name]


def test_an_address_may_have_options(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///new.db?timeout=30")
    Tracking(new=True)
    assert Path("new.db").is_file()
    assert not [name for name in os.listdir() if "timeout" in name]


def test_registered_models_lie_with_the_runs(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://elsewhere:5000")
    assert "MLFLOW_REGISTRY_URI=http://elsewhere:5000" in workspace.refused("leaderboard")


def test_opening_a_store_leaves_the_environment_as_it_was(workspace):
    Tracking()
    assert "MLFLOW_REGISTRY_URI" not in os.environ
    assert "MLFLOW_TRACKING_URI" not in os.environ


def python(code: str, folder: Path, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run some code in a process of its own, as the command `vad` has; None unsets a variable."""
    given = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_LOGGING_LEVEL"):
        given.pop(name, None)
    kept = {name: value for name, value in given.items() if value is not None}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=kept, capture_output=True, text=True)


COMMAND = "from registry.cli import main; import sys; sys.argv = ['vad', *sys.argv[1:], 'leaderboard']; main()"
NOBODY = "import pwd\ndef none(*_): raise KeyError('nobody')\npwd.getpwuid = none\n"


@pytest.mark.parametrize("home", [None, "/proc"])
def test_nobody_needs_a_home(home, finished):
    done = python(NOBODY + COMMAND, finished.folder, HOME=home)
    assert done.returncode == 0, done.stderr
    assert "tiny" in done.stdout and not done.stderr


def test_importing_the_registry_leaves_a_programs_mlflow_as_it_is(finished):
    code = (
        "import logging, os, registry.store.tracking as t; t.Tracking(); "
        "print(logging.getLogger('mlflow').level, logging.getLogger('mlflow.store.db').level, "
        "[name for name in os.environ if name.startswith('MLFLOW_HTTP')])"
    )
    assert python(code, finished.folder).stdout == f"{logging.INFO} {logging.NOTSET} []\n"


def test_a_server_of_this_machine_is_asked_past_a_proxy(finished, tmp_path):
    """One that answers all it is asked by 200 stands for MLflow's; the proxy is a port at which nobody is."""
    code = """
import http.server, threading
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Healthy)
threading.Thread(target=server.serve_forever, daemon=True).start()
from registry.store.connection import _unhealthy
print(repr(_unhealthy(f"http://127.0.0.1:{server.server_port}")))
print(_unhealthy("http://tracker.invalid:5000"))
"""
    done = python(code, tmp_path, http_proxy="http://me:secret@127.0.0.1:9", no_proxy=None, NO_PROXY="a.example")
    here, there = done.stdout.splitlines()
    assert here == "''"
    assert "asked by way of the proxy http://127.0.0.1:9; NO_PROXY=tracker.invalid goes past it" in there


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.parametrize("ours", [True, False])
def test_the_commit_is_that_of_the_repository_that_holds_our_code(ours, tmp_path, monkeypatch):
    """Installed below somebody's repository, that one's commit says nothing of ours."""
    code = tmp_path / "site-packages" / "registry" / "provenance.py"
    code.parent.mkdir(parents=True)
    shutil.copy(provenance.__file__, code)
    git(tmp_path, "init", "-q")
    (tmp_path / "theirs.txt").touch()
    git(tmp_path, "add", "theirs.txt", *([str(code)] if ours else []))
    git(tmp_path, "commit", "-qm", "one")
    monkeypatch.setattr(provenance, "__file__", str(code))
    provenance.checkout.cache_clear()
    try:
        found = provenance.checkout()
    finally:
        monkeypatch.undo()
        provenance.checkout.cache_clear()
    assert found == (
        {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": "no"} if ours else {"commit": "", "dirty": ""}
    )


@pytest.mark.parametrize("command", [["data"], ["run", "tiny", "--data"], ["why", "tiny", "--data"]])
def test_a_tilde_is_the_home(command, workspace, monkeypatch):
    monkeypatch.setenv("HOME", str(workspace.folder))
    output = workspace.vad(*command, "~/nowhere").output
    assert f"{workspace.folder}/nowhere" in output


def test_a_tilde_in_vad_home_is_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAD_HOME", "~/cache")
    assert home() == tmp_path / "cache"
