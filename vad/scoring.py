"""A trained network to frame scores: reconstruction errors, reduced to one number a frame where they are computed."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vad.catalog import Catalog
from vad.inputs import Samples
from vad.precision import Precision, autocast
from vad.scores import Values

ERRORS: Catalog[Callable[[Tensor, Tensor], Tensor]] = Catalog("error")

# Every pass has this shape: kernels differ between shapes, and in bf16 their rounding shows. So a
# frame's score is the same wherever it stands and however few frames are asked for.
CHUNK = 32


@ERRORS.register("mean")
def mean_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over channels and pixels: (B, C, H, W) twice -> (B,)."""
    return (output - target).square().mean((1, 2, 3))


@ERRORS.register("max")
def max_error(output: Tensor, target: Tensor) -> Tensor:
    """The largest squared error of one channel of one pixel: (B, C, H, W) twice -> (B,). At most 4 on [-1, 1]."""
    return (output - target).square().amax((1, 2, 3))


def score(
    network: nn.Module,
    samples: Samples,
    errors: Sequence[str],
    precision: Precision,
    device: torch.device,
    on_batch: Callable[[int], None] | None = None,
) -> dict[str, Values]:
    """Each error of each sample, float64 of shape (N,). Only these numbers leave the device."""
    network.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    reductions = {name: ERRORS[name] for name in errors}
    results = {name: np.empty(len(samples), np.float64) for name in errors}
    with torch.inference_mode():
        for start in range(0, len(samples), CHUNK):
            count = min(CHUNK, len(samples) - start)
            positions = np.minimum(np.arange(start, start + CHUNK), start + count - 1)
            target = samples.batch(positions)
            with autocast(precision, device):
                output = network(target)
            output = output.float()
            for name, reduce in reductions.items():
                results[name][start : start + count] = reduce(output, target)[:count].double().cpu().numpy()
            if on_batch:
                on_batch(count)
    return results


def error_map(network: nn.Module, batch: Tensor, precision: Precision, device: torch.device) -> tuple[Tensor, Tensor]:
    """Reconstruction (B, C, H, W) and squared error averaged over channels (B, H, W), for pictures."""
    network.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    with torch.inference_mode(), autocast(precision, device):
        output = network(batch)
    output = output.float()
    return output.cpu(), (output - batch).square().mean(1).cpu()
