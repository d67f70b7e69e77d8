"""What engines have in common: the jobs that they train."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from vad.detectors.base import Epoch, Trained
from vad.detectors.member import Member
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
