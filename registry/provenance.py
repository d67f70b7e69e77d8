"""Where a run came from: code, machine, versions."""

import contextlib
import getpass
import importlib.metadata
import os
import platform
import re
import subprocess
from functools import cache
from pathlib import Path


def provenance(source: str) -> dict[str, str]:
    """Return tags that say which commit, which machine and which packages made a run; no host name, no path of a home."""
    from registry.console import plural
    from vad.system.threads import available  # loads PyTorch

    code = checkout()
    tags = {
        "mlflow.source.name": source,
        "mlflow.source.type": "LOCAL",
        "vad.machine": ", ".join([_processor(), plural(available(), "core"), *_gpu()]),
        "vad.python": platform.python_version(),
        "vad.torch": importlib.metadata.version("torch"),
        "mlflow.user": user(),
        "mlflow.source.git.commit": code["commit"],
        "vad.dirty": code["dirty"],
    }
    return {key: value for key, value in tags.items() if value}


@cache
def checkout() -> dict[str, str]:
    """Return the commit of the project's checkout, and whether files differ from it; empty where there is none."""
    # Where this is installed below a folder that is somebody's repository, that one knows nothing of this file.
    ours = _git("ls-files", "--error-unmatch", Path(__file__).name)
    commit = _git("rev-parse", "HEAD") if ours else ""
    return {"commit": commit, "dirty": ("yes" if _git("status", "--porcelain", "--", "..") else "no") if commit else ""}


def user() -> str:
    """Return who runs this, as the system knows them; empty where it does not."""
    with contextlib.suppress(KeyError, OSError):
        return getpass.getuser()
    return ""


def _git(*arguments: str) -> str:
    """Return what git says of the folder of this file; empty where there is no checkout."""
    # In a hook of git's, these would name the repository that it works on.
    hook = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    given = {name: value for name, value in os.environ.items() if name not in hook}
    command = ["git", "-C", str(Path(__file__).resolve().parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, env=given)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _gpu() -> list[str]:
    """Return the name of the GPU that computes, if one does."""
    import torch

    from vad.system.devices import device

    return [torch.cuda.get_device_name(chosen)] if (chosen := device()).type == "cuda" else []


def _processor() -> str:
    with contextlib.suppress(OSError):
        if name := re.search(r"^model name\s*:(.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return name[1].strip()
    return platform.processor() or platform.machine()
