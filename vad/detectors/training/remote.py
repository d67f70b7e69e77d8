"""A member trained where nothing but values comes and goes: another process, perhaps on another machine.

It tells the state after every epoch, so that another process can continue when this one is lost.
"""

import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from vad.blocks import load as load_blocks
from vad.detectors.base import Diverged, Epoch, Listener
from vad.detectors.member import Member
from vad.inputs import Samples
from vad.system.threads import using

# Seconds from one word about batches to the next: often enough for a progress bar, and a GPU seldom waits.
_EVERY = 0.5


@dataclass(frozen=True)
class Told:
    """How a training goes: samples seen since the last word, their latest loss; at an epoch's end also the state after it."""

    samples: int = 0
    loss: float = math.nan
    epoch: Epoch | None = None
    state: bytes = b""


def train_remotely(
    member: Member, samples: Samples, array: NDArray[Any], state: bytes, device: str, threads: int
) -> Iterator[Told]:
    """Train a member on `samples` cut from `array`, on so many threads, and yield how it goes; the first word is that it has begun.

    `state` holds the bytes of a state file to resume from, or none. Raises what `train` raises; Diverged
    comes without weights, which are in the last state told.
    """
    told: SimpleQueue[Told | Exception | None] = SimpleQueue()

    def work() -> None:
        seen, spoken, place = 0, time.monotonic(), torch.device(device)

        def on_batch(count: int, loss: Tensor) -> None:
            nonlocal seen, spoken
            seen += count
            if time.monotonic() - spoken >= _EVERY:
                told.put(Told(seen, float(loss)))
                seen, spoken = 0, time.monotonic()

        def on_epoch(epoch: Epoch) -> None:
            nonlocal seen
            told.put(Told(seen, epoch.loss, epoch, resume.read_bytes()))
            resume.unlink()  # a process that is killed leaves little behind
            seen = 0

        try:
            # The number of threads is set in this thread, as OpenMP keeps one for each.
            with using(threads), tempfile.TemporaryDirectory() as folder:
                resume = Path(folder) / "state"
                if state:
                    resume.write_bytes(state)
                load_blocks()
                member.detector().fit(samples.over(array, place), place, Listener(on_batch, on_epoch, resume))
        except Diverged as error:
            told.put(Diverged(error.epoch, None))
        except Exception as error:
            told.put(error)
        else:
            told.put(None)

    yield Told()
    Thread(target=work, daemon=True).start()
    while (word := told.get()) is not None:
        if isinstance(word, Exception):
            raise word
        yield word
