"""The files of a registered model, known by their SHA-256: nothing of it is loaded, none of its code run, unchecked.

The list of digests lies beside the files, as `sha256sum --check` reads it; the list's own digest stands in the version's
tags, in the database.
"""

from pathlib import Path

from vad.errors import InputError
from vad.files import sha256

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
    """Leave in a folder what its list names. Raises InputError that names a file that is missing or was altered."""
    path = folder / LISTING
    if not path.is_file() or sha256(path) != digest:
        raise InputError(f"{what}: {LISTING} {_FAULT}")
    listed = {name: known for known, _, name in (line.partition("  ") for line in path.read_text().splitlines())}
    for name, known in listed.items():
        if not (folder / name).is_file() or sha256(folder / name) != known:
            raise InputError(f"{what}: {name} {_FAULT}")
    for file in folder.rglob("*"):
        if file.is_file() and file.relative_to(folder).as_posix() not in listed:
            file.unlink()  # what Python and MLflow add, and what somebody else might


_FAULT = (
    "is missing or was altered: its SHA-256 is not the one recorded; bring it back, or run the experiment again with "
    "FORCE=1"
)


def _added(file: Path) -> bool:
    """Whether Python or MLflow put it there when the model was loaded, or it is the list."""
    return "__pycache__" in file.parts or file.name in (LISTING, "registered_model_meta")
