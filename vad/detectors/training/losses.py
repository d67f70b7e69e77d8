"""What training makes small. A loss takes output and target, both (B, C, H, W), and gives one number."""

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import functional

from vad.catalog import Catalog
from vad.images.similarity import gradients, ssim_map

LOSSES: Catalog[Callable[..., Tensor]] = Catalog("loss")
Weighted = tuple[tuple[str, float], ...]


@LOSSES.register("mse", version=1)
def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over everything."""
    # Channels last, as in memory: the gradient then has the layout that the backward pass needs.
    return functional.mse_loss(output.movedim(1, -1), target.movedim(1, -1))


@LOSSES.register("ssim", version=1)
def ssim(output: Tensor, target: Tensor) -> Tensor:
    """1 less the structural similarity, its mean over everything."""
    return 1 - ssim_map(output, target).mean()


@LOSSES.register("gradient", version=1)
def gradient(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the first differences along rows, plus that along columns."""
    pairs = zip(gradients(output), gradients(target), strict=True)
    along_rows, along_columns = ((a - b).abs().mean() for a, b in pairs)
    return along_rows + along_columns


def weighted_loss(parts: str | Sequence[tuple[str, float]]) -> Callable[[Tensor, Tensor], Tensor]:
    """One loss by name, or the sum of several, each with its weight."""
    if isinstance(parts, str):
        return LOSSES[parts]
    terms = [(LOSSES[name], weight) for name, weight in parts]

    def total(output: Tensor, target: Tensor) -> Tensor:
        first, *others = (weight * loss(output, target) for loss, weight in terms)
        return sum(others, first)

    return total
