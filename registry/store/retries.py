"""Retry each call of MLflow while its store does not answer: a server that is gone, hangs or says 5xx, a locked database.

What is wrong for good (400, 404, a full disk) is raised at once.
"""

import errno
import math
import os
import random
import re
import resource
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import mlflow
import requests
from mlflow.entities import LoggedModelOutput, Metric
from mlflow.exceptions import MlflowException

from registry.console import detail, duration, say
from registry.signals import postpone_stop
from registry.store.address import ARTIFACTS, RESTORE, reading, sqlite_path
from registry.store.tags import plain, stored
from vad.data.numbers import plain_number
from vad.errors import InputError

PAGE = 1000  # the most metrics that MLflow takes at once
LIMIT = 600.0  # seconds for which a call is repeated, unless the environment variable VAD_RETRY_SECONDS says otherwise
_PAUSES = (0.1, 0.3, 0.6, 1.0, 2.0, 3.0)  # seconds between attempts; the last is repeated
_SILENT_SECONDS = 1.0  # a shorter outage is not reported
# For a failed connection MLflow gives only a message, no type.
_ON_THE_WAY = re.compile(
    r"API request to \S+ failed with (timeout )?exception|Connection (broken|aborted|reset)|IncompleteRead|Read timed out"
)
_REASONS = ("Connection refused", "timed out", "Name or service not known", "Connection reset", "Remote end closed")
_ALIAS_ATTEMPTS = 5

# MLflow's conditions have no way to write these within a value.
_NOT_IN_CONDITIONS = re.compile(r"[\x00-\x1f'\"`\\]")

Answer = TypeVar("Answer")
_retrying: ContextVar[bool] = ContextVar("retrying", default=True)


class Unreachable(InputError):
    """The store did not answer within the time for which calls are repeated."""


@contextmanager
def without_retries() -> Iterator[None]:
    """Do not repeat calls in this block: for what can be left out, or done later."""
    before = _retrying.set(False)
    try:
        yield
    finally:
        _retrying.reset(before)


class Retries:
    """Repeats calls of one store, and says when a wait begins and when it is over."""

    def __init__(self, shown: str):
        self._limit = _limit()
        server = shown.startswith("http")
        self._who = f"the tracking server {shown}" if server else f"the database {sqlite_path(shown) or shown}"
        # A server's answer may take long, and nothing of its transactions is here.
        self._unbroken = nullcontext if server else postpone_stop
        self._lock = threading.Lock()
        self._since: float | None = None  # start of the outage that was reported
        self._given_up = False

    def __call__(self, call: Callable[[], Answer], made: Callable[[], Answer | None] | None = None) -> Answer:
        """Return what `call` returns, once it succeeds; `made` finds what an attempt made whose answer was lost. Raises Unreachable."""
        begun = time.monotonic()
        attempts = 0
        while True:
            try:
                with self._unbroken():
                    answer = (made() if made and attempts else None) or call()
                self._works()
                return answer
            except Exception as error:
                if not _passes(error):
                    raise
                self._wait(error, begun, attempts)
                attempts += 1

    def _wait(self, error: Exception, begun: float, attempts: int) -> None:
        spent = time.monotonic() - begun
        limit = self._limit if _retrying.get() and not self._given_up else _SILENT_SECONDS
        reason = _reason(error)
        detail(
            f"{self._who} {reason}: attempt {attempts + 1} failed after {spent:.1f} s ({' '.join(str(error).split()):.200})"
        )
        # An attempt may take long itself, as at a database that is locked.
        if spent >= min(limit, _SILENT_SECONDS):
            with self._lock:
                if self._since is None:
                    self._since = begun
                    say(f"  {self._who} {reason}; waiting up to {duration(self._limit)}")
        if spent >= limit:
            self._given_up |= _retrying.get()
            fault = f"{self._who} {reason}, and has for {duration(time.monotonic() - (self._since or begun))}"
            kept = "what was finished is kept, also what the store has not got yet"
            raise Unreachable(f"{fault}; {kept}: mend that, and run the same command again to resume") from error
        time.sleep(min(_PAUSES[min(attempts, len(_PAUSES) - 1)], limit - spent))

    def _works(self) -> None:
        with self._lock:
            if self._since is not None:
                say(f"  {self._who} answers again, after {duration(time.monotonic() - self._since)}")
            self._since, self._given_up = None, False


def equals(field: str, value: str) -> str:
    """Return the condition that a field has a value, as in "name = 'small-1'"; of a tag, `field` is "tags.`vad.kind`"."""
    # Any character fits in the place of a quotation mark or a backslash: compare what is found.
    pattern = _NOT_IN_CONDITIONS.sub("_", value)
    return f"{field} = '{value}'" if pattern == value else f"{field} LIKE '{pattern}'"


def _pages(search: Callable[..., Any], *given: Any, **named: Any) -> Iterator[Any]:
    """Yield all that a search of MLflow's finds: one call gives a page, as 1,000 experiments or 100 models."""
    page = search(*given, **named)
    yield from page
    while page.token:
        page = search(*given, page_token=page.token, **named)
        yield from page


class RetryingClient:
    """MLflow's client: each call is repeated, a search finds all there is, and what is to be made is made once all the same."""

    def __init__(self, retries: Retries):
        self._retries = retries
        self._client = retries(mlflow.MlflowClient)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("search_"):
            return lambda *given, **named: list(_pages(self._repeated(name), *given, **named))
        return self._repeated(name)

    def _repeated(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *given, **named: self._retries(lambda: method(*given, **named))

    def runs(self, experiment_ids: list[str], condition: str) -> Iterator[Any]:
        """Yield the runs for which a condition holds, newest first, a page whenever one is used up."""
        return map(
            _named, _pages(self._repeated("search_runs"), experiment_ids, condition, order_by=["start_time DESC"])
        )

    def any_run(self, experiment_ids: list[str], condition: str) -> bool:
        """Whether a condition holds for any run."""
        return bool(self._repeated("search_runs")(experiment_ids, condition, max_results=1))

    def get_run(self, run_id: str) -> Any:
        """Return a run, its tags by the program's names."""
        return _named(self._repeated("get_run")(run_id))

    def log_points(self, run_id: str, points: Sequence[Any], model_id: str | None = None) -> None:
        """Log values (`key`, `value`, `timestamp` in ms, `step`) of a run, or of its logged model."""
        values = [Metric(point.key, point.value, point.timestamp, point.step, model_id=model_id) for point in points]
        for start in range(0, len(values), PAGE):
            self.log_batch(run_id, metrics=values[start : start + PAGE])

    def _once(self, call: Callable[[], Any], search: str, *query: Any, known: Callable[[Any], bool]) -> Any:
        """Make something exactly once: where an answer was lost, search for what that attempt made; `known` recognises it."""
        return self._retries(call, lambda: next(filter(known, getattr(self._client, search)(*query)), None))

    def create_run(self, experiment_id: str, started: int | None, tags: dict[str, str], name: str) -> Any:
        """Make a run, once: a lost one is known by its moment and its tags."""
        moment = started or int(time.time() * 1000)
        tags = {stored(name): value for name, value in tags.items()}
        query = [experiment_id], f"attributes.start_time = {moment}"
        make = partial(self._client.create_run, experiment_id, moment, tags, name)
        return _named(self._once(make, "search_runs", *query, known=lambda run: tags.items() <= run.data.tags.items()))

    def create_logged_model(self, experiment_id: str, name: str, source_run_id: str, *more: Any, **named: Any) -> Any:
        """Make a logged model, once: a lost one is known by its run, and that nothing was done with it."""
        query = [experiment_id], f"{equals('source_run_id', source_run_id)} AND {equals('name', name)}"
        make = partial(self._client.create_logged_model, experiment_id, name, source_run_id, *more, **named)
        return self._once(make, "search_logged_models", *query, known=lambda model: model.status == "PENDING")

    def create_model_version(self, name: str, source: str, *more: Any, **named: Any) -> Any:
        """Make a version, once: a lost one is known by the logged model that it is of."""
        make = partial(self._client.create_model_version, name, source, *more, **named)
        query = equals("name", name)
        return self._once(make, "search_model_versions", query, known=lambda version: version.source == source)

    def call_unless(self, code: str, name: str, *given: Any, **named: Any) -> bool:
        """Make a call of this name; return False where MLflow refuses it with this error code."""
        try:
            self._repeated(name)(*given, **named)
        except MlflowException as error:
            if error.error_code != code:
                raise
            return False
        return True

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        """Set an alias, again where the database of a server refuses it to one of two machines that set it at once."""
        for _ in range(_ALIAS_ATTEMPTS - 1):
            if self.call_unless("BAD_REQUEST", "set_registered_model_alias", name, alias, version):
                return
            time.sleep(random.uniform(0.1, 0.5))
        self._repeated("set_registered_model_alias")(name, alias, version)

    def log_output(self, run_id: str, model_id: str) -> None:
        """Say that a run made a logged model, unless that is said already: MLflow would keep it twice."""

        def made() -> bool:
            return model_id in {output.model_id for output in self._client.get_run(run_id).outputs.model_outputs}

        if not self._retries(made):
            self._retries(lambda: self._client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)]), made)


def _named(run: Any) -> Any:
    """Return a run with the program's names of its tags in the place of the store's."""
    tags = plain(run.data.tags)
    run.data.tags.clear()
    run.data.tags.update(tags)
    return run


def _limit() -> float:
    """Return the seconds to wait. Raises InputError where VAD_RETRY_SECONDS is no number of seconds."""
    text = os.environ.get("VAD_RETRY_SECONDS") or str(LIMIT)
    seconds = plain_number(text)
    if seconds is None or not 0 <= seconds < math.inf:
        raise InputError(f"VAD_RETRY_SECONDS={text}: give a number of seconds, as in VAD_RETRY_SECONDS=60")
    return seconds


def _passes(error: Exception) -> bool:
    """Whether a later attempt may succeed."""
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code >= 500
    if isinstance(error, (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)):
        return True
    text = str(error)
    if "sqlite3." in text:
        return "database is locked" in text
    unavailable = getattr(error, "error_code", "") == "TEMPORARILY_UNAVAILABLE"
    return isinstance(error, MlflowException) and (unavailable or _ON_THE_WAY.search(text) is not None)


def _reason(error: Exception) -> str:
    """Return what is wrong with the store, as the end of a sentence that begins with its name."""
    text = str(error)
    if "database is locked" in text:
        return "is locked by another program"
    status = re.search(r"too many (\d+) error responses|^(\d{3}) Server Error", text)
    found = f"it says {status[1] or status[2]}" if status else next((r for r in _REASONS if r in text), "")
    return f"does not answer ({found})" if found else "does not answer"


_FULL, _TOO_MANY_FILES = (errno.ENOSPC, errno.EDQUOT), (errno.EMFILE, errno.ENFILE)
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
# Libraries that do not pass on the system's error say it in words.
_FULL_WORDS = ("No space left on device", "database or disk is full", "Disk quota exceeded")
_NOT_WRITABLE_WORDS = "Read-only file system"
_NOT_WRITABLE_DATABASE = "attempt to write a readonly database"
_DATABASE_WORDS = {
    _NOT_WRITABLE_DATABASE: "cannot be written, or was moved away while it was open",
    "no such table": "has lost its tables",
    "unable to open database file": "cannot be opened",
    "file is not a database": "is no database any more",
    "disk image is malformed": "is damaged",
    "disk I/O error": "cannot be read or written",
}
_LITTLE = 1 << 20  # bytes: a disk with less room than this is called full
_RESUME = "finished work is kept; run the same command again to resume"


def mendable(error: BaseException, uri: str, home: Path) -> str | None:
    """Return the fault and its remedy, where it is one that a person can mend; `uri` is the store's, `home` is VAD_HOME."""
    number = error.errno if isinstance(error, OSError) else None
    # Of a copy, the second is where to.
    file = (error.filename2 or error.filename) if isinstance(error, OSError) else None
    named = file if isinstance(file, str) else None
    text = str(error)
    database = sqlite_path(uri)
    if number in _FULL or any(words in text for words in _FULL_WORDS):
        written = [home, Path(tempfile.gettempdir()), *([database.parent] if database else [])]
        full = [place for place in written if place.exists() and shutil.disk_usage(place).free < _LITTLE]
        places = named or ", ".join(dict.fromkeys(map(str, full or written)))
        other = "name another place by VAD_HOME, TMPDIR or MLFLOW_TRACKING_URI"
        return f"the disk is full: cannot write {places}; make room there (or {other}): {_RESUME}"
    if (number in _NOT_WRITABLE and named) or _NOT_WRITABLE_WORDS in text:
        reason = os.strerror(number or errno.EROFS)
        return f"cannot write {named or text.splitlines()[0]}: {reason}; make it writable, or work in another folder"
    sound = database is not None and "unable to open database file" in text and _opens(database)
    if sound and database and not os.access(database.parent, os.W_OK):  # no room for its journal
        return f"cannot write {database.parent}: make it writable, or work in another folder"
    if number in _TOO_MANY_FILES or sound:
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        fault = f"too many files are open (`ulimit -n` allows {most:,}): cannot open {named or database}"
        return f"{fault}; allow more, as by `ulimit -n 8192`: {_RESUME}"
    if database and _NOT_WRITABLE_DATABASE in text and database.is_file() and not os.access(database, os.W_OK):
        return f"cannot write {database}: make it writable, or work in another folder"
    words = next((words for words in _DATABASE_WORDS if words in text), None)
    if database and words and "sqlite3." in text:
        fault, files = f"the database {database} {_DATABASE_WORDS[words]} ({words})", database.parent / ARTIFACTS
        return f"{fault}; {RESTORE}. What was finished is still in {files}"
    return None


def _opens(database: Path) -> bool:
    """Whether a database can be opened now, as it can be where files were closed since."""
    with suppress(sqlite3.Error), reading(database, timeout=5) as ask:
        return bool(ask("PRAGMA schema_version"))
    return False
