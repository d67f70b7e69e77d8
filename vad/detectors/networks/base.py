"""The catalogs of networks and of ways to draw their first weights; how a network is built, placed and folded."""

import copy
import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from threading import Lock
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vad.catalog import Catalog, Named
from vad.errors import InputError
from vad.inputs.shape import Shape

_building = Lock()
# What PyTorch says of a tensor that is larger than memory, or than a number of bytes can be.
_TOO_LARGE = ("allocate memory", "overflow")
NETWORKS: Catalog[type[nn.Module]] = Catalog("model")
INITS: Catalog[Callable[..., None]] = Catalog("init")

_TRANSPOSED = (nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, *_TRANSPOSED)

# MKL picks its kernel for tanh at the first call of a process. Were that call on two threads at once, each may
# pick another, and half of a first batch would differ in its last bit from every later run. A call on one thread settles it.
torch.tanh(torch.zeros(64))


def build(name: str, shape: Shape, options: Mapping[str, Any], seed: int, init: Named | None = None) -> nn.Module:
    """A fresh network; its first weights follow from `seed` alone, by PyTorch's rules or by `init`.

    Raises InputError for an unknown name, a wrong option, a shape that the network cannot take, or too large a network.
    """
    bound = NETWORKS.bind(name, options)
    takes, multiple = getattr(NETWORKS[name], "takes", "frame"), getattr(NETWORKS[name], "multiple", 1)
    if takes != shape.kind:
        raise InputError(
            f'model "{name}" takes {takes}s, but the input makes {shape.kind.removesuffix("s")}s; choose another input'
        )
    if shape.size < multiple or shape.size % multiple:
        raise InputError(f'model "{name}" needs a size that is a multiple of {multiple}, not {shape.size}')
    # The seed is the process's: of two threads that build, one waits.
    with _building, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = NETWORKS[name](shape, **bound)
        except (RuntimeError, TypeError) as error:
            if not any(sign in str(error).lower() for sign in _TOO_LARGE):
                raise
            given = ", ".join(f"{key} {value}" for key, value in options.items()) or "its defaults"
            fault = f'model "{name}" does not fit into memory at size {shape.size} with {given}'
            raise InputError(f"{fault}; make it smaller") from None
        if init is not None:
            INITS.make(init, network)
        return network


def bottleneck(maps: tuple[int, ...], latent: int) -> nn.Sequential:
    """Maps of this shape (channels, ..., H, W) through a vector of `latent` numbers, LeakyReLU 0.2 on both sides of it."""
    flat = math.prod(maps)
    squeeze = (nn.Flatten(), nn.Linear(flat, latent), nn.LeakyReLU(0.2))
    return nn.Sequential(*squeeze, nn.Linear(latent, flat), nn.LeakyReLU(0.2), nn.Unflatten(1, maps))


def place(network: nn.Module, device: torch.device) -> None:
    """Move a network to a device, its kernels in the order of memory that convolutions are fastest in."""
    deep = any(parameter.dim() == 5 for parameter in network.parameters())
    layout = torch.channels_last_3d if deep else torch.channels_last
    network.to(device=device, memory_format=layout)  # type: ignore[call-overload]


def parameter_count(network: nn.Module) -> int:
    """How many numbers training can change."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """A copy of `network` in evaluation mode that computes the same with one pass over memory less for each batch norm.

    A norm is folded where it follows a convolution in an `nn.Sequential`; `network` itself stays as it is.
    """
    folded = copy.deepcopy(network).eval()
    for block in [module for module in folded.modules() if isinstance(module, nn.Sequential)]:
        for number, (layer, following) in enumerate(pairwise(list(block))):
            if isinstance(layer, _CONVOLUTIONS) and isinstance(following, (nn.BatchNorm2d, nn.BatchNorm3d)):
                block[number] = fuse_conv_bn_eval(layer, following, isinstance(layer, _TRANSPOSED))
                block[number + 1] = nn.Identity()
    return folded


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
        if isinstance(module, _CONVOLUTIONS):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="leaky_relu")
        elif isinstance(module, nn.Linear):
            (nn.init.kaiming_normal_ if linear == "kaiming" else nn.init.xavier_normal_)(module.weight)
            if linear_bias == "zero":
                nn.init.zeros_(module.bias)
