"""Each part of phase 5 the project's way and the notebook's: functions that make the work that one side does."""

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import ceilings, notebook
from benchmarks.side import Work
from vad.catalog import Named
from vad.data.frame_index import FrameIndex, Values
from vad.data.frameset import FrameSet, Split
from vad.data.layouts import read_frameset
from vad.detectors.network_detector import MOST_SAMPLES, NetworkScorer
from vad.detectors.networks import build
from vad.detectors.training.recipe import Training
from vad.detectors.training.trainer import train
from vad.frames.store import SplitSource, open_frames
from vad.images.view import square
from vad.inputs import INPUTS, Samples
from vad.inputs.shape import Shape
from vad.scoring.frame_scores import Way, score
from vad.synthetic.street import make_street
from vad.system.devices import device
from vad.system.precision import Wish

# Size, latent, batch of phase 5's three scales.
SCALES = ((64, 64, 64), (128, 128, 32), (256, 256, 8))
SIZES = [size for size, _, _ in SCALES]
VIEWS = [square(size) for size in SIZES]
SEEDS = (42, 123)
_MAX = Named("max")


def recipe(batch_size: int, epochs: int = 1) -> Training:
    """Phase 5's recipe."""
    return Training("mse", "adam", 2e-4, 0.0, None, epochs, None, 1e-5, "best", "auto", batch_size)


def network(size: int, latent: int, seed: int = 42) -> nn.Module:
    return build("conv_ae", Shape("frame", 3, size, size), {"latent": latent}, seed)


def street(home: Path, portion: float = 1.0) -> FrameSet:
    """The demo street, 640 x 360: this portion of each video, from its beginning."""

    def cut(split: Split) -> Split:
        return split.slice({video.id: slice(math.ceil(len(video.numbers) * portion)) for video in split.videos})

    frames = read_frameset(make_street(home / "street"), home / "index")
    return replace(frames, train=cut(frames.train), test=cut(frames.test))


def files(split: Split) -> list[Path]:
    return [path for video in split.videos for path in video.images or ()]


def to_decode(home: Path, quarters: int) -> tuple[Split, int]:
    """Frames to decode, and how many times: a part of the street's train frames, or all up to four times, as files take room."""
    return street(home, min(1.0, quarters / 4)).train, max(1, min(4, round(quarters / 4)))


def decode(home: Path, quarters: int) -> Work:
    split, passes = to_decode(home, quarters)
    folders = tempfile.TemporaryDirectory(dir=home)

    def work() -> int:
        for _ in range(passes):
            folder = tempfile.mkdtemp(dir=folders.name)  # thrown away at the end: deleting is not decoding
            open_frames(SplitSource(split), VIEWS, Path(folder))
        return len(split) * passes

    return work


def decode_as_a_notebook(home: Path, quarters: int) -> Work:
    split, passes = to_decode(home, quarters)
    paths = files(split)

    def work() -> int:
        for size in SIZES * passes:
            notebook.load(paths, size)
        return len(paths) * passes

    return work


def read(home: Path, quarters: int) -> Work:
    """The ceiling of decoding."""
    split, passes = to_decode(home, quarters)
    return ceilings.imread(files(split) * passes)


def training(size: int, latent: int, batch: int, batches: int) -> Work:
    samples, net = samples_of(frames_of(batch * batches, size)), network(size, latent)

    def work() -> int:
        train(net, samples, recipe(batch), 42, device())
        return len(samples)

    return work


def training_as_a_notebook(size: int, latent: int, batch: int, batches: int) -> Work:
    trainer = notebook.Trainer(network(size, latent), as_floats(frames_of(batch * batches, size)), batch, device())

    def work() -> int:
        trainer.epoch()
        return batch * batches

    return work


def scoring(size: int, latent: int, _batch: int, passes: int) -> Work:
    """Our passes have a size of their own."""
    count = passes * MOST_SAMPLES
    samples, net = samples_of(frames_of(count, size)), network(size, latent)

    def work() -> int:
        score_all(net, samples)
        return count

    return work


def score_all(net: nn.Module, samples: Samples, trained: Wish = "auto", error: Named = _MAX) -> Values:
    """One score a frame of a network that was trained in this precision, by this error."""
    return score(Way(NetworkScorer(net, trained, device()), {}), samples, [error], len(samples))[error]


def scoring_as_a_notebook(size: int, latent: int, batch: int, passes: int) -> Work:
    count = passes * MOST_SAMPLES
    frames, net = as_floats(frames_of(count, size)), network(size, latent)

    def work() -> int:
        notebook.score(net, frames, batch, device())
        return count

    return work


def frames_of(count: int, size: int) -> np.ndarray:
    """Frames of some structure, uint8 (count, size, size, 3)."""
    coarse = np.random.default_rng(1).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return np.repeat(np.repeat(coarse, size // 8, 1), size // 8, 2)


def as_floats(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1


def samples_of(frames: np.ndarray) -> Samples:
    index = FrameIndex(np.ones(len(frames), np.int64), np.arange(len(frames), dtype=np.int64))
    return INPUTS.make(Named("rgb")).samples(frames, index, device())


def operations(net: nn.Module, size: int) -> int:
    """Floating-point operations of one frame's forward pass: two for each multiplication of a layer.

    A backward pass takes twice as many: by the weights and by the maps.
    """
    total = 0

    def count(module: nn.Module, given: Any, made: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += 2 * made[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.ConvTranspose2d):
            total += 2 * given[0][0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += 2 * module.weight.numel()

    hooks = [module.register_forward_hook(count) for module in net.modules()]
    with torch.inference_mode():
        net.eval()(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return total
