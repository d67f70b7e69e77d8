"""What is measured: each part of phase 5 against the notebook, and as a share of what the machine can do."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import notebook
from benchmarks.timing import Compared, compare, imread_ceiling, matrix_ceiling
from vad.catalog import Named
from vad.frames.layouts import read_frameset
from vad.frames.store import SplitSource, open_frames
from vad.frames.street import make_street
from vad.inputs import INPUTS
from vad.member import Training
from vad.models import Shape, build
from vad.precision import resolve
from vad.scores import FrameIndex
from vad.scoring import score
from vad.training import train

# Size, latent, batch of phase 5's three scales.
SCALES = ((64, 64, 64), (128, 128, 32), (256, 256, 8))


@dataclass
class Row:
    """A line of the table: a rate beside the notebook's, the ceiling and the bars."""

    part: str
    unit: str
    compared: Compared
    bar: float
    ceiling: str = ""
    share: float | None = None
    share_bar: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def recipe(batch_size: int, device: torch.device, epochs: int = 1) -> Training:
    """Phase 5's recipe."""
    precision = resolve("auto", device)
    return Training("mse", "adam", 2e-4, 0.0, None, epochs, None, 1e-5, "best", precision, batch_size)


def network(size: int, latent: int, seed: int = 42) -> nn.Module:
    return build("conv_ae", Shape("frame", 3, size), {"latent": latent}, seed)


def demo_files(home: Path) -> list[Path]:
    """The demo street's training frames as files, 640 x 360."""
    split = read_frameset(make_street(home / "street"), home / "index").train
    return [path for video in split.videos for path in video.images or ()]


def decode(home: Path, rounds: int) -> Row:
    split = read_frameset(make_street(home / "street"), home / "index").train
    files = demo_files(home)

    def ours() -> int:
        with tempfile.TemporaryDirectory(dir=home) as folder:
            open_frames(SplitSource(split), [size for size, _, _ in SCALES], Path(folder))
        return len(files)

    def theirs() -> int:
        for size, _, _ in SCALES:
            notebook.load(files, size)
        return len(files)

    compared = compare(ours, theirs, rounds)
    ceiling = imread_ceiling(files)
    share = float(np.median(compared.ours)) / ceiling
    return Row("decode, three sizes", "frames/s", compared, 2.5, f"cv2.imread, all cores: {ceiling:,.0f}/s", share, 0.7)


def frames_of(count: int, size: int) -> np.ndarray:
    """Frames of some structure, uint8 (count, size, size, 3)."""
    generator = np.random.default_rng(1)
    coarse = generator.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return np.repeat(np.repeat(coarse, size // 8, 1), size // 8, 2)


def index_of(count: int) -> FrameIndex:
    return FrameIndex(np.ones(count, np.int64), np.arange(count, dtype=np.int64))


def training(size: int, latent: int, batch: int, device: torch.device, rounds: int, batches: int = 8) -> Row:
    count = batch * batches
    frames, precision = frames_of(count, size), resolve("auto", device)
    samples = INPUTS.make(Named("rgb")).samples(frames, index_of(count), device)
    ours_network = network(size, latent)
    trainer = notebook.Trainer(
        network(size, latent), torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1, batch, device
    )

    def ours() -> int:
        train(ours_network, samples, recipe(batch, device), 42, device)
        return count

    def theirs() -> int:
        trainer.epoch()
        return count

    compared = compare(ours, theirs, rounds)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    ceiling = matrix_ceiling(dtype, device)
    # A backward pass costs two forward passes: by the weights and by the input.
    share = float(np.median(compared.ours)) * 3 * operations(network(size, latent), size) / ceiling
    text = f"{precision} product: {ceiling / 1e12:.2f} TFLOP/s"
    return Row(f"training, {size} px", "frames/s", compared, 1.6, text, share, 0.4 if size == 128 else None)


def scoring(size: int, latent: int, batch: int, device: torch.device, rounds: int, count: int = 256) -> Row:
    frames, precision = frames_of(count, size), resolve("auto", device)
    samples = INPUTS.make(Named("rgb")).samples(frames, index_of(count), device)
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    ours_network, theirs_network = network(size, latent), network(size, latent)

    def ours() -> int:
        score(ours_network, samples, [Named("max")], count, precision, device)
        return count

    def theirs() -> int:
        notebook.score(theirs_network, tensor, batch, device)
        return count

    compared = compare(ours, theirs, rounds)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    ceiling = matrix_ceiling(dtype, device)
    share = float(np.median(compared.ours)) * operations(network(size, latent), size) / ceiling
    text = f"{precision} product: {ceiling / 1e12:.2f} TFLOP/s"
    return Row(f"scoring, {size} px", "frames/s", compared, 2.5, text, share)


def operations(net: nn.Module, size: int) -> int:
    """Floating-point operations of one frame's forward pass: two for each multiplication of a layer."""
    total = 0

    def count(module: nn.Module, given: Any, made: torch.Tensor) -> None:
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


Part = Callable[[], Row]
