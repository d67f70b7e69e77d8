"""Train a member in another process, perhaps on another machine, with plain values as arguments and results.

It sends the training state after every epoch, so that another process can resume when this one is lost.
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
from vad.detectors.kinds import make_detector
from vad.detectors.member import Member
from vad.inputs import Samples
from vad.system.threads import using

# Seconds between messages about batches: often enough for a progress bar, and a GPU seldom waits.
_EVERY = 0.5


@dataclass(frozen=True)
class Told:
    """Progress of a training: samples seen since the last message, the latest loss; at an epoch's end also the state."""

    samples: int = 0
    loss: float = math.nan
    epoch: Epoch | None = None
    state: bytes = b""


def train_remotely(
    member: Member, samples: Samples, array: NDArray[Any], state: bytes, device: str, threads: int
) -> Iterator[Told]:
    """Train a member on `samples` cut from `array` with `threads` threads, and yield its progress; the first message means "started".

    `state` holds the bytes of a state file to resume from, or none. Raises what `train` raises; Diverged
    comes without weights, which are in the last state that was sent.
    """
    messages: SimpleQueue[Told | Exception | None] = SimpleQueue()

    def work() -> None:
        seen, sent, place = 0, time.monotonic(), torch.device(device)

        def on_batch(count: int, loss: Tensor) -> None:
            nonlocal seen, sent
            seen += count
            if time.monotonic() - sent >= _EVERY:
                messages.put(Told(seen, float(loss)))
                seen, sent = 0, time.monotonic()

        def on_epoch(epoch: Epoch) -> None:
            nonlocal seen
            messages.put(Told(seen, epoch.loss, epoch, resume.read_bytes()))
            resume.unlink()  # a process that is killed leaves little behind
            seen = 0

        try:
            # Set here, as OpenMP keeps the number of threads per thread.
            with using(threads), tempfile.TemporaryDirectory() as folder:
                resume = Path(folder) / "state"
                if state:
                    resume.write_bytes(state)
                load_blocks()
                make_detector(member).fit(samples.over(array, place), place, Listener(on_batch, on_epoch, resume))
        except Diverged as error:
            messages.put(Diverged(error.epoch, None))
        except Exception as error:
            messages.put(error)
        else:
            messages.put(None)

    yield Told()
    Thread(target=work, daemon=True).start()
    while (message := messages.get()) is not None:
        if isinstance(message, Exception):
            raise message
        yield message
