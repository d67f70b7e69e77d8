"""The files of a registered model, known by their SHA-256: nothing of it is loaded, none of its code run, unchecked.

The list of digests lies beside the files, as `sha256sum --check` reads it; the list's own digest stands in the version's
tags, in the database.
"""

from pathlib import Path

from vad.errors import InputError
from vad.system.files import sha256

LISTING = "model.sha256"
FACT = "vad.model_sha256"
"""The version's tag that holds the SHA-256 of the list."""


def write_listing(folder: Path, path: Path) -> str:
    """Write the list of a folder's files; its SHA-256."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not _added(file))
    lines = [f"{sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in files]
    path.write_text("".join(lines))
    return sha256(path)


def require_listed(folder: Path, digest: str, what: str) -> None:
    """Leave in a folder what its list names, and the list. Raises InputError that names a file that is missing or was altered."""
    known = {**listed(folder, digest, what), LISTING: digest}
    for name, recorded in known.items():
        if not (folder / name).is_file() or sha256(folder / name) != recorded:
            raise InputError(f"{what}: {name} {_FAULT}")
    for file in folder.rglob("*"):
        if file.is_file() and file.relative_to(folder).as_posix() not in known:
            file.unlink()  # what Python and MLflow add, and what somebody else might


def faults(folder: Path, digest: str) -> list[str]:
    """What of the files that lie in a model's folder is missing, was altered, or is no part of it."""
    try:
        known = listed(folder, digest, "")
    except InputError:
        return [f"its {LISTING} is missing or was altered"]
    wrong = [n for n, recorded in known.items() if not (folder / n).is_file() or sha256(folder / n) != recorded]
    names = (
        file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file() and not _added(file)
    )
    more = [name for name in names if name not in known]
    return [f"{name} is missing or was altered" for name in wrong] + [f"{name} is no part of it" for name in more]


def listed(folder: Path, digest: str, what: str) -> dict[str, str]:
    """The SHA-256 of a model's files by name, from the list that has this digest. Raises InputError where that is another."""
    path = folder / LISTING
    if not path.is_file() or sha256(path) != digest:
        raise InputError(f"{what}: {LISTING} {_FAULT}")
    return {name: known for known, _, name in (line.partition("  ") for line in path.read_text().splitlines())}


_FAULT = (
    "is missing or was altered: its SHA-256 is not the one recorded; bring it back, or run the experiment again with "
    "FORCE=1"
)


def _added(file: Path) -> bool:
    """Whether Python or MLflow put it there when the model was loaded, or it is the list."""
    return "__pycache__" in file.parts or file.name in (LISTING, "registered_model_meta")
