"""Where a run came from: code, machine, versions."""

import contextlib
import getpass
import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path


def provenance(source: str) -> dict[str, str]:
    """Tags that say which commit, which machine and which packages made a run; no host name, no path of a home."""
    from vad.system.threads import available  # loads PyTorch

    tags = {
        "mlflow.source.name": source,
        "mlflow.source.type": "LOCAL",
        "vad.machine": f"{_processor()}, {available()} cores",
        "vad.python": platform.python_version(),
        "vad.torch": importlib.metadata.version("torch"),
    }
    if name := user():
        tags["mlflow.user"] = name
    code = checkout()
    if code["commit"]:
        tags |= {"mlflow.source.git.commit": code["commit"], "vad.dirty": code["dirty"]}
    return tags


@cache
def checkout() -> dict[str, str]:
    """The commit of the project's checkout, and whether files differ from it; empty where there is none.

    Where this is installed below a folder that is somebody's repository, that one knows nothing of this file.
    """
    ours = _git("ls-files", "--error-unmatch", Path(__file__).name)
    commit = _git("rev-parse", "HEAD") if ours else ""
    return {"commit": commit, "dirty": ("yes" if _git("status", "--porcelain", "--", "..") else "no") if commit else ""}


def user() -> str:
    """Who runs this, as the system knows them; empty where it does not."""
    with contextlib.suppress(KeyError, OSError):
        return getpass.getuser()
    return ""


def _git(*arguments: str) -> str:
    """What git says of the project's checkout; empty where there is none."""
    project = Path(__file__).resolve().parent
    # In a hook of git's, these would name the repository that it works on.
    given = {
        name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    }
    command = ["git", "-C", str(project), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, env=given)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
