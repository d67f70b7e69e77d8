"""Members as tasks of a Ray cluster: that of RAY_ADDRESS, else one on this machine that nothing outside can reach.

Frames are put into the cluster once for each view. Ray brings them once to a node, where tasks map them into their
memory. A task imports only `vad`, whose code is sent along.
"""

import logging
import os
import signal
import socket
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
if not os.environ.get("RAY_ADDRESS"):
    # A cluster of one machine: it binds only to 127.0.0.1, as is Ray's default on other systems than Linux.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

import ray  # after its settings
from ray.exceptions import RayError, RayTaskError

from registry.console import say
from registry.engines.base import Engine, Job, Lost, Outcomes
from vad.blocks import copy_code
from vad.detectors.base import Diverged
from vad.detectors.kinds import make_detector
from vad.detectors.member import Member
from vad.detectors.training.remote import Told, train_remotely
from vad.detectors.training.trainer import so_far
from vad.errors import InputError
from vad.system.devices import VARIABLE
from vad.system.files import replacing
from vad.system.threads import limit

# How often a member may be lost within one epoch: more is not an accident.
_TRIES = 3
_NOTHING = np.empty(0, np.uint8)


@dataclass
class _Task:
    """A job on its way: the epochs it brought along and has now, the samples seen since, and losses in a row."""

    job: Job
    brought: int
    epochs: int
    seen: int = 0
    losses: int = 0
    begun: bool = False

    def hear(self, told: Told) -> None:
        """Pass on a worker's message; write the state after an epoch to the file that a training resumes from."""
        if not self.begun:
            self.begun = True
            self.job.on_start()
        self.seen += told.samples
        if told.samples:
            self.job.on_batch(told.samples, told.loss)
        if told.epoch is not None:
            with replacing(self.job.resume) as temporary:
                temporary.write_bytes(told.state)
            self.epochs, self.seen, self.losses = told.epoch.number, 0, 0
            self.job.on_epoch(told.epoch)

    def lose(self) -> None:
        """Its worker is gone, and with it what was seen since the last epoch."""
        if self.seen:
            self.job.on_batch(-self.seen, float("nan"))
        self.seen, self.losses = 0, self.losses + 1


class RayEngine(Engine):
    """Trains as many members at once as the cluster has room for; if a worker is lost, its member resumes on another."""

    parallel = True

    def __init__(self, gpu_share: float | None):
        self._gpu_share = gpu_share
        self._gpus = 0.0
        self._threads = limit()
        self._task = ray.remote(num_returns="streaming", max_retries=0)(train_remotely)
        self._arrays: dict[str, ray.ObjectRef] = {}

    def start(self) -> None:
        """Reach the cluster of RAY_ADDRESS, or start one on this machine."""
        if ray.is_initialized():
            return
        address = os.environ.get("RAY_ADDRESS") or "local"
        if address.startswith("ray://"):
            raise InputError(
                f"RAY_ADDRESS={address}: Ray's client cannot follow a training; run this on a node of the cluster, with RAY_ADDRESS=auto"
            )
        here = {"include_dashboard": False} if address == "local" else {}
        # What nodes complain of would go to standard output; that a worker was lost is said here, in one line.
        ray._private.worker._worker_logs_enabled = False
        on_stop = signal.getsignal(signal.SIGTERM)
        try:
            _knock(address)
            with tempfile.TemporaryDirectory() as folder:
                copy_code(Path(folder) / "vad")
                # A `working_dir`, as before `py_modules` workers would find a `vad` in the folder that the command works in, as a
                # checkout has one, without blocks of one's own. Ray trains in a thread: see vad.system.memory.
                environment = {"working_dir": folder, "env_vars": {"MALLOC_ARENA_MAX": "1"}}
                ray.init(address, runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR, **here)
        except Exception as error:  # Ray raises it bare
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"RAY_ADDRESS={address}: no Ray cluster can be used there ({reason}); start one, or unset RAY_ADDRESS"
            ) from None
        finally:
            signal.signal(signal.SIGTERM, on_stop)  # Ray's own would end this process on the spot
        nodes = _nodes()
        cpus, gpus = (sum(node.get(key, 0) for node in nodes) for key in ("CPU", "GPU"))
        if os.environ.get(VARIABLE) == "cpu":
            gpus = 0
        say(f"  Ray cluster: nodes {len(nodes)}, CPUs {cpus:g}, GPUs {gpus:g}")
        self._gpus = min(gpus, 1.0) if self._gpu_share is None else self._gpu_share
        if self._gpus > gpus:
            raise InputError(f"--gpu-share {self._gpus:g}: no node of the Ray cluster has a GPU; leave it out")

    def close(self) -> None:
        self._arrays.clear()
        # Ray's end sets SIGTERM to the system's default: a stop that came then would end this process on the spot.
        on_stop = signal.getsignal(signal.SIGTERM)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            ray.shutdown()
        finally:
            signal.signal(signal.SIGTERM, on_stop)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def train(self, jobs: Iterable[Job]) -> Outcomes:
        """A job is taken while fewer wait for a worker than there are processors: each one taken has a lock and an open run."""
        running: dict[ray.ObjectRefGenerator, _Task] = {}
        waiting, room = iter(jobs), max(1, int(sum(node.get("CPU", 0) for node in _nodes())))
        try:
            while True:
                while sum(not task.begun for task in running.values()) < room and (job := next(waiting, None)):
                    epochs = len(so_far(job.resume).epochs) if job.resume.exists() else 0
                    task = _Task(job, epochs, epochs)
                    running[self._submit(task)] = task
                if not running:
                    return
                yield from self._listen(running, seconds=1)
        finally:
            for stream in running:
                ray.cancel(stream, force=True)

    def _listen(self, running: dict[ray.ObjectRefGenerator, _Task], seconds: float) -> Outcomes:
        """Read one message, if one comes in time; yield the job that it ends, if it does."""
        try:
            ready, _ = ray.wait(list(running), timeout=seconds)
        except SystemError as error:  # so Ray gives back what a signal's handler raised in it
            raise (error.__cause__ or error) from None
        for stream in ready:
            job = (task := running[stream]).job
            try:
                task.hear(ray.get(next(stream)))
            except StopIteration:
                del running[stream]
                yield job, replace(so_far(job.resume), resumed_after=task.brought)
            except RayTaskError as error:
                del running[stream]
                yield job, _own(error, job)
            except RayError as error:
                del running[stream]
                reason = str(error).strip().splitlines()[0].split(". ")[0]
                task.lose()
                if task.losses >= _TRIES:
                    yield job, Lost(f"{task.losses} workers in a row were lost: {reason}")
                    continue
                where = f"after epoch {task.epochs}" if task.epochs else "from the beginning"
                say(f"  {job.member.name}: its worker was lost; another resumes {where} ({reason})")
                running[self._submit(task)] = task
            else:
                running[stream] = running.pop(stream)  # move it to the end, so that all streams are read in turn

    def _submit(self, task: _Task) -> ray.ObjectRefGenerator:
        job = task.job
        samples = job.samples.over(_NOTHING, torch.device("cpu"))
        state = job.resume.read_bytes() if task.epochs else b""
        device = "cuda" if self._gpus else "cpu"
        remote = self._task.options(name=f"train {job.member.name}", **self._needs(job.member))
        return remote.remote(job.member, samples, self._put(job.samples.array), state, device, self._threads)

    def _put(self, array: NDArray[Any]) -> ray.ObjectRef:
        """Return an array in the cluster, put there once: a map is identified by its file, named by a digest of its content."""
        assert isinstance(array, np.memmap)
        key = str(array.filename)
        if key not in self._arrays:
            self._arrays[key] = ray.put(np.asarray(array))
        return self._arrays[key]

    def _needs(self, member: Member) -> dict[str, float]:
        """What a task asks for: processors, memory, a share of a GPU; no more than one node has, else it would wait for ever."""
        fit = [node for node in _nodes() if node.get("GPU", 0) >= self._gpus]
        largest = max(fit, key=lambda node: node.get("CPU", 0), default={})
        threads = 1 if self._gpus else self._threads  # a GPU is fed by one
        return {
            "num_cpus": min(threads, largest.get("CPU") or threads),
            "memory": int(min(make_detector(member).memory(), largest.get("memory", 0))),
            "num_gpus": self._gpus,
        }


def _nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _knock(address: str) -> None:
    """Raise OSError where nothing listens at host:port; Ray would take minutes to find out."""
    host, _, port = address.rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _own(error: RayTaskError, job: Job) -> Exception:
    """The exception that a training raised, as it would have been raised here."""
    cause = error.cause
    if isinstance(cause, Diverged):
        return Diverged(cause.epoch, so_far(job.resume) if job.resume.exists() else None)
    return cause if isinstance(cause, InputError) else error
