"""Members one after the other, in this process."""

from collections.abc import Iterable

import torch

from registry.engines.base import Job, Outcomes
from vad.training import Trained, train


class LocalEngine:
    """Needs nothing, trains on the device of this process, and takes a job when the one before has ended."""

    parallel = False

    def __init__(self, device: torch.device):
        self._device = device

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def train(self, jobs: Iterable[Job]) -> Outcomes:
        for job in jobs:
            yield job, self._train(job)

    def _train(self, job: Job) -> Trained | Exception:
        member = job.member
        job.on_start()
        try:
            return train(
                member.build(), job.samples, member.training, member.seed, self._device,
                on_batch=job.on_batch, on_epoch=job.on_epoch, resume=job.resume,
            )  # fmt: skip
        except Exception as error:
            return error
