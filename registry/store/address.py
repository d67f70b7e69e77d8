"""Addresses of SQLite stores and files, with names of folders as they come: blanks, %, ?, #, quotes."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

_PREFIX = "sqlite:///"


def sqlite_path(uri: str) -> Path | None:
    """Return the file that the address of a SQLite store names, without options (`?timeout=30`); None for another address."""
    return Path(unquote(uri.removeprefix(_PREFIX).partition("?")[0])) if uri.startswith(_PREFIX) else None


def sqlite_uri(path: Path) -> str:
    """Return the address of a SQLite file."""
    return _PREFIX + str(path).replace("%", "%25").replace("?", "%3F")


def local_path(address: str) -> Path | None:
    """Return the path that a `file:` address names, or that an address is; None for another address."""
    if address.startswith("file:"):
        return Path(unquote(urlsplit(address).path))
    return Path(address) if address.startswith("/") else None
