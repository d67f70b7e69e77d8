"""Phase 5 from files to scores, as the project does it and as the notebook does; and how memory and time grow."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import notebook, parts
from benchmarks.side import Work
from vad.catalog import Named
from vad.frames.store import SplitSource, open_frames
from vad.precision import resolve
from vad.scoring import score
from vad.training import train

# The loss of the last epoch of each member, by size and seed, as the last run of this process left them.
losses: dict[tuple[int, int], float] = {}


def last_losses() -> dict[tuple[int, int], float]:
    return losses


def phase5(home: Path, seeds: Sequence[int]) -> Work:
    """Decode, train one epoch and score every member on the demo street."""
    frames, device = parts.street(home), parts.device()

    def work() -> int:
        with tempfile.TemporaryDirectory(dir=home) as folder:
            trains = open_frames(SplitSource(frames.train), parts.SIZES, Path(folder))
            tests = open_frames(SplitSource(frames.test), parts.SIZES, Path(folder))
            for size, latent, batch in parts.SCALES:
                train_samples, test_samples = (parts.samples_of(split[size]) for split in (trains, tests))
                for seed in seeds:
                    net = parts.network(size, latent, seed)
                    losses[size, seed] = train(net, train_samples, parts.recipe(batch), seed, device).epochs[-1].loss
                    score(net, test_samples, [Named("max")], len(test_samples), resolve("auto", device), device)
        return 1

    return work


def phase5_as_a_notebook(home: Path, seeds: Sequence[int]) -> Work:
    files, device = [parts.files(home, split) for split in ("train", "test")], parts.device()

    def work() -> int:
        for size, latent, batch in parts.SCALES:
            train_frames, test_frames = (notebook.load(paths, size) for paths in files)
            for seed in seeds:
                torch.manual_seed(seed)
                trainer = notebook.Trainer(parts.network(size, latent, seed), train_frames, batch, device)
                losses[size, seed] = trainer.epoch()
                notebook.score(trainer.network, test_frames, batch, device)
        return 1

    return work


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


def growth(home: Path, counts: Sequence[int]) -> Growth:
    """Train an epoch and score, in a process of its own for each number of frames."""
    peaks, seconds = [], []
    for count in counts:
        with tempfile.TemporaryDirectory(dir=home) as folder:
            command = [sys.executable, "-m", "benchmarks.growth", str(count), str(Path(folder) / "frames.npy")]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak, spent = map(float, done.stdout.split())
        peaks.append(peak)
        seconds.append(spent)
    return Growth(tuple(counts), tuple(peaks), tuple(seconds))
