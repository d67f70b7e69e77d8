"""`vad` in a process of its own, forked from one that has imported what it needs."""

import functools
import os
import tempfile
from pathlib import Path
from subprocess import CompletedProcess

from benchmarks.at_once import start, vad


def apart(folder: Path, *arguments: str, **environment: str) -> CompletedProcess[str]:
    """Run a command; `environment` is set beside that of this process."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
        process = start(
            functools.partial(vad, arguments), folder, os.environ | environment, out.fileno(), error.fileno()
        )
        process.join()
        out.seek(0), error.seek(0)
        return CompletedProcess(list(arguments), process.exitcode or 0, out.read(), error.read())
