"""Waiting for a tracking store that does not answer for a while: each call of MLflow is repeated until it works again.

What passes by itself is waited for: a server that is gone, hangs, or says 5xx; a database that another program has
locked. What is wrong for good (400, 404, a full disk) is raised at once.
"""

import errno
import os
import re
import resource
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import mlflow
import requests
from mlflow.exceptions import MlflowException

from registry.console import Console
from registry.signals import whole
from registry.store.address import sqlite_path
from registry.store.search import equals, pages
from vad.errors import InputError

LIMIT = 600.0
"""Seconds for which a call is repeated; those of the environment variable VAD_PATIENCE take their place."""
# Seconds from one attempt to the next; the last goes on. What takes no longer than `_HICCUP` is not worth a word.
_PAUSES = (0.1, 0.3, 0.6, 1.0, 2.0, 3.0)
_HICCUP = 1.0
# MLflow puts what went wrong on the way to a server into words alone.
_ON_THE_WAY = re.compile(
    r"API request to \S+ failed with (timeout )?exception|Connection (broken|aborted|reset)|IncompleteRead|Read timed out"
)
_REASONS = ("Connection refused", "timed out", "Name or service not known", "Connection reset", "Remote end closed")


Answer = TypeVar("Answer")
_waits: ContextVar[bool] = ContextVar("waits", default=True)


class Silent(InputError):
    """The store did not answer for as long as one waits for it."""


@contextmanager
def impatient() -> Iterator[None]:
    """A block of this thread that does not wait: for what can be left out, or done later."""
    before = _waits.set(False)
    try:
        yield
    finally:
        _waits.reset(before)


class Retries:
    """Repeats calls of one store. A person is told where a wait begins and where it is over."""

    def __init__(self, shown: str):
        self._limit = _limit()
        self._who = (
            f"the tracking server {shown}"
            if shown.startswith("http")
            else f"the database {sqlite_path(shown) or shown}"
        )
        # A server's answer may take long, and nothing of its transactions is here.
        self._unbroken = nullcontext if shown.startswith("http") else whole
        self._lock = threading.Lock()
        self._since: float | None = None  # when the outage began that was spoken of
        self._given_up = False

    def __call__(self, call: Callable[[], Answer], made: Callable[[], Answer | None] | None = None) -> Answer:
        """What `call` returns, once it works; `made` looks for what an attempt made whose answer was lost.

        Raises Silent where patience runs out, and whatever will not pass at once.
        """
        begun = time.monotonic()
        attempts = 0
        while True:
            try:
                with self._unbroken():
                    answer = (made() if made and attempts else None) or call()
            except Exception as error:
                if not _passes(error):
                    raise
                self._wait(error, begun, attempts)
                attempts += 1
            else:
                self._works()
                return answer

    def _wait(self, error: Exception, begun: float, attempts: int) -> None:
        spent = time.monotonic() - begun
        limit = self._limit if _waits.get() and not self._given_up else _HICCUP
        reason = _reason(error)
        # An attempt may take long itself, as at a database that is locked.
        if spent >= _HICCUP or spent >= limit:
            with self._lock:
                if self._since is None:
                    self._since = begun
                    Console().say(f"  {self._who} {reason}; waiting up to {_duration(self._limit)}")
        if spent >= limit:
            self._given_up |= _waits.get()
            raise Silent(
                f"{self._who} {reason}, and has for {_duration(time.monotonic() - (self._since or begun))}; what was "
                "finished is kept, also what the store has not got yet: mend that, and run the same command again to resume"
            ) from error
        time.sleep(min(_PAUSES[min(attempts, len(_PAUSES) - 1)], limit - spent))

    def _works(self) -> None:
        if self._since is None:
            return
        with self._lock:
            if self._since is not None:
                Console().say(f"  {self._who} answers again, after {_duration(time.monotonic() - self._since)}")
            self._since, self._given_up = None, False


class RetryingClient:
    """MLflow's client: each call is repeated, a search finds all there is, and what is to be made is made once all the same."""

    def __init__(self, patience: Retries):
        self._patience = patience
        self._client = patience(mlflow.MlflowClient)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("search_"):
            return lambda *given, **named: list(pages(self._patiently(name), *given, **named))
        return self._patiently(name)

    def _patiently(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *given, **named: self._patience(lambda: method(*given, **named))

    def runs(self, experiment_ids: list[str], condition: str) -> Iterator[Any]:
        """Yield the runs for which a condition holds, newest first, a page whenever one is used up."""
        return pages(self._patiently("search_runs"), experiment_ids, condition, order_by=["start_time DESC"])

    def create_run(
        self, experiment_id: str, start_time: int | None = None, tags: Any = None, run_name: str | None = None
    ) -> Any:
        """A new run. One that a lost answer left is known by its moment and its tags."""
        moment = start_time or int(time.time() * 1000)

        def made() -> Any:
            found = self._client.search_runs([experiment_id], f"attributes.start_time = {moment}")
            return next((run for run in found if (tags or {}).items() <= run.data.tags.items()), None)

        return self._patience(lambda: self._client.create_run(experiment_id, moment, tags, run_name), made)

    def create_logged_model(self, experiment_id: str, name: str, source_run_id: str, *more: Any, **named: Any) -> Any:
        """A new logged model. One that a lost answer left is known by its run, and that nothing was done with it."""

        def made() -> Any:
            query = f"{equals('source_run_id', source_run_id)} AND {equals('name', name)}"
            found = self._client.search_logged_models([experiment_id], query)
            return next((model for model in found if model.status == "PENDING"), None)

        return self._patience(
            lambda: self._client.create_logged_model(experiment_id, name, source_run_id, *more, **named), made
        )

    def create_model_version(self, name: str, source: str, *more: Any, **named: Any) -> Any:
        """A new version. One that a lost answer left is known by the logged model that it is of."""

        def made() -> Any:
            found = self._client.search_model_versions(equals("name", name))
            return next((version for version in found if version.source == source), None)

        return self._patience(lambda: self._client.create_model_version(name, source, *more, **named), made)

    def log_outputs(self, run_id: str, models: Any) -> None:
        """That a run made models; said once, as MLflow would keep it twice."""

        def made() -> bool:
            there = {output.model_id for output in self._client.get_run(run_id).outputs.model_outputs}
            return {model.model_id for model in models} <= there

        self._patience(lambda: self._client.log_outputs(run_id, models), made)


def _limit() -> float:
    """Raises InputError where VAD_PATIENCE is no number of seconds."""
    text = os.environ.get("VAD_PATIENCE") or str(LIMIT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise InputError(f"VAD_PATIENCE={text}: give a number of seconds, as in VAD_PATIENCE=60")
    return seconds


def _passes(error: Exception) -> bool:
    """Whether an error is of the kind that is over after a while."""
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code >= 500
    if isinstance(error, (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)):
        return True
    text = str(error)
    if "sqlite3." in text:
        return "database is locked" in text
    return isinstance(error, MlflowException) and (
        error.error_code == "TEMPORARILY_UNAVAILABLE" or _ON_THE_WAY.search(text) is not None
    )


def _reason(error: Exception) -> str:
    """What is the matter with the store, after its name."""
    text = str(error)
    if "database is locked" in text:
        return "is locked by another program"
    status = re.search(r"too many (\d+) error responses|^(\d{3}) Server Error", text)
    found = f"it says {status[1] or status[2]}" if status else next((r for r in _REASONS if r in text), "")
    return f"does not answer ({found})" if found else "does not answer"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


_FULL = (errno.ENOSPC, errno.EDQUOT)
_BARRED = (errno.EROFS, errno.EACCES, errno.EPERM)
_MANY = (errno.EMFILE, errno.ENFILE)
# Libraries that do not pass on the system's error say it in words.
_FULL_WORDS = ("No space left on device", "database or disk is full", "Disk quota exceeded")
_BARRED_WORDS = ("Read-only file system",)
_DATABASE_WORDS = {
    "attempt to write a readonly database": "cannot be written, or was moved away while it was open",
    "no such table": "has lost its tables",
    "unable to open database file": "cannot be opened",
    "file is not a database": "is no database any more",
    "disk image is malformed": "is damaged",
    "disk I/O error": "cannot be read or written",
}
# Bytes: what has less room than this is called full.
_LITTLE = 1 << 20


def mendable(error: BaseException, uri: str, home: Path) -> str | None:
    """The fault and its remedy, where it is one that a person can mend; `uri` is the store's, `home` is VAD_HOME."""
    number = error.errno if isinstance(error, OSError) else None
    # Of a copy, the second is where to.
    named = (error.filename2 or error.filename) if isinstance(error, OSError) else None
    named = named if isinstance(named, str) else None
    text = str(error)
    database = sqlite_path(uri)
    if number in _FULL or any(words in text for words in _FULL_WORDS):
        places = [named] if named else _full_places(home, database)
        return (
            f"the disk is full: cannot write {', '.join(places)}; make room there (or name another place by VAD_HOME, "
            "TMPDIR or MLFLOW_TRACKING_URI): finished work is kept; run the same command again to resume"
        )
    if (number in _BARRED and named) or any(words in text for words in _BARRED_WORDS):
        what = named or text.splitlines()[0]
        return f"cannot write {what}: {os.strerror(number or errno.EROFS)}; make it writable, or work in another folder"
    sound = database is not None and "unable to open database file" in text and _opens(database)
    if sound and database and not os.access(database.parent, os.W_OK):  # no room for its journal
        return f"cannot write {database.parent}: make it writable, or work in another folder"
    if number in _MANY or sound:
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return (
            f"too many files are open (`ulimit -n` allows {most:,}): cannot open {named or database}; allow more, as by "
            "`ulimit -n 8192`: finished work is kept; run the same command again to resume"
        )
    if database and "sqlite3." in text:
        for words, fault in _DATABASE_WORDS.items():
            if words in text:
                return (
                    f"the database {database} {fault} ({words}); put a copy of it back, or move it away to begin a new "
                    f"one. What was finished is still in {database.parent / 'mlartifacts'}"
                )
    return None


def _opens(database: Path) -> bool:
    """Whether a database can be opened now, as it can be where files were closed since."""
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as opened:
            opened.execute("SELECT count(*) FROM runs")
    except sqlite3.Error:
        return False
    return True


def _full_places(home: Path, database: Path | None) -> list[str]:
    """Which of the places that are written to have no room; all of them where none says so."""
    places = [home, Path(tempfile.gettempdir()), *([database.parent] if database else [])]
    full = [str(place) for place in places if place.exists() and shutil.disk_usage(place).free < _LITTLE]
    return list(dict.fromkeys(full or map(str, places)))
