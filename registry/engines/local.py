"""Members in this process: one after the other, or several at once on a GPU that one does not fill."""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from queue import SimpleQueue

import torch

from registry.engines.base import Engine, Job, Outcomes
from vad.detectors.base import Listener, Trained
from vad.detectors.training.remote import Told, train_telling

# Members that share a GPU. Each has a stream; more of them than this no longer fit between one another's kernels.
_ON_A_GPU = 3
_Words = SimpleQueue[tuple[Job, Told | Trained | Exception]]


class LocalEngine(Engine):
    """Needs nothing and trains on the device of this process."""

    parallel = False  # of one experiment's members, not of several experiments

    def __init__(self, device: torch.device, workers: int | None = None):
        self._device = device
        self._workers = workers or (_ON_A_GPU if device.type == "cuda" else 1)

    def train(self, jobs: Iterable[Job]) -> Outcomes:
        """With one worker a job is taken when the one before has ended."""
        if self._workers > 1:
            yield from self._at_once(iter(jobs))
            return
        for job in jobs:
            job.on_start()
            try:
                listener = Listener(job.on_batch, job.on_epoch, job.resume)
                outcome: Trained | Exception = job.member.detector().fit(job.samples, self._device, listener)
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


class _Stopped(Exception):
    """Nobody waits for this training any more."""


def _work(job: Job, device: torch.device, said: _Words, stop: threading.Event) -> None:
    def tell(word: Told) -> None:
        if stop.is_set():
            raise _Stopped
        said.put((job, word))

    try:
        stream = torch.cuda.stream(torch.cuda.Stream(device)) if device.type == "cuda" else nullcontext()  # type: ignore[no-untyped-call]
        with stream:
            outcome: Trained | Exception = train_telling(job.member, job.samples, device, job.resume, tell)
    except _Stopped:
        return
    except Exception as error:
        outcome = error
    said.put((job, outcome))
