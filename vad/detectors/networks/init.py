"""How the first weights are drawn, where an entry does not leave that to PyTorch."""

from collections.abc import Callable
from typing import Literal

from torch import nn

from vad.catalog import Catalog

INITS: Catalog[Callable[..., None]] = Catalog("init")


@INITS.register("kaiming_normal", version=1)
def kaiming_normal(
    network: nn.Module,
    *,
    linear: Literal["kaiming", "xavier"] = "kaiming",
    linear_bias: Literal["zero", "default"] = "zero",
) -> None:
    """Convolutions, transposed ones too: normal, He's gain, by fan-out. Linear layers: normal, by He or by Glorot.

    `linear_bias` sets the biases of linear layers to 0 or leaves PyTorch's. Biases of convolutions stay
    PyTorch's; batch norm begins as 1 and 0.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Conv3d, nn.ConvTranspose3d)):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="leaky_relu")
        elif isinstance(module, nn.Linear):
            if linear == "kaiming":
                nn.init.kaiming_normal_(module.weight)
            else:
                nn.init.xavier_normal_(module.weight)
            if linear_bias == "zero":
                nn.init.zeros_(module.bias)
