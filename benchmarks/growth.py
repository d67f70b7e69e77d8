"""One epoch of fully_conv_ae and a pass of scoring over so many frames of 32 px, in this process: its own memory at most (bytes), and seconds.

python -m benchmarks.growth COUNT FILE
"""

import sys
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks import parts
from vad.detectors.networks import build
from vad.detectors.training.trainer import train
from vad.inputs.shape import Shape

_SIDE, _BATCH = 32, 64


def main(count: int, path: Path) -> None:
    frames = np.lib.format.open_memmap(path, "w+", np.uint8, (count, _SIDE, _SIDE, 3))
    for start in range(0, count, 1000):
        frames[start : start + 1000] = parts.frames_of(min(1000, count - start), _SIDE)
    frames.flush()
    del frames
    frames = np.load(path, mmap_mode="r")
    _once(frames[:256])  # what a first pass makes once is not growth
    peak, running = [_own_memory()], True

    def watch() -> None:
        while running:
            peak.append(_own_memory())
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    _once(frames)
    seconds = time.perf_counter() - started
    running = False
    watcher.join()
    print(max(peak), seconds)


def _once(frames: np.ndarray) -> None:
    net, samples, device = (
        build("fully_conv_ae", Shape("frame", 3, _SIDE, _SIDE), {}, 1),
        parts.samples_of(frames),
        parts.device(),
    )
    train(net, samples, parts.recipe(_BATCH), 1, device)
    parts.score_all(net, samples, "fp32")


def _own_memory() -> int:
    """Bytes that are this process's alone; what a memory map holds is the kernel's, to drop when it needs the room."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
