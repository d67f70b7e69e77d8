"""Blocks of your own: the Python files of a folder `blocks/`, imported as `vad.blocks.NAME`, and packages with the entry point `vad.blocks`.

A model's copy of `vad` has those files in this place, and so has what travels to a Ray cluster.
"""

import functools
import importlib
import os
import shutil
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path

from vad.errors import InputError
from vad.user_code import told

_VAD = Path(__file__).resolve().parents[1]
FOLDER = "VAD_BLOCKS"  # the environment variable with the folder; by default it is `blocks` in the working folder


def load_project() -> None:
    """Import the blocks of the project that a command works in. Raises InputError as `load` does, and for a folder that is not there."""
    folder = Path(os.path.expandvars(os.environ.get(FOLDER) or "blocks")).expanduser().resolve()
    if folder.is_dir():
        if str(folder) not in __path__:
            __path__.append(str(folder))
    elif os.environ.get(FOLDER):
        raise InputError(
            f"{FOLDER}={os.environ[FOLDER]} is not a folder; name the folder with your blocks, or unset it"
        )
    load()


def load() -> None:
    """Import every known block of your own. Raises InputError with file and line of what cannot be imported."""
    try:
        for name in _own():
            importlib.import_module(f"{__name__}.{name.removesuffix('.py')}")
        for point in _installed():
            point.load()
    except SyntaxError as error:
        place = f"blocks/{Path(error.filename or '').name}, line {error.lineno}"
        raise InputError(f"a block cannot be imported: {place}: SyntaxError: {error.msg}") from None
    except Exception as error:  # user code may raise anything
        raise InputError(f"a block cannot be imported: {told(error)}") from None


def searched() -> str:
    """Return where blocks of your own were looked for, as the end of a message about an unknown one."""
    folder = os.environ.get(FOLDER) or "blocks"
    if not os.path.isdir(folder):
        return f"; there is no folder {folder}/ here: a block of your own goes into a Python file in it (docs/extending.md)"
    files = ", ".join(_own()) or "no Python file"
    return f"; your own blocks were looked for in {folder}/ ({files}); docs/extending.md shows how to add one"


def packages() -> list[str]:
    """Return the names of the installed packages that bring blocks."""
    return sorted({point.dist.name for point in _installed() if point.dist})


def sources() -> dict[str, Path]:
    """Return the Python files of `vad` by their paths in it, your own blocks among them."""
    code = {path.relative_to(_VAD).as_posix(): path for path in sorted(_VAD.rglob("*.py"))}
    return code | {f"blocks/{name}": path for name, path in _own().items()}


def copy_code(to: Path) -> None:
    """Write `vad` with your own blocks into a new folder."""
    for name, path in sources().items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to / name)


def copy_own(to: Path) -> None:
    """Write your own blocks, helpers included, into a new folder."""
    to.mkdir(parents=True)
    for name, path in _own().items():
        shutil.copy(path, to / name)


@functools.cache
def _installed() -> EntryPoints:
    return entry_points(group=__name__)  # reads every installed package's metadata


def _own() -> dict[str, Path]:
    files = (path for folder in __path__ for path in sorted(Path(folder).glob("[!_.]*.py")))
    return {path.name: path for path in files}
