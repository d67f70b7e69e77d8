"""What of MLflow is used without a promise: one test for each, so that a new MLflow says what it broke."""

import json
import shutil
import sqlite3
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import mlflow
import pytest

from registry.store import mlflow_private as private
from registry.store.address import reading, sqlite_uri
from registry.store.tracking import Tracking


@pytest.fixture
def database(tmp_path, empty_store):
    return shutil.copy(empty_store, tmp_path / "mlflow.db")


def ask(database, query):
    with closing(sqlite3.connect(database)) as opened:
        return opened.execute(query).fetchall()


def change(database, *statements):
    with closing(sqlite3.connect(database)) as opened, opened:
        for statement in statements:
            opened.execute(statement)


def test_tables_that_were_made_are_those_that_mlflow_wants(database):
    client = mlflow.MlflowClient(sqlite_uri(database))
    assert [(found.experiment_id, found.name) for found in client.search_experiments()] == [("0", "Default")]
    assert client.get_experiment("0").artifact_location.endswith("/mlruns/0")
    assert private.schema_fault(database) is None


def test_the_schema_of_another_mlflow_is_told(database, tmp_path):
    older = private._revisions()[3]
    for revision, fault in ((older, "older"), ("0123456789ab", "newer")):
        change(database, f"UPDATE alembic_version SET version_num = '{revision}'")
        assert private.schema_fault(database) == fault
    change(database, "DELETE FROM alembic_version")
    assert private.schema_fault(database) == "older"
    other = tmp_path / "other.db"
    change(other, "CREATE TABLE songs (name TEXT)")
    assert private.schema_fault(other) == "none"
    (tmp_path / "empty.db").touch()
    assert private.schema_fault(tmp_path / "empty.db") is None


def test_the_tables_hold_what_is_read_of_them(finished):
    with reading(finished.folder / "mlflow.db") as ask:
        tracking = Tracking()
        for found in tracking.find("member"):
            run = tracking.client.get_run(found.run_id)
            assert private.places(ask)[found.run_id] == run.info.artifact_uri
            assert run.info.artifact_uri in private.addresses(ask)
        (version,) = tracking.client.search_model_versions()
        model = tracking.client.get_logged_model(version.source.removeprefix("models:/"))
        assert private.places(ask)[f"{version.name}/1"] == model.artifact_location
        assert private.places(ask)[model.model_id] == model.artifact_location


def test_addresses_are_replaced(database):
    tracking = Tracking(sqlite_uri(database))
    tracking.client.create_experiment("moved", artifact_location="file:///old")
    with closing(sqlite3.connect(database)) as opened, opened:
        private.replace_addresses(opened, {"file:///old": "file:///new"})
    assert tracking.client.get_experiment_by_name("moved").artifact_location == "file:///new"


def test_a_shared_view_is_what_the_ui_reads():
    assert private.view_tag("leaderboard") == "mlflow.sharedViewState.leaderboard"
    value = json.loads(private.view_value("leaderboard", {"orderByAsc": False}))
    assert value["createdAt"] == value["updatedAt"] > 1.7e12 and json.loads(value["state"]) == {"orderByAsc": False}
    assert "viewStateShareKey=leaderboard" in private.view_link("7", "leaderboard")


def test_what_starts_a_scoring_server_is_there():
    from mlflow.models.flavor_backend_registry import get_flavor_backend

    assert callable(get_flavor_backend)


def test_a_server_is_asked_for_its_health():
    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        Thread(target=server.handle_request, daemon=True).start()
        assert private.health(f"http://127.0.0.1:{server.server_port}") == (200, "OK")
