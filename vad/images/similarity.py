"""How two images differ beyond their pixels: structural similarity and gradients. Used by losses and by errors."""

import math
from functools import lru_cache

import torch
from torch import Tensor

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
# The reference's constants, for a range of 1, though its images lie in [-1, 1].
_C1, _C2 = 0.01**2, 0.03**2


def ssim_map(first: Tensor, second: Tensor) -> Tensor:
    """SSIM (Wang et al., 2004; Gaussian window of 11 pixels, sigma 1.5, zero padding): (B, C, H, W) twice -> (B, C, H, W)."""
    both = torch.cat([first, second, first * first, second * second, first * second])
    # Two products with a band matrix are faster than a convolution of each channel.
    rows, columns = (_band(size, both.device) for size in both.shape[-2:])
    mean_1, mean_2, square_1, square_2, product = (rows @ both @ columns).chunk(5)
    variance_1, variance_2 = square_1 - mean_1 * mean_1, square_2 - mean_2 * mean_2
    covariance = product - mean_1 * mean_2
    likeness = (2 * mean_1 * mean_2 + _C1) * (2 * covariance + _C2)
    return likeness / ((mean_1 * mean_1 + mean_2 * mean_2 + _C1) * (variance_1 + variance_2 + _C2))


@lru_cache
@torch.inference_mode(False)  # what is made while scoring must serve training too
def _band(size: int, device: torch.device) -> Tensor:
    """The symmetric matrix of the Gaussian window over a vector of `size`, zeros beyond its ends."""
    offsets = range(-(SSIM_WINDOW // 2), SSIM_WINDOW // 2 + 1)
    window = [math.exp(-(offset**2) / (2 * SSIM_SIGMA**2)) for offset in offsets]
    band = torch.zeros(size, size, dtype=torch.float64)
    for offset, weight in zip(offsets, window, strict=True):
        if abs(offset) < size:
            band.diagonal(offset).fill_(weight / sum(window))
    return band.float().to(device)


def gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """First differences along rows and along columns: (B, C, H, W) -> (B, C, H, W - 1), (B, C, H - 1, W)."""
    return images[..., 1:] - images[..., :-1], images[..., 1:, :] - images[..., :-1, :]
