"""What engines have in common: the jobs that they train."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vad.detectors.base import Epoch, Trained
from vad.detectors.member import Member
from vad.errors import InputError
from vad.inputs import Samples


@dataclass(frozen=True, eq=False)
class Job:
    """A member to train, and the callbacks that follow its training.

    The state after each epoch is in the file `resume` before `on_epoch` is called, and training resumes from
    a state found there. `on_batch` gets the number of samples and their loss; a negative number takes back those of a lost worker.
    """

    member: Member
    samples: Samples
    resume: Path
    on_start: Callable[[], object]
    on_batch: Callable[[int, Tensor | float], None]
    on_epoch: Callable[[Epoch], None]


Outcomes = Generator[tuple[Job, Trained | Exception], None, None]


class Lost(RuntimeError):
    """The worker processes of a member ended repeatedly, without one more epoch."""


class Engine:
    """Trains members, on this machine or on others."""

    parallel: bool
    """Whether there is room for more than one at once."""

    def start(self) -> None:
        """Start, unless it is started already. Raises InputError where what it needs cannot be reached."""

    def train(self, jobs: Iterable[Job]) -> Outcomes:
        """Train, and yield each job with what came of it as soon as it is known.

        A job is taken from `jobs` when there is room for it. Closing the iterator stops all training.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Release what `start` acquired."""


def open_engine(name: str, gpu_share: float | None, device: torch.device) -> Engine:
    """Return the engine that was asked for, not started yet. Raises InputError where it is not installed, or takes no share."""
    from registry.engines.local import LocalEngine

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
