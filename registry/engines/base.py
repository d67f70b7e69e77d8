"""What engines have in common: the jobs that they train."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from vad.detectors.member import Member
from vad.detectors.training.remote import Told
from vad.detectors.training.trainer import Epoch, Trained
from vad.inputs import Samples


@dataclass(frozen=True, eq=False)
class Job:
    """A member to train: what an engine needs for it, and whom it tells how that goes.

    The state after each epoch is in the file `resume` before `on_epoch` is called, and training resumes from
    a state found there. `on_batch` is told samples and their loss; fewer than none where some are lost.
    """

    member: Member
    samples: Samples
    resume: Path
    on_start: Callable[[], object]
    on_batch: Callable[[int, Tensor | float], None]
    on_epoch: Callable[[Epoch], None]

    def hear(self, told: Told) -> None:
        """Pass on what a worker told."""
        if told.samples:
            self.on_batch(told.samples, told.loss)
        if told.epoch is not None:
            self.on_epoch(told.epoch)


Outcomes = Generator[tuple[Job, Trained | Exception], None, None]


class Lost(RuntimeError):
    """The processes that were to train a member ended, again and again, before they got anywhere."""


class Engine(Protocol):
    """Trains members, somewhere."""

    parallel: bool
    """Whether there is room for more than one at once."""

    def start(self) -> None:
        """Get ready, if it is not yet. Raises InputError where what it needs cannot be reached."""

    def train(self, jobs: Iterable[Job]) -> Outcomes:
        """Train, and yield each job with what came of it as soon as it is known.

        A job is taken from `jobs` when there is use for it. When the iterator is closed, what is under way ends.
        """

    def close(self) -> None:
        """Give back what `start` took."""
