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
from vad.detectors.training.trainer import train
from vad.frames.store import SplitSource, open_frames
from vad.images.view import square

# The loss of the last epoch of each member, by size and seed, as the last run of this process left them.
losses: dict[tuple[int, int], float] = {}


def last_losses() -> dict[tuple[int, int], float]:
    return losses


def phase5(home: Path, seeds: Sequence[int], portion: float) -> Work:
    """Decode, train one epoch and score every member of these seeds on this portion of the demo street."""
    frames, device = parts.street(home, portion), parts.device()

    def work() -> int:
        with tempfile.TemporaryDirectory(dir=home) as folder:
            trains = open_frames(SplitSource(frames.train), parts.VIEWS, Path(folder))
            tests = open_frames(SplitSource(frames.test), parts.VIEWS, Path(folder))
            for size, latent, batch in parts.SCALES:
                train_samples, test_samples = (parts.samples_of(split[square(size)]) for split in (trains, tests))
                for seed in seeds:
                    net = parts.network(size, latent, seed)
                    losses[size, seed] = train(net, train_samples, parts.recipe(batch), seed, device).epochs[-1].loss
                    parts.score_all(net, test_samples)
        return 1

    return work


def phase5_as_a_notebook(home: Path, seeds: Sequence[int], portion: float) -> Work:
    frames, device = parts.street(home, portion), parts.device()
    files = [parts.files(split) for split in (frames.train, frames.test)]

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


def growth(home: Path, first: int, seconds: float) -> Growth:
    """Train an epoch and score, three numbers of frames, each in a process of its own.

    Each is ten times the one before, or what takes about so many seconds here, but twice the one before at least.
    """
    found = [(first, *_grown(home, first))]
    while len(found) < 3:
        count, _, spent = found[-1]
        count = max(2 * count, min(10 * count, int(count / spent * seconds) // first * first))
        found.append((count, *_grown(home, count)))
    return Growth(*zip(*found, strict=True))


def _grown(home: Path, count: int) -> tuple[float, float]:
    """The peak in bytes, and the seconds."""
    with tempfile.TemporaryDirectory(dir=home) as folder:
        command = [sys.executable, "-m", "benchmarks.growth", str(count), str(Path(folder) / "frames.npy")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, spent = map(float, done.stdout.split())
    return peak, spent
