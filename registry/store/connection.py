"""Reaching a tracking store: one clear error, in seconds, for all that can be wrong with it."""

import importlib.metadata
import json
import os
import re
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from filelock import FileLock
from mlflow.exceptions import MlflowException
from requests.utils import get_environ_proxies

from registry.store.address import ARTIFACTS, RESTORE, sqlite_path, sqlite_uri
from registry.store.mlflow_private import health, make_tables, schema_fault
from vad.errors import InputError
from vad.system.files import replacing

Answer = TypeVar("Answer")


@contextmanager
def reaching(uri: str, new: bool) -> Iterator[None]:
    """Reach a store, or make it if it may be `new`. Raises InputError in seconds, without retries."""
    shown, database = without_password(uri), sqlite_path(uri)
    if _in_memory(uri):
        fault = f"MLFLOW_TRACKING_URI={shown}: a database in memory keeps nothing"
        raise InputError(f"{fault}; name a file, as in sqlite:///mlflow.db")
    if uri.startswith(("http://", "https://")) and (reason := _unhealthy(uri)):
        fault = f"the tracking server {shown} cannot be reached ({reason})"
        raise InputError(f"{fault}; start it, or unset MLFLOW_TRACKING_URI")
    try:
        if database:
            _prepare(database, new)
        yield
    except InputError:
        raise
    except Exception as error:  # MLflow, SQLAlchemy, Alembic and drivers have errors of their own
        reason = str(error).strip().partition("\n")[0]
        if database and isinstance(error, OSError):
            fault = f"cannot write {database}: {error.strerror}; set MLFLOW_TRACKING_URI"
        elif database:
            damaged = f"; {RESTORE}" if re.search("malformed|not a database", reason) else ""
            fault = f"{database} cannot be used as MLflow's database: {reason}{damaged}"
        elif "out-of-date database schema" in str(error):
            fault = f"the tables of {shown} are those of another MLflow than {importlib.metadata.version('mlflow')}"
            fault += ": if they are newer, install that; if older, make a backup and change them by `mlflow db upgrade`"
        else:
            fault = f"MLFLOW_TRACKING_URI={shown} cannot be used: {_unusable(uri) or reason.partition('. ')[0]}"
            fix = "name a server (http://...) or sqlite:///path.db"
            refused = "; its --allowed-hosts must name the address that you use (docs/server.md)"
            fault += refused if "error code 403" in str(error) else f"; {fix}"
        raise InputError(fault) from None


def _prepare(database: Path, new: bool) -> None:
    """Make a database if it may be new, and require that it is one of this MLflow's."""
    if not new and not database.exists():
        ways = "start one with `make run EXP=phase5_multiscale`, go to the folder of your runs"
        raise InputError(f"there is no store {database}: {ways}, or name a store by MLFLOW_TRACKING_URI")
    with suppress(sqlite3.Error):  # what is no database MLflow says
        require_schema(database)
    if not _filled(database):
        files = database.with_name(ARTIFACTS)
        if database.exists() and files.is_dir() and any(files.iterdir()):
            raise InputError(f"{database} is empty, but {files} holds files of runs; {RESTORE}")
        database.parent.mkdir(parents=True, exist_ok=True)
        # Several processes that make a new database at once trip over each other's tables.
        with FileLock(database.with_name(f".{database.name}.lock")):
            if not _filled(database):
                # Whole or not at all: MLflow cannot continue with tables that are half made.
                with replacing(database) as part:
                    make_tables(part)
                    with part.open("rb") as file:
                        os.fsync(file.fileno())


def _filled(database: Path) -> bool:
    return database.exists() and database.stat().st_size > 0


def require_schema(database: Path) -> None:
    """Raise InputError where a database was made by another MLflow, sqlite3.Error for what is no database."""
    fault = schema_fault(database)
    release = importlib.metadata.version("mlflow")
    if fault == "older":
        original, copy, uri = map(shlex.quote, (str(database), f"{database}.bak", sqlite_uri(database)))
        commands = f"cp {original} {copy} && mlflow db upgrade {uri}"
        older = f"{database} was made by an older MLflow than {release}, and is left as it is"
        raise InputError(f"{older}. Make a copy, and let MLflow change its tables: {commands}")
    if fault == "newer":
        newer = f"{database} was made, or upgraded, by a newer MLflow than {release}, and is left as it is"
        raise InputError(f"{newer}: install that one, or put a copy from before the upgrade in its place")
    if fault:
        raise InputError(f"{database} is a database, but not MLflow's; name another by MLFLOW_TRACKING_URI")


def _in_memory(uri: str) -> bool:
    scheme, _, place = uri.partition(":")
    file, _, options = place.partition("?")
    return scheme.startswith("sqlite") and (not file.strip("/") or ":memory:" in file or "mode=memory" in options)


def _unusable(uri: str) -> str | None:
    """Return what is wrong with an address that MLflow refuses, in fewer words than MLflow's; None where only MLflow can know."""
    if re.match(r"(https?|sqlite|postgresql|mysql|mssql|databricks(-uc)?|uc)\b", uri):
        return None
    scheme, colon, _ = uri.partition(":")
    return f"MLflow knows no addresses {scheme}:..." if colon and scheme != "file" else "it is a path"


def _unhealthy(uri: str) -> str:
    """Return why a server does not answer, or a proxy on the way to it; empty if it does."""
    proxy: str | None = None
    try:
        _bypass_proxies(uri)
        proxy = get_environ_proxies(uri).get(urlsplit(uri).scheme)
        status, reason = health(uri)
        fault = "" if status == 200 else f"{status} {reason}"
    except Exception as error:
        cause: BaseException = error
        while cause.__context__:  # what requests and urllib3 wrapped, and MLflow around them
            cause = cause.__context__
        fault = without_password(str(cause)) or type(cause).__name__
    way_past = f"NO_PROXY={urlsplit(uri).hostname} goes past it"
    return f"{fault}, asked by way of the proxy {without_password(proxy)}; {way_past}" if fault and proxy else fault


def _bypass_proxies(uri: str) -> None:
    """Let this process and its children ask a server of this machine directly: a proxy would look for it on its own."""
    host = urlsplit(uri).hostname or ""
    if host in ("localhost", "::1") or host.startswith("127."):
        known = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")).split(",")
        os.environ["no_proxy"] = ",".join(filter(None, dict.fromkeys([*known, host])))


def without_password(address: str) -> str:
    return re.sub(r"//[^@/]*@", "//", address)


def explain(error: BaseException) -> str | None:
    """Return one line for an error that came from MLflow, None for another."""
    return f"MLflow: {json.dumps(str(error).splitlines()[0])}" if isinstance(error, MlflowException) else None


def unless_absent(call: Callable[[], Answer]) -> Answer | None:
    """Return the result of a call of MLflow; None where MLflow says that the object does not exist."""
    try:
        return call()
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise  # as where a server is gone
        return None
