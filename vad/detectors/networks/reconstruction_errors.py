"""How far a frame is from what the network made of it: as one number, by the errors that entries name, and as maps.

All take output and target, (B, C, H, W) twice. An error gives (B,): map and reduction in one, as the reference has them. A
map gives (B, C, H, W), or one of blocks, which is then calibrated and reduced.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from vad.catalog import Catalog, Count
from vad.images.similarity import gradients, ssim_map

ERRORS: Catalog[Callable[..., Tensor]] = Catalog("error")
_BLOCK = 8


def squared(output: Tensor, target: Tensor) -> Tensor:
    """Squared error."""
    return (output - target).square()


def dissimilarity(output: Tensor, target: Tensor) -> Tensor:
    """1 less the structural similarity."""
    return 1 - ssim_map(output, target)


def gradient(output: Tensor, target: Tensor) -> Tensor:
    """Squared error of the first differences along rows, plus that along columns; 0 at the last column and row."""
    difference = output - target
    rows, columns = (part.square() for part in gradients(difference))
    return functional.pad(rows, (0, 1)) + functional.pad(columns, (0, 0, 0, 1))


def patches(maps: Tensor, size: int) -> Tensor:
    """Means over channels and patches of `size` x `size`: (B, C, H, W) -> (B, 1, h, w); the last patch may be smaller."""
    means = maps.mean(1, keepdim=True)
    height, width = means.shape[-2:]
    return functional.avg_pool2d(means, (min(size, height), min(size, width)), ceil_mode=True, count_include_pad=False)


def blocks(output: Tensor, target: Tensor) -> Tensor:
    """Squared error, its mean over channels and blocks of 8 x 8 pixels."""
    return patches(squared(output, target), _BLOCK)


MAPS = {"squared": squared, "ssim": dissimilarity, "gradient": gradient, "blocks": blocks}
"""The maps of networks by name, the default first."""


@ERRORS.register("mean", version=1)
def mean_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over channels and pixels."""
    return squared(output, target).mean((1, 2, 3))


@ERRORS.register("max", version=1)
def max_error(output: Tensor, target: Tensor) -> Tensor:
    """The largest squared error of one channel of one pixel. At most 4 on [-1, 1]."""
    return squared(output, target).amax((1, 2, 3))


@ERRORS.register("patch", version=1)
def patch_error(output: Tensor, target: Tensor, *, size: Count = 16) -> Tensor:
    """The largest mean squared error of one patch of `size` x `size` pixels; patches do not overlap, the last may be smaller."""
    return patches(squared(output, target), size).amax((1, 2, 3))


@ERRORS.register("ssim", version=1)
def ssim_error(output: Tensor, target: Tensor) -> Tensor:
    """1 less the structural similarity, its mean over channels and pixels."""
    return 1 - ssim_map(output, target).mean((1, 2, 3))


@ERRORS.register("gradient", version=1)
def gradient_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the first differences along rows, plus that along columns."""
    pairs = zip(gradients(output), gradients(target), strict=True)
    along_rows, along_columns = ((a - b).square().mean((1, 2, 3)) for a, b in pairs)
    return along_rows + along_columns
