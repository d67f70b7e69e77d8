"""What a person can mend, in one line: a disk that is full, a folder that cannot be written, a database that is gone."""

import errno
import os
import resource
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from registry.store.address import sqlite_path

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
            "TMPDIR or MLFLOW_TRACKING_URI): what was finished is kept, and the same command goes on from here"
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
            "`ulimit -n 8192`: what was finished is kept, and the same command goes on from here"
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
