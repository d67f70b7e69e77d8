"""Members in this process: one after the other, or several at once on a GPU that one does not fill."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from queue import SimpleQueue

import torch
from torch import Tensor

from registry.engines.base import Job, Outcomes
from vad.detectors.training.remote import Told
from vad.detectors.training.trainer import Epoch, Trained, train

# Members that share a GPU. Each has a stream; more of them than this no longer fit between one another's kernels.
_ON_A_GPU = 3
# Seconds between two words about a member's batches: often enough for a progress bar.
_EVERY = 0.3

OnBatch = Callable[[int, Tensor], None]
_Words = SimpleQueue[tuple[Job, Told | Trained | Exception]]


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
            yield from self._at_once(iter(jobs))
            return
        for job in jobs:
            job.on_start()
            try:
                outcome: Trained | Exception = _train(job, self._device, job.on_batch, job.on_epoch)
            except Exception as error:
                outcome = error
            yield job, outcome

    def _at_once(self, waiting: Iterator[Job]) -> Outcomes:
        """Jobs in threads, each with a stream of its own. They speak through a queue: this thread alone calls back."""
        said: _Words = SimpleQueue()
        stop = threading.Event()
        running: set[Job] = set()
        with ThreadPoolExecutor(self._workers, thread_name_prefix="train") as pool:

            def begin() -> None:
                while len(running) < self._workers and (job := next(waiting, None)):
                    job.on_start()
                    running.add(job)
                    pool.submit(_work, job, self._device, said, stop)

            try:
                begin()
                while running:
                    job, word = said.get()
                    if isinstance(word, Told):
                        job.hear(word)
                        continue
                    running.remove(job)
                    begin()
                    yield job, word
            finally:
                stop.set()


def _train(job: Job, device: torch.device, on_batch: OnBatch, on_epoch: Callable[[Epoch], None]) -> Trained:
    recipe, seed = job.member.training, job.member.seed
    network = job.member.build()
    return train(network, job.samples, recipe, seed, device, on_batch=on_batch, on_epoch=on_epoch, resume=job.resume)


class _Stopped(Exception):
    """Nobody waits for this training any more."""


def _work(job: Job, device: torch.device, said: _Words, stop: threading.Event) -> None:
    seen, spoken = 0, time.monotonic()

    def on_batch(count: int, loss: Tensor) -> None:
        nonlocal seen, spoken
        if stop.is_set():
            raise _Stopped
        seen += count
        if time.monotonic() - spoken >= _EVERY:
            said.put((job, Told(seen, float(loss))))
            seen, spoken = 0, time.monotonic()

    def on_epoch(epoch: Epoch) -> None:
        nonlocal seen
        said.put((job, Told(seen, epoch.loss, epoch)))
        seen = 0

    try:
        stream = torch.cuda.stream(torch.cuda.Stream(device)) if device.type == "cuda" else nullcontext()  # type: ignore[no-untyped-call]
        with stream:
            outcome: Trained | Exception = _train(job, device, on_batch, on_epoch)
    except _Stopped:
        return
    except Exception as error:
        outcome = error
    said.put((job, outcome))
