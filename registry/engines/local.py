"""Members in this process: one after the other, or several at once on a GPU that one does not fill."""

import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext

import torch
from torch import Tensor

from registry.engines.base import Engine, Job, Outcomes
from vad.detectors.base import Listener, Trained
from vad.detectors.kinds import make_detector

# Members that share a GPU. Each has a stream; more of them than this no longer fit between one another's kernels.
_ON_A_GPU = 3


class LocalEngine(Engine):
    """Needs nothing and trains on the device of this process."""

    parallel = False  # of one experiment's members, not of several experiments

    def __init__(self, device: torch.device, workers: int | None = None):
        self._device = device
        self._workers = workers or (_ON_A_GPU if device.type == "cuda" else 1)

    def train(self, jobs: Iterable[Job]) -> Outcomes:
        """With one worker a job is taken when the one before has ended; several train in threads, which call back themselves."""
        stop = threading.Event()
        if self._workers == 1:
            for job in jobs:
                job.on_start()
                yield job, _fit(job, self._device, stop)
            return
        waiting, running = iter(jobs), dict[Future[Trained | Exception], Job]()
        with ThreadPoolExecutor(self._workers, thread_name_prefix="train") as pool:

            def begin() -> None:
                while len(running) < self._workers and (job := next(waiting, None)):
                    job.on_start()
                    running[pool.submit(_fit, job, self._device, stop)] = job

            try:
                begin()
                while running:
                    for ended in wait(running, return_when=FIRST_COMPLETED).done:
                        job = running.pop(ended)
                        begin()
                        yield job, ended.result()
            finally:
                stop.set()


class _Stopped(Exception):
    """Nobody waits for this training any more."""


def _fit(job: Job, device: torch.device, stop: threading.Event) -> Trained | Exception:
    def on_batch(count: int, loss: Tensor) -> None:
        if stop.is_set():
            raise _Stopped
        job.on_batch(count, loss)

    try:
        stream = torch.cuda.stream(torch.cuda.Stream(device)) if device.type == "cuda" else nullcontext()  # type: ignore[no-untyped-call]
        with stream:
            return make_detector(job.member).fit(job.samples, device, Listener(on_batch, job.on_epoch, job.resume))
    except Exception as error:
        return error
