"""Addresses of SQLite stores and files, with names of folders as they come: blanks, %, ?, #, quotes."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Ask = Callable[[str], Sequence[tuple[Any, ...]]]  # gives the rows of a query
_PREFIX = "sqlite:///"
ARTIFACTS = "mlartifacts"  # the folder of files next to a SQLite database
# What to do with a database that cannot be used.
RESTORE = "put a copy of it back (`vad doctor --fix` leaves *.before-doctor-*), or move it away to begin a new one"


def sqlite_path(uri: str) -> Path | None:
    """Return the file that the address of a SQLite store names, without options (`?timeout=30`); None for another address."""
    return Path(unquote(uri.removeprefix(_PREFIX).partition("?")[0])) if uri.startswith(_PREFIX) else None


def sqlite_uri(path: Path) -> str:
    """Return the address of a SQLite file."""
    return _PREFIX + str(path).replace("%", "%25").replace("?", "%3F")


@contextmanager
def reading(database: Path, timeout: float = 20) -> Iterator[Ask]:
    """Yield a function that asks a database without changing it. Raises sqlite3.Error, at a lock after `timeout` s."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=timeout)) as opened:
        yield lambda query: opened.execute(query).fetchall()


def local_path(address: str) -> Path | None:
    """Return the path that a `file:` address names, or that an address is; None for another address."""
    if address.startswith("file:"):
        return Path(unquote(urlsplit(address).path))
    return Path(address) if address.startswith("/") else None
