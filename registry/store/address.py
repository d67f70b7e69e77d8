"""The address of a SQLite store and the file that it names, with names of folders as they come: blanks, %, ?, #, quotes."""

from pathlib import Path
from urllib.parse import unquote

_PREFIX = "sqlite:///"


def sqlite_path(uri: str) -> Path | None:
    """Return the file that an address names, as SQLAlchemy reads it; None for an address of another kind.

    The options of an address are left out, as in `sqlite:///mlflow.db?timeout=30`.
    """
    if not uri.startswith(_PREFIX):
        return None
    return Path(unquote(uri.removeprefix(_PREFIX).partition("?")[0]))


def sqlite_uri(path: Path) -> str:
    """Return the address of a SQLite file."""
    return _PREFIX + str(path).replace("%", "%25").replace("?", "%3F")


def options(uri: str) -> str:
    """Return what follows a file in an address, as in `?timeout=30`."""
    return uri[uri.find("?") :] if "?" in uri else ""
