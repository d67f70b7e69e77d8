"""Convolutions that halve or double the side of a map: 4 x 4, stride 2, padding 1, as all networks here have them.

The two are each other's transpose: `weight` is (channels of the small map, channels of the large one, 4, 4) in both, the backward
pass of one is the forward pass of the other, and the gradient of the weight is the same sum. On a CPU, oneDNN is slow
where maps are small and channels many, and where it sums the gradient of a bias; there the same sums are taken
as matrix products. Elsewhere both are PyTorch's own.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Sides of the small map up to which matrix products are faster, measured: for maps, for the gradient of the weight.
_MAPS, _WEIGHTS = 4, 8


class Halve(nn.Conv2d):
    """(B, wide_in, 2 H, 2 W) to (B, wide_out, H, W)."""

    def __init__(self, wide_in: int, wide_out: int, *, bias: bool = True):
        super().__init__(wide_in, wide_out, 4, 2, 1, bias=bias)

    def forward(self, maps: Tensor) -> Tensor:
        if maps.device.type != "cpu" or maps.shape[-2] % 2 or maps.shape[-1] % 2:
            return super().forward(maps)
        made: Tensor = _Halve.apply(*_in_one_format(maps, self.weight, self.bias))  # type: ignore[no-untyped-call]
        return made


class Double(nn.ConvTranspose2d):
    """(B, wide_in, H, W) to (B, wide_out, 2 H, 2 W)."""

    def __init__(self, wide_in: int, wide_out: int, *, bias: bool = True):
        super().__init__(wide_in, wide_out, 4, 2, 1, bias=bias)

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        if maps.device.type != "cpu" or output_size is not None:
            return super().forward(maps, output_size)
        made: Tensor = _Double.apply(*_in_one_format(maps, self.weight, self.bias))  # type: ignore[no-untyped-call]
        return made


class _Halve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, large: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(large, weight)
        return _halve(large, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        large, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            _double(gradient, weight, None) if wanted[0] else None,
            _weight_gradient(large, gradient, weight) if wanted[1] else None,
            gradient.sum((0, 2, 3)) if wanted[2] else None,
        )


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, small: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(small, weight)
        return _double(small, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        small, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            _halve(gradient, weight, None) if wanted[0] else None,
            _weight_gradient(gradient, small, weight) if wanted[1] else None,
            gradient.sum((0, 2, 3)) if wanted[2] else None,
        )


def _in_one_format(maps: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """All in the format that autocast asks for, as it would have done for PyTorch's own convolutions."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else maps.dtype
    return maps.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)


def _halve(large: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    batch, height, width = large.shape[0], large.shape[2] // 2, large.shape[3] // 2
    if min(height, width) > _MAPS:
        return functional.conv2d(large, weight, bias, 2, 1)
    made = functional.linear(_windows(large), _matrix(weight), bias)
    return made.view(batch, height, width, -1).permute(0, 3, 1, 2)


def _double(small: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    batch, _, height, width = small.shape
    if min(height, width) > _MAPS:
        return functional.conv_transpose2d(small, weight, bias, 2, 1)
    parts = (_rows(small) @ _matrix(weight)).view(batch, height, width, 4, 4, -1)
    made = parts.new_zeros(batch, 2 * height + 2, 2 * width + 2, parts.shape[-1])
    for row in range(4):
        for column in range(4):
            made[:, row : row + 2 * height : 2, column : column + 2 * width : 2] += parts[:, :, :, row, column]
    made = made[:, 1:-1, 1:-1]
    return (made if bias is None else made + bias).permute(0, 3, 1, 2)


def _weight_gradient(large: Tensor, small: Tensor, weight: Tensor) -> Tensor:
    """The gradient of the weight that takes `large` to maps whose gradient is `small`, or the other way round."""
    if min(small.shape[2:]) > _WEIGHTS:
        _, gradient, _ = torch.ops.aten.convolution_backward(
            small, large, weight, None, [2, 2], [1, 1], [1, 1], False, [0, 0], 1, [False, True, False]
        )
        return torch.as_tensor(gradient)
    gradient = _rows(small).t() @ _windows(large)
    return gradient.view(weight.shape[0], 4, 4, weight.shape[1]).permute(0, 3, 1, 2)


def _rows(maps: Tensor) -> Tensor:
    """(B, C, H, W) as a matrix of pixels, (B * H * W, C)."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _matrix(weight: Tensor) -> Tensor:
    """(S, L, 4, 4) as (S, 16 * L), in the order of `_windows`."""
    return weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)


def _windows(large: Tensor) -> Tensor:
    """The 4 x 4 windows that a halving sees, (B, L, 2 H, 2 W) as (B * H * W, 16 * L)."""
    batch, channels, height, width = large.shape
    padded = functional.pad(large.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    image, row, pixel, _ = padded.stride()
    shape = (batch, height // 2, width // 2, 4, 4 * channels)
    windows = padded.as_strided(shape, (image, 2 * row, 2 * pixel, row, 1))
    return windows.reshape(-1, 16 * channels)
