"""Halving and doubling give what PyTorch's convolutions give, forwards and backwards, at every side that they treat differently."""

import pytest
import torch
from torch import nn

from vad.detectors.networks.halving import Double, Halve

SIDES = (1, 2, 4, 5, 8, 9, 16)


def _plain(module):
    """PyTorch's own layer with the same weights."""
    kind = nn.Conv2d if isinstance(module, Halve) else nn.ConvTranspose2d
    plain = kind(module.in_channels, module.out_channels, 4, 2, 1, bias=module.bias is not None)
    plain.load_state_dict(module.state_dict())
    return plain


def _passed(module, maps, dtype=torch.float32):
    """Output and all gradients, the maps' first."""
    maps = maps.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        made = module(maps)
    weights = torch.randn(made.shape, generator=torch.Generator().manual_seed(3))
    (made.float() * weights).sum().backward()
    return [made.detach(), maps.grad, *(parameter.grad for parameter in module.parameters())]


def _make(kind, side, bias):
    torch.manual_seed(1)
    module = kind(6, 10, bias=bias).to(memory_format=torch.channels_last)
    maps = torch.randn(3, 6, side, side + 1).contiguous(memory_format=torch.channels_last)
    return module, maps if kind is Double else maps.repeat(1, 1, 2, 2)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", [Halve, Double])
def test_it_is_the_convolution_of_pytorch(kind, side, bias):
    module, maps = _make(kind, side, bias)
    for found, expected in zip(_passed(module, maps), _passed(_plain(module), maps), strict=True):
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", [Halve, Double])
def test_in_bf16_it_is_no_farther_from_the_truth_than_rounding(kind, side):
    module, maps = _make(kind, side, True)
    exact = _passed(_plain(module), maps)
    for found, expected in zip(_passed(module, maps, torch.bfloat16), exact, strict=True):
        assert float((found - expected).norm() / expected.norm()) < 0.01
    assert module(maps).dtype == torch.float32


def test_an_odd_side_is_left_to_pytorch():
    module = Halve(2, 3)
    assert module(torch.zeros(1, 2, 7, 7)).shape == (1, 3, 3, 3)


def test_where_nothing_is_to_be_learned_nothing_is_computed():
    module, maps = _make(Halve, 4, True)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    maps.requires_grad_()
    module(maps).sum().backward()
    assert maps.grad is not None and module.weight.grad is None
