"""How far a frame is from what the network made of it, as one number: the errors that entries name.

Each takes output and target, (B, C, H, W) twice, and gives (B,).
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from vad.catalog import Catalog, Count
from vad.images.similarity import gradients, ssim_map

ERRORS: Catalog[Callable[..., Tensor]] = Catalog("error")


@ERRORS.register("mean", version=1)
def mean_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over channels and pixels."""
    return (output - target).square().mean((1, 2, 3))


@ERRORS.register("max", version=1)
def max_error(output: Tensor, target: Tensor) -> Tensor:
    """The largest squared error of one channel of one pixel. At most 4 on [-1, 1]."""
    return (output - target).square().amax((1, 2, 3))


@ERRORS.register("patch", version=1)
def patch_error(output: Tensor, target: Tensor, *, size: Count = 16) -> Tensor:
    """The largest mean squared error of one patch of `size` x `size` pixels; patches do not overlap, the last may be smaller."""
    squared = (output - target).square().mean(1, keepdim=True)
    patches = functional.avg_pool2d(squared, min(size, *squared.shape[-2:]), ceil_mode=True, count_include_pad=False)
    return patches.amax((1, 2, 3))


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
