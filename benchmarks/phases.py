"""The command `vad`, which tells in a file when each of its parts begins: for those who want to interrupt it there.

python -m benchmarks.phases FILE COMMAND [ARGUMENT]...
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN = (
    "start", "import", "prepare", "store", "decode", "epoch", "state", "keep", "score", "log", "members", "register", "end",
)  # fmt: skip
"""The parts of a run in their order. An epoch and its state come again and again, and `keep` after each member."""


@dataclass(frozen=True)
class Mark:
    """A part and the moment in which it began."""

    name: str
    when: float


def read(file: Path) -> list[Mark]:
    """What was told so far."""
    if not file.exists():
        return []
    lines = file.read_text().splitlines(keepends=True)
    return [Mark(name, float(when)) for name, when in (line.split() for line in lines if line.endswith("\n"))]


def command(file: Path, arguments: list[str] | None) -> None:
    """Run the command in this process; with None its arguments are the process's own."""
    from registry.cli import main
    from registry.store import paths as workplace

    def tell(name: str) -> None:
        with file.open("a") as out:
            out.write(f"{name} {time.monotonic()}\n")

    original = workplace.workplace

    @contextlib.contextmanager
    def workplace_and_marks(home: Path) -> Iterator[Path]:
        with original(home) as folder:
            tell("import")
            _mark_all(tell)
            yield folder

    workplace.workplace = workplace_and_marks  # type: ignore[assignment]
    main(arguments)


def in_folder(
    folder: Path, temporary: Path, file: Path, said: Path, environment: dict[str, str], arguments: list[str]
) -> None:
    """The command as the whole of this process, working in a folder, with what it says in the file `said`.

    `temporary` takes the place of the system's temporary folder.
    """
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.environ["TMPDIR"], tempfile.tempdir = str(temporary), None
    with said.open("w") as out:
        for stream in (1, 2):
            os.dup2(out.fileno(), stream)
    sys.argv = ["vad", *arguments]
    command(file, None)


def _mark_all(tell: Callable[[str], None]) -> None:
    from registry.runs import executor, session
    from registry.runs.members import MemberStore
    from registry.store.runlog import RunLog
    from vad.detectors.training import trainer as training

    parts: list[tuple[Any, str, str]] = [
        (executor, "prepare", "prepare"),
        (session, "Tracking", "store"),
        (executor, "decode", "decode"),
        (training, "_one_epoch", "epoch"),
        (training, "_put_down", "state"),
        (MemberStore, "keep", "keep"),
        (executor, "score_targets", "score"),
        (executor, "log_results", "log"),
        (executor, "log_members", "members"),
        (executor, "register", "register"),
        (RunLog, "end", "end"),
    ]
    for owner, name, part in parts:
        setattr(owner, name, _marked(getattr(owner, name), part, tell))


def _marked(function: Callable[..., Any], part: str, tell: Callable[[str], None]) -> Callable[..., Any]:
    def marked(*arguments: Any, **named: Any) -> Any:
        tell(part)
        result = function(*arguments, **named)
        if part == "state":
            tell("kept")
        return result

    return marked


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(f"start {time.monotonic()}\n")
    sys.argv = ["vad", *sys.argv[2:]]
    command(path, None)
