"""Where members are trained: in this process one after the other, or as tasks of a Ray cluster.

An engine trains and knows nothing of runs. This process alone speaks to MLflow and to the screen.
"""

import torch

from registry.console import Console
from registry.engines.base import Engine, Job, Lost
from registry.engines.local import LocalEngine
from vad.errors import InputError

__all__ = ["Engine", "Job", "LocalEngine", "Lost", "open_engine"]


def open_engine(name: str, gpu_share: float | None, device: torch.device, console: Console) -> Engine:
    """Return the engine that was asked for, not started yet. Raises InputError where it is not installed, or takes no share."""
    if name == "local":
        if gpu_share is not None:
            raise InputError(
                f"--gpu-share {gpu_share:g} is an option of Ray; add --engine ray (make: ENGINE=ray), or leave it out"
            )
        return LocalEngine(device)
    try:
        from registry.engines.ray import RayEngine
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise InputError(
            "ENGINE=ray: Ray is not installed; `make run ENGINE=ray ...` installs it, and so does `pip install -e '.[ray]'`; or leave ENGINE out"
        ) from None
    return RayEngine(gpu_share, console)
