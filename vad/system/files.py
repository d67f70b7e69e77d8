"""Files that are either whole or absent, and what a process that was killed left of them."""

import contextlib
import errno
import glob
import hashlib
import os
import shutil
import stat
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vad.errors import InputError
from vad.system.processes import gone, own_mark

_LFS_START, _LFS_LONGEST = b"version https://git-lfs.github.com/", 1024
_LONG = 7 * 86400  # seconds after which no process of another machine is still writing
_FULL = "the disk is full; make room, and run the same command again to resume"
_LARGE = (
    "its disk holds no file so large; choose another disk (VAD_HOME for what is under .vad), and run the command again"
)
_NO_ROOM = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EFBIG: _LARGE}
_LITTLE = 1 << 16  # bytes: a smaller file is not worth a link
_under_way: set[Path] = set()  # for `abandon`


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success it becomes `path`, on failure it goes. Raises InputError for no place or no room."""
    place = _place(path)
    temporary = _temporary(place)
    try:
        yield temporary
        os.replace(temporary, place)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise InputError(f"cannot write {path}: {_NO_ROOM[error.errno]}") from None
    finally:
        temporary.unlink(missing_ok=True)
        _under_way.discard(temporary.absolute())


def require_writable(path: Path) -> None:
    """Raise InputError where `path` could not be written; for finding out before long work, not after it."""
    _temporary(_place(path)).unlink()


def unfinished(path: Path) -> Path:
    """Return a temporary path for what will become `path`; its mark shows when the process has ended."""
    made = path.with_name(f".{path.name}.{own_mark()}.part")
    _under_way.add(made.absolute())
    return made


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A folder on the disk on which `path` will lie; it goes with the block, unless it was moved."""
    folder = unfinished(path)
    try:
        folder.mkdir(parents=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path`. Raises InputError where that is not empty, or cannot be written."""
    place = path.resolve()
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise InputError(f"{path} is there already, and not an empty folder; name a new one")
    try:
        sweep(place.parent, place.name)
        with folder_beside(place) as temporary:
            yield temporary
            os.replace(temporary, place)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "make room, and run the same command again" if full else "choose a folder that you can write to"
        raise InputError(f"cannot write {path}: {error.strerror or error}; {fix}") from None


def abandon() -> None:
    """Remove all that this process left unfinished: a signal can come between a file's making and the block that tidies up."""
    while _under_way:
        _remove(_under_way.pop())


def left_behind(path: Path) -> bool:
    """Return whether a path is from `unfinished`, and its process has ended."""
    if not path.name.startswith(".") or path.suffix != ".part":
        return False
    with contextlib.suppress(FileNotFoundError):
        return gone(path.stem.rpartition(".")[2]) or path.stat().st_mtime < time.time() - _LONG
    return False


def sweep(folder: Path, name: str = "") -> None:
    """Remove what processes that are gone left half-written in a folder: of the file `name`, or of all."""
    for path in folder.glob(f".{glob.escape(name) or '*'}.*.part"):
        if left_behind(path):
            _remove(path)


def share(original: Path, copy: Path) -> bool:
    """Make a copy another name of `original`'s file; False where it stays a copy. To write into either changes both."""
    if original.samefile(copy):
        return True
    try:
        with replacing(copy) as temporary:
            temporary.unlink()
            os.link(original, temporary)
    except (OSError, InputError):  # two disks, or one that knows no such links
        return False
    return True


def twins(paths: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Yield pairs of equal files: an original, and a copy of it that `share` could make another name of it."""
    plain = [path for path in paths if path.is_file() and not path.is_symlink()]
    sizes = Counter(path.stat().st_size for path in plain)
    firsts: dict[str, Path] = {}
    for path in plain:
        size = path.stat().st_size
        if size > _LITTLE and sizes[size] > 1 and not (one := firsts.setdefault(sha256(path), path)).samefile(path):
            yield one, path


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # another process sweeps too
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _place(path: Path) -> Path:
    """Where a file is replaced: what a link leads to, so that the link stays. Raises InputError for a pipe or a device."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):  # they take what can be no path, too
        raise InputError(f"cannot write {path}: it is a pipe or a device, not a file; name a file")
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def _temporary(path: Path) -> Path:
    temporary = unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, path.name)
        temporary.touch()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose a folder that you can write to") from None
    return temporary


@contextlib.contextmanager
def reading(path: Path, content: bool = True) -> Iterator[None]:
    """Say by InputError which path the system would not read, and why; refuse what has no `content` of its own, as `require_plain` does."""
    try:
        if content:
            require_plain(path)
        yield
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def require_plain(path: Path) -> None:
    """Raise InputError for a pipe or a device, which might be read for ever, and for a Git LFS pointer. Raises OSError where there is nothing."""
    status = path.stat()
    if stat.S_ISREG(status.st_mode):
        if status.st_size < _LFS_LONGEST:
            with path.open("rb") as file:
                require_no_pointer(file.read(len(_LFS_START)), str(path))
    elif not stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path} is a pipe or a device, not a file; remove it")


def require_no_pointer(data: bytes, where: str) -> None:
    """Raise InputError for the content of a file that Git LFS did not fetch."""
    if data.startswith(_LFS_START):
        raise InputError(f"{where} is a Git LFS pointer, not the file itself; run `git lfs pull`")


def lines_of(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a text that are not blank, stripped, with their numbers. Raises InputError where it cannot be read."""
    with reading(path):
        lines = path.read_text("utf-8-sig", errors="replace").splitlines()
    return [(at, line.strip()) for at, line in enumerate(lines, 1) if line.strip()]


def last_line(log: Path) -> str:
    """Return the last line of a log."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted. Raises InputError where it cannot be read."""
    with reading(folder):
        return sorted(os.listdir(folder))


def files_in(folder: Path) -> dict[str, Path]:
    """Return every file below a folder by its path from there, sorted."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def altered(folder: Path, known: Mapping[str, str]) -> list[str]:
    """Return the names of files that are missing from a folder, or have another SHA-256 than the known one."""
    return [name for name, digest in known.items() if not (folder / name).is_file() or sha256(folder / name) != digest]


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
