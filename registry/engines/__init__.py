"""Where members are trained: in this process, or as tasks of a Ray cluster. An engine knows nothing of runs."""

import torch

from registry.engines.base import Engine
from registry.engines.local import LocalEngine
from vad.errors import InputError


def open_engine(name: str, gpu_share: float | None, device: torch.device) -> Engine:
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
    return RayEngine(gpu_share)
