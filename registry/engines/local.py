"""Members in this process: one after the other, or several at once on a GPU that one does not fill."""

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from queue import SimpleQueue

import torch
from torch import Tensor

from registry.engines.base import Job, Outcomes
from vad.detectors.training.trainer import Epoch, Trained, train

# Members that share a GPU. Each has a stream; more of them than this no longer fit between one another's kernels.
_ON_A_GPU = 3
# Seconds between two words about a member's batches: often enough for a progress bar.
_EVERY = 0.3


class LocalEngine:
    """Needs nothing and trains on the device of this process."""

    def __init__(self, device: torch.device, workers: int | None = None):
        self._device = device
        self._workers = workers or (_ON_A_GPU if device.type == "cuda" else 1)
        self.parallel = False  # of one experiment's members, not of several experiments

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def train(self, jobs: Iterable[Job]) -> Outcomes:
        """With one worker a job is taken when the one before has ended."""
        if self._workers > 1:
            yield from _at_once(jobs, self._device, self._workers)
            return
        for job in jobs:
            job.on_start()
            try:
                outcome: Trained | Exception = _train(job, self._device, job.on_batch, job.on_epoch)
            except Exception as error:
                outcome = error
            yield job, outcome


def _train(job: Job, device: torch.device, on_batch: object, on_epoch: object) -> Trained:
    member = job.member
    return train(
        member.build(), job.samples, member.training, member.seed, device,
        on_batch=on_batch, on_epoch=on_epoch, resume=job.resume,  # type: ignore[arg-type]
    )  # fmt: skip


@dataclass(frozen=True)
class _Word:
    """What a worker says of its job: samples and their loss, an epoch, or at the end what came of it."""

    job: Job
    samples: int = 0
    loss: float = float("nan")
    epoch: Epoch | None = None
    outcome: Trained | Exception | None = None


class _Stopped(Exception):
    """Nobody waits for this training any more."""


def _at_once(jobs: Iterable[Job], device: torch.device, workers: int) -> Outcomes:
    """Jobs in threads, each with a stream of its own. They speak through a queue: this thread alone calls back."""
    said: SimpleQueue[_Word] = SimpleQueue()
    stop = threading.Event()
    waiting = iter(jobs)
    with ThreadPoolExecutor(workers, thread_name_prefix="train") as pool:
        try:
            running = sum(_begin(pool, waiting, device, said, stop) for _ in range(workers))
            while running:
                word = said.get()
                if word.samples:
                    word.job.on_batch(word.samples, word.loss)
                if word.epoch is not None:
                    word.job.on_epoch(word.epoch)
                if word.outcome is not None:
                    running += _begin(pool, waiting, device, said, stop) - 1
                    yield word.job, word.outcome
        finally:
            stop.set()


def _begin(
    pool: ThreadPoolExecutor, jobs: Iterator[Job], device: torch.device, said: SimpleQueue[_Word], stop: threading.Event
) -> int:
    """Hand the next job to a worker; gives how many there were, one or none."""
    job = next(jobs, None)
    if job is None:
        return 0
    job.on_start()
    _: Future[None] = pool.submit(_work, job, device, said, stop)
    return 1


def _own_stream(device: torch.device) -> AbstractContextManager[object]:
    if device.type != "cuda":
        return nullcontext()
    return torch.cuda.stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]


def _work(job: Job, device: torch.device, said: SimpleQueue[_Word], stop: threading.Event) -> None:
    seen, spoken = 0, time.monotonic()

    def on_batch(count: int, loss: Tensor) -> None:
        nonlocal seen, spoken
        if stop.is_set():
            raise _Stopped
        seen += count
        if time.monotonic() - spoken >= _EVERY:
            said.put(_Word(job, seen, float(loss)))
            seen, spoken = 0, time.monotonic()

    def on_epoch(epoch: Epoch) -> None:
        nonlocal seen
        said.put(_Word(job, seen, epoch.loss, epoch))
        seen = 0

    try:
        with _own_stream(device):
            outcome: Trained | Exception = _train(job, device, on_batch, on_epoch)
    except _Stopped:
        return
    except Exception as error:
        outcome = error
    said.put(_Word(job, outcome=outcome))
