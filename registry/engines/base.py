"""What engines have in common: jobs that they train, and the training_jobs that the jobs are a part of."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

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


Key = TypeVar("Key")
Ending = TypeVar("Ending")
TrainingJob = Generator[Job, Trained, Ending]
"""All that happens to a member, in order: at its one `yield` it hands over its job and waits until an engine has trained
it. It may end without."""


def run_jobs(
    training_jobs: Iterable[tuple[Key, TrainingJob[Ending]]], engine: Engine
) -> Generator[tuple[Key, Ending | Exception], None, None]:
    """Run every training job to its end, and yield its key with what it returned or raised, as they end.

    Where this is stopped or closed, so are the training jobs that have not ended. What one raises before it hands over
    its job stops all.
    """
    training: dict[Job, tuple[Key, TrainingJob[Ending]]] = {}
    untrained: list[tuple[Key, Ending]] = []

    def jobs() -> Iterator[Job]:
        for key, training_job in training_jobs:
            try:
                job = next(training_job)
            except StopIteration as end:
                untrained.append((key, end.value))
            else:
                training[job] = key, training_job
                yield job

    try:
        with closing(engine.train(jobs())) as outcomes:
            for job, outcome in outcomes:
                key, training_job = training.pop(job)
                yield key, _end(training_job, outcome)
        yield from untrained
    except BaseException as error:
        for _, training_job in training.values():
            with suppress(type(error)):
                training_job.throw(error)
        raise


def _end(training_job: TrainingJob[Ending], outcome: Trained | Exception) -> Ending | Exception:
    try:
        if isinstance(outcome, Exception):
            training_job.throw(outcome)
        else:
            training_job.send(outcome)
    except StopIteration as end:
        ending: Ending = end.value
        return ending
    except Exception as error:
        return error
    raise AssertionError("a training job has one job")
