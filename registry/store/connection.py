"""Reaching a tracking store: one clear error, in seconds, for all that can be wrong with it."""

import importlib.metadata
import json
import os
import re
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from filelock import FileLock
from mlflow.exceptions import MlflowException
from requests.utils import get_environ_proxies

from registry.store.address import sqlite_path, sqlite_uri
from registry.store.mlflow_private import health, make_tables, schema_fault
from vad.errors import InputError
from vad.system.files import replacing

Answer = TypeVar("Answer")


@contextmanager
def reaching(uri: str, new: bool) -> Iterator[None]:
    """Reach a store, or make it if it may be `new`; one clear error where that fails, in seconds and not after minutes of retries."""
    shown = without_password(uri)
    if _in_memory(uri):
        raise InputError(
            f"MLFLOW_TRACKING_URI={shown}: a database in memory keeps nothing; name a file, as in sqlite:///mlflow.db"
        )
    if uri.startswith(("http://", "https://")) and (reason := _unhealthy(uri)):
        raise InputError(
            f"the tracking server {shown} cannot be reached ({reason}); start it, or unset MLFLOW_TRACKING_URI"
        )
    if (database := sqlite_path(uri)) is None:
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # a scheme that MLflow does not know, a driver or a server that is not there
            if "out-of-date database schema" in str(error):
                raise InputError(
                    f"the tables of {shown} are those of another MLflow than {importlib.metadata.version('mlflow')}: make a backup; "
                    "if they are older, `mlflow db upgrade` with this address changes them; if newer, install that MLflow"
                ) from None
            reason = _unusable(uri) or str(error).strip().partition("\n")[0].partition(". ")[0]
            raise InputError(
                f"MLFLOW_TRACKING_URI={shown} cannot be used: {reason}; name a server (http://...) or sqlite:///path.db"
            ) from None
        return
    if not new and not database.exists():
        raise InputError(
            f"there is no store {database}: start one with `make run EXP=phase5_multiscale`, go to the folder of your runs, "
            "or name a store by MLFLOW_TRACKING_URI"
        )
    with suppress(sqlite3.Error):  # what is no database MLflow says below
        require_schema(database)
    try:
        with ExitStack() as alone:
            if not database.exists() or not database.stat().st_size:
                database.parent.mkdir(parents=True, exist_ok=True)
                # Several processes that make a new database at once trip over each other's tables.
                alone.enter_context(FileLock(database.with_name(f".{database.name}.lock")))
                if not database.exists():
                    _make(database)
            yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot write {database}: {error.strerror}; set MLFLOW_TRACKING_URI") from None
    except Exception as error:  # whatever SQLAlchemy or Alembic makes of a file that is no such database
        reason = str(error).splitlines()[0]
        raise InputError(f"{database} cannot be used as MLflow's database: {reason}") from None


def _make(database: Path) -> None:
    """A new database with MLflow's tables, whole or not at all: MLflow cannot go on with tables that are half made."""
    with replacing(database) as new:
        make_tables(new)
        with new.open("rb") as file:
            os.fsync(file.fileno())


def require_schema(database: Path) -> None:
    """Raise InputError where a database was made by another MLflow: one that opens it would change it, and stop half-way if need be.

    Raises sqlite3.Error for what is no database.
    """
    fault = schema_fault(database)
    release, name = importlib.metadata.version("mlflow"), shlex.quote(str(database))
    if fault == "older":
        raise InputError(
            f"{database} was made by an older MLflow than {release}, and is left as it is. Make a copy, and let MLflow "
            f"change its tables: cp {name} {shlex.quote(f'{database}.bak')} && mlflow db upgrade {shlex.quote(sqlite_uri(database))}"
        )
    if fault == "newer":
        raise InputError(
            f"{database} was made, or upgraded, by a newer MLflow than {release}, and is left as it is: install that one, or put "
            "a copy from before the upgrade in its place"
        )
    if fault:
        raise InputError(f"{database} is a database, but not MLflow's; name another by MLFLOW_TRACKING_URI")


def _in_memory(uri: str) -> bool:
    scheme, _, place = uri.partition(":")
    file, _, options = place.partition("?")
    return scheme.startswith("sqlite") and (not file.strip("/") or ":memory:" in file or "mode=memory" in options)


def _unusable(uri: str) -> str | None:
    """What is wrong with an address that MLflow refuses, in fewer words than MLflow's; None where only it can tell."""
    if re.match(r"(https?|sqlite|postgresql|mysql|mssql|databricks(-uc)?|uc)\b", uri):
        return None
    scheme, colon, _ = uri.partition(":")
    return f"MLflow knows no addresses {scheme}:..." if colon and scheme != "file" else "it is a path"


def _unhealthy(uri: str) -> str:
    """Why a server does not answer, or a proxy on the way to it; empty if it does."""
    proxy: str | None = None
    try:
        _past_proxies(uri)
        proxy = get_environ_proxies(uri).get(urlsplit(uri).scheme)
        status, reason = health(uri)
    except Exception as error:
        cause: BaseException = error
        while cause.__context__:  # what requests and urllib3 wrapped, and MLflow around them
            cause = cause.__context__
        said = without_password(str(cause)) or type(cause).__name__
    else:
        said = "" if status == 200 else f"{status} {reason}"
    return (
        f"{said}, asked by way of the proxy {without_password(proxy)}; NO_PROXY={urlsplit(uri).hostname} goes past it"
        if said and proxy
        else said
    )


def _past_proxies(uri: str) -> None:
    """Let this process and its children ask a server of this machine itself: a proxy would look for it on its own."""
    host = urlsplit(uri).hostname or ""
    if host in ("localhost", "::1") or host.startswith("127."):
        known = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")).split(",")
        os.environ["no_proxy"] = ",".join(filter(None, dict.fromkeys([*known, host])))


def without_password(address: str) -> str:
    return re.sub(r"//[^@/]*@", "//", address)


def explain(error: BaseException) -> str | None:
    """One line for an error that came from MLflow, or None for another."""
    if isinstance(error, MlflowException):
        return f"MLflow: {json.dumps(str(error).splitlines()[0])}"
    return None


def unless_absent(call: Callable[[], Answer]) -> Answer | None:
    """Return what a call of MLflow's returns; None where MLflow says that there is no such thing."""
    try:
        return call()
    except MlflowException as error:
        if not absent(error):
            raise
        return None


def absent(error: MlflowException) -> bool:
    """Whether MLflow says that there is no such thing; else it says that it cannot tell, as where a server is gone."""
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
