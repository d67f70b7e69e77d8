"""Convolutions that halve or double the side of a map: 4 x 4, stride 2, padding 1, as all networks here have them.

The two are each other's transpose: `weight` is (channels of the small map, of the large one, 4, 4) in both, and the backward pass of
one is the forward pass of the other. On a CPU, oneDNN is slow at the gradient of a weight where maps are small and channels
many, so there it is a matrix product (`python -m benchmarks.halving`), and at that of a bias, so that is a plain sum.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Side of the small map up to which the matrix product is no slower on any processor that was measured.
_LARGEST_SIDE = 4


class Halve(nn.Conv2d):
    """(B, wide_in, 2 H, 2 W) to (B, wide_out, H, W)."""

    def __init__(self, wide_in: int, wide_out: int, *, bias: bool = True):
        super().__init__(wide_in, wide_out, 4, 2, 1, bias=bias)

    def forward(self, maps: Tensor) -> Tensor:
        if maps.device.type != "cpu" or maps.shape[-2] % 2 or maps.shape[-1] % 2:
            return super().forward(maps)
        return _apply(maps, self, doubling=False)


class Double(nn.ConvTranspose2d):
    """(B, wide_in, H, W) to (B, wide_out, 2 H, 2 W)."""

    def __init__(self, wide_in: int, wide_out: int, *, bias: bool = True):
        super().__init__(wide_in, wide_out, 4, 2, 1, bias=bias)

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        if maps.device.type != "cpu" or output_size is not None:
            return super().forward(maps, output_size)
        return _apply(maps, self, doubling=True)


def encoder(wide_in: int, widths: Sequence[int]) -> nn.Sequential:
    """Halve the map once for each of `widths`; each time batch norm and LeakyReLU 0.2 follow."""
    layers: list[nn.Module] = []
    for before, after in pairwise((wide_in, *widths)):
        layers += [Halve(before, after), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def decoder(widths: Sequence[int], wide_out: int, *first: nn.Module) -> nn.Sequential:
    """After the layers of `first`, double the map back through `widths`, with batch norm and ReLU; tanh ends the last."""
    layers = list(first)
    for before, after in pairwise(reversed(widths)):
        layers += [Double(before, after), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, Double(widths[0], wide_out), nn.Tanh())


class _Convolve(torch.autograd.Function):
    """Halving or doubling: each is the backward pass of the other."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None, doubling: bool) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.doubling = doubling
        return _convolve(maps, weight, bias, doubling)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        maps, weight = ctx.saved_tensors
        large, small = (gradient, maps) if ctx.doubling else (maps, gradient)
        by = product_gradient if min(small.shape[2:]) <= _LARGEST_SIDE else pytorch_gradient
        wanted = ctx.needs_input_grad
        of_maps = _convolve(gradient, weight, None, not ctx.doubling) if wanted[0] else None
        of_weight = by(large, small, weight) if wanted[1] else None
        return of_maps, of_weight, gradient.sum((0, 2, 3)) if wanted[2] else None, None


def _convolve(maps: Tensor, weight: Tensor, bias: Tensor | None, doubling: bool) -> Tensor:
    return (functional.conv_transpose2d if doubling else functional.conv2d)(maps, weight, bias, 2, 1)


def _apply(maps: Tensor, layer: Halve | Double, doubling: bool) -> Tensor:
    """All in the format that autocast asks for, as it would have done for PyTorch's own convolutions."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else maps.dtype
    bias = None if layer.bias is None else layer.bias.to(dtype)
    made: Tensor = _Convolve.apply(maps.to(dtype), layer.weight.to(dtype), bias, doubling)  # type: ignore[no-untyped-call]
    return made


def pytorch_gradient(large: Tensor, small: Tensor, weight: Tensor) -> Tensor:
    """The gradient of the weight between maps and gradients, by PyTorch's own kernel: that of a transposed convolution."""
    geometry = ([2, 2], [1, 1], [1, 1], False, [0, 0], 1)
    found = torch.ops.aten.convolution_backward(small, large, weight, None, *geometry, [False, True, False])
    return torch.as_tensor(found[1])


def product_gradient(large: Tensor, small: Tensor, weight: Tensor) -> Tensor:
    """The same as the product of the small map's pixels, (S, B * H * W), and the windows seen there, (B * H * W, 16 * L)."""
    batch, wide, height, width = large.shape
    padded = functional.pad(large.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    image, row, pixel, _ = padded.stride()
    shape, strides = (batch, height // 2, width // 2, 4, 4 * wide), (image, 2 * row, 2 * pixel, row, 1)
    windows = padded.as_strided(shape, strides).reshape(-1, 16 * wide)
    pixels = small.permute(0, 2, 3, 1).reshape(-1, small.shape[1])
    return (pixels.t() @ windows).view(weight.shape[0], 4, 4, wide).permute(0, 3, 1, 2)
