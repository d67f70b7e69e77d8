"""What training makes small. A loss takes output and target, both (B, C, H, W), and gives one number."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from vad.catalog import Catalog

LOSSES: Catalog[Callable[..., Tensor]] = Catalog("loss")


@LOSSES.register("mse")
def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over everything."""
    return functional.mse_loss(output, target)
