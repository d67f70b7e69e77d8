"""Phase 5 from files to scores, as the project does it and as the notebook does; and how memory and time grow."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import notebook, parts
from vad.catalog import Named
from vad.frames.layouts import read_frameset
from vad.frames.store import SplitSource, open_frames
from vad.frames.street import make_street
from vad.inputs import INPUTS
from vad.precision import resolve
from vad.scoring import score
from vad.training import train

SEEDS = (42, 123)


@dataclass(frozen=True)
class EndToEnd:
    """Seconds of both sides, and the loss of the last epoch of each member (size, seed)."""

    ours: float
    theirs: float
    our_losses: dict[tuple[int, int], float]
    their_losses: dict[tuple[int, int], float]


def end_to_end(home: Path, device: torch.device, epochs: int, seeds: Sequence[int] = SEEDS) -> EndToEnd:
    """Decode, train and score every member of phase 5 on the demo street, both ways, once each."""
    frames = read_frameset(make_street(home / "street"), home / "index")
    sizes = [size for size, _, _ in parts.SCALES]
    started = time.perf_counter()
    our_losses = {}
    with tempfile.TemporaryDirectory(dir=home) as folder:
        trains = open_frames(SplitSource(frames.train), sizes, Path(folder))
        tests = open_frames(SplitSource(frames.test), sizes, Path(folder))
        for size, latent, batch in parts.SCALES:
            make = INPUTS.make(Named("rgb")).samples
            train_samples = make(trains[size], frames.train.index, device)
            test_samples = make(tests[size], frames.test.index, device)
            for seed in seeds:
                network = parts.network(size, latent, seed)
                done = train(network, train_samples, parts.recipe(batch, device, epochs), seed, device)
                our_losses[size, seed] = done.epochs[-1].loss
                score(network, test_samples, [Named("max")], len(frames.test), resolve("auto", device), device)
    ours = time.perf_counter() - started

    started = time.perf_counter()
    their_losses = {}
    files = [[p for video in split.videos for p in video.images or ()] for split in (frames.train, frames.test)]
    for size, latent, batch in parts.SCALES:
        train_frames, test_frames = (notebook.load(paths, size) for paths in files)
        for seed in seeds:
            torch.manual_seed(seed)
            trainer = notebook.Trainer(parts.network(size, latent, seed), train_frames, batch, device)
            for _ in range(epochs):
                their_losses[size, seed] = trainer.epoch()
            notebook.score(trainer.network, test_frames, batch, device)
    return EndToEnd(ours, time.perf_counter() - started, our_losses, their_losses)


@dataclass(frozen=True)
class Growth:
    """Peak of a process's own memory (bytes, memory maps left out) and its seconds, by number of frames."""

    frames: tuple[int, ...]
    peak: tuple[float, ...]
    seconds: tuple[float, ...]

    @property
    def exponent(self) -> float:
        """Of time as a power of the number of frames, fitted to the two largest."""
        (a, b), (s, t) = self.frames[-2:], self.seconds[-2:]
        return float(np.log(t / s) / np.log(b / a))


_ONE = """
import sys, threading, time
import numpy as np, torch
from pathlib import Path
from benchmarks import parts
from vad.catalog import Named
from vad.inputs import INPUTS
from vad.scoring import score
from vad.training import train
count, path = int(sys.argv[1]), Path(sys.argv[2])
frames = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 32, 32, 3))
for start in range(0, count, 1000):
    frames[start : start + 1000] = parts.frames_of(min(1000, count - start), 32)
frames.flush(); del frames
frames = np.load(path, mmap_mode="r")
def own():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) * 1024
device, network = torch.device("cpu"), parts.network(32, 8)
samples = INPUTS.make(Named("rgb")).samples(frames, parts.index_of(count), device)
few = INPUTS.make(Named("rgb")).samples(frames[:256], parts.index_of(256), device)
train(network, few, parts.recipe(64, device), 1, device); score(network, few, [Named("max")], 256, "fp32", device)
peak, running = [own()], True
def watch():
    while running:
        peak.append(own()); time.sleep(0.02)
watcher = threading.Thread(target=watch); watcher.start()
started = time.perf_counter()
train(network, samples, parts.recipe(64, device), 1, device)
score(network, samples, [Named("max")], count, "fp32", device)
seconds = time.perf_counter() - started
running = False; watcher.join()
print(max(peak), seconds)
"""


def growth(home: Path, counts: Sequence[int] = (1_000, 10_000, 100_000)) -> Growth:
    """Train an epoch and score, in a process of its own for each number of frames."""
    peaks, seconds = [], []
    for count in counts:
        with tempfile.TemporaryDirectory(dir=home) as folder:
            command = [sys.executable, "-c", _ONE, str(count), str(Path(folder) / "frames.npy")]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak, spent = map(float, done.stdout.split())
        peaks.append(peak)
        seconds.append(spent)
    return Growth(tuple(counts), tuple(peaks), tuple(seconds))
