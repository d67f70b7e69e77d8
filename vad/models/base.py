"""How networks are found and built."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vad.catalog import Catalog

NETWORKS: Catalog[type[nn.Module]] = Catalog("model")


def build(name: str, size: int, channels: int, options: Mapping[str, Any], seed: int) -> nn.Module:
    """A fresh network; its first weights follow from `seed` alone.

    Raises InputError for an unknown name, a wrong option, or a size that the network cannot take.
    """
    bound = NETWORKS.bind(name, options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name](size, channels, **bound)


def parameter_count(network: nn.Module) -> int:
    """How many numbers training can change."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
