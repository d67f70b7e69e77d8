"""All that is used of MLflow and is not promised by it: a new MLflow breaks here, and `test_mlflow_private` says what."""

import functools
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.models import SqlExperiment
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS
from mlflow.utils.rest_utils import http_request
from mlflow.utils.time import get_current_time_millis
from sqlalchemy import create_engine, event

from registry.store.address import Ask, reading, sqlite_uri

# All that holds the place of a file, by table and column.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
MODEL_VERSIONS_TAG = MLFLOW_MODEL_VERSIONS  # of a logged model: names its registered versions
# MLflow makes the folder of a database by its address, of which it knows no %25: it would make another folder.
utils._make_parent_dirs_if_sqlite = lambda uri: None


def make_tables(database: Path) -> None:
    """Make a new database with MLflow's tables, without a journal: what is cut off cannot be used."""
    engine = create_engine(sqlite_uri(database))
    settings = "PRAGMA journal_mode = MEMORY", "PRAGMA synchronous = OFF"
    event.listen(engine, "connect", lambda connection, _: [connection.execute(setting) for setting in settings])
    utils._initialize_tables(engine)
    # MLflow would write it with the folder's name as a part of the SQL, which an apostrophe ends.
    with engine.begin() as connection:
        now = get_current_time_millis()
        row = {"experiment_id": 0, "name": "Default", "artifact_location": Path("mlruns", "0").absolute().as_uri()}
        row |= {"lifecycle_stage": "active", "creation_time": now, "last_update_time": now}
        connection.execute(SqlExperiment.__table__.insert().values(row))
    engine.dispose()


def schema_fault(database: Path) -> str | None:
    """Return `older` or `newer` where a schema is another MLflow's, `none` where it is not MLflow's. Raises sqlite3.Error."""
    with reading(database, timeout=1) as ask:
        tables = {name for (name,) in ask("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return None
        marked = "alembic_version" in tables
        known = [number for (number,) in ask("SELECT version_num FROM alembic_version")] if marked else []
    if not known:
        return "older" if "experiments" in tables and "runs" in tables else "none"
    revisions = _revisions()
    return None if known == [revisions[0]] else "older" if {*known} <= {*revisions} else "newer"


@functools.cache
def _revisions() -> list[str]:
    """Return the names of all schemas that this MLflow knows, its own first."""
    scripts = ScriptDirectory.from_config(utils._get_alembic_config(db_url=""))
    return [script.revision for script in scripts.walk_revisions()]


def addresses(ask: Ask) -> set[str]:
    """Return all addresses of files that a database holds."""
    columns = [ask(f"SELECT DISTINCT {column} FROM {table}") for table, column in _ADDRESSES]  # noqa: S608
    return {address for column in columns for (address,) in column if address}


def replace_addresses(opened: sqlite3.Connection, right: Mapping[str, str]) -> None:
    """Put the right address in the place of each wrong one."""
    for table, column in _ADDRESSES:
        update = f"UPDATE {table} SET {column} = ? WHERE {column} = ?"  # noqa: S608  # names from above
        opened.executemany(update, [(new, old) for old, new in right.items()])


def places(ask: Ask) -> dict[str, str]:
    """Return the address of the files of each run and logged model, by id, and version, by a name as in `vad-ensemble/1`."""
    owners = "SELECT run_uuid, artifact_uri FROM runs UNION SELECT model_id, artifact_location FROM logged_models"
    versions = "SELECT name || '/' || version, coalesce(storage_location, source) FROM model_versions"
    return dict(ask(f"{owners} UNION {versions}"))


def health(uri: str) -> tuple[int, str]:
    """Return status and reason of a server's answer, asked with MLflow's own credentials and certificates."""
    given: dict[str, Any] = {"max_retries": 0, "timeout": 10, "raise_on_status": False}
    answer = http_request(get_default_host_creds(uri), "/health", "GET", **given)
    return answer.status_code, answer.reason


def view_tag(name: str) -> str:
    """Return the tag of an experiment in which MLflow's UI looks for a shared view."""
    return f"mlflow.sharedViewState.{name}"


def view_value(name: str, state: Mapping[str, Any]) -> str:
    """Return the value of that tag."""
    moment = get_current_time_millis()
    return json.dumps({"name": name.capitalize(), "createdAt": moment, "updatedAt": moment, "state": json.dumps(state)})


def view_link(experiment_id: str, name: str) -> str:
    """Return the part of the address that opens the view, after the server's own."""
    return f"#/experiments/{experiment_id}/runs?viewStateShareKey={name}&workflowType=machine_learning"


def scoring_server(model: str, port: int, host: str, output: Any) -> Any:
    """Start what `mlflow models serve --env-manager local` starts, its output in a file; return the process."""
    from mlflow.models.flavor_backend_registry import get_flavor_backend

    backend: Any = get_flavor_backend(model, env_manager="local")
    return backend.serve(model, port, host, None, synchronous=False, stdout=output, stderr=output)
