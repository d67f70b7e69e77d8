"""Reaching a tracking store: one clear error, in seconds, for all that can be wrong with it."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _initialize_tables
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy import create_engine, event

from vad.errors import InputError
from vad.files import replacing


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
    if not uri.startswith("sqlite:///"):
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # a scheme that MLflow does not know, a driver or a server that is not there
            reason = _unusable(uri) or str(error).strip().partition("\n")[0].partition(". ")[0]
            raise InputError(
                f"MLFLOW_TRACKING_URI={shown} cannot be used: {reason}; name a server (http://...) or sqlite:///path.db"
            ) from None
        return
    database = Path(uri.removeprefix("sqlite:///"))
    if not new and not database.exists():
        raise InputError(
            f"there is no store {database}: start one with `make run EXP=phase5_multiscale`, go to the folder of your runs, "
            "or name a store by MLFLOW_TRACKING_URI"
        )
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
        engine = create_engine(f"sqlite:///{new}")
        # Until it has its name the file is worth nothing: no journal that would stay beside it, and one wait for the disk.
        event.listen(engine, "connect", _carelessly)
        _initialize_tables(engine)
        engine.dispose()
        with new.open("rb") as file:
            os.fsync(file.fileno())


def _carelessly(connection: Any, _: object) -> None:
    for setting in ("journal_mode = MEMORY", "synchronous = OFF"):
        connection.execute(f"PRAGMA {setting}")


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


def _unhealthy(uri: str) -> str | None:
    """Why a server does not answer, with the credentials and certificates of MLflow's own settings; None if it does."""
    try:
        answer = http_request(
            get_default_host_creds(uri), "/health", "GET", max_retries=0, timeout=10, raise_on_status=False
        )
    except Exception as error:
        cause: BaseException = error
        while cause.__context__:  # what requests and urllib3 wrapped, and MLflow around them
            cause = cause.__context__
        return without_password(str(cause)) or type(cause).__name__
    return None if answer.status_code == 200 else f"{answer.status_code} {answer.reason}"


def without_password(address: str) -> str:
    return re.sub(r"//[^@/]*@", "//", address)


def explain(error: BaseException) -> str | None:
    """One line for an error that came from MLflow, or None for another."""
    if isinstance(error, MlflowException):
        return f"MLflow: {json.dumps(str(error).splitlines()[0])}"
    return None


def absent(error: MlflowException) -> bool:
    """Whether MLflow says that there is no such thing; else it says that it cannot tell, as where a server is gone."""
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
