"""Structural similarity and gradients, and the errors and losses made of them, against SciPy and NumPy, image by image."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from vad.detectors.networks import ERRORS
from vad.detectors.training.losses import LOSSES
from vad.images.similarity import gradients, ssim_map

SHAPES = [(2, 3, 24, 24), (3, 1, 16, 16), (1, 2, 12, 31), (2, 3, 7, 5)]


@pytest.fixture(params=SHAPES, ids=str)
def pair(request):
    """An image that is smooth in part, and one that is like it in part."""
    generator = np.random.default_rng(4)
    target = ndimage.gaussian_filter(generator.uniform(-1, 1, request.param), (0, 0, 1, 1))
    output = np.clip(0.8 * target + generator.normal(0, 0.2, request.param), -1, 1)
    output[..., :3, :3] = target[..., :3, :3]
    return torch.from_numpy(output).float(), torch.from_numpy(target).float()


def slow_ssim(first, second):
    """Of one channel: Wang et al.'s formula with weighted means over an 11 x 11 window, zeros outside."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def average(image):
        return ndimage.correlate(image, window, mode="constant", cval=0.0)

    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = average(a), average(b)
    variance_a, variance_b = average(a**2) - mean_a**2, average(b**2) - mean_b**2
    covariance = average(a * b) - mean_a * mean_b
    above = (2 * mean_a * mean_b + 0.01**2) * (2 * covariance + 0.03**2)
    return above / ((mean_a**2 + mean_b**2 + 0.01**2) * (variance_a + variance_b + 0.03**2))


def slow_map(output, target):
    pairs = zip(output.numpy(), target.numpy(), strict=True)
    return np.array([[slow_ssim(a, b) for a, b in zip(x, y, strict=True)] for x, y in pairs])


def test_the_similarity_of_each_pixel(pair):
    np.testing.assert_allclose(ssim_map(*pair).numpy(), slow_map(*pair), rtol=0, atol=2e-5)


def test_the_similarity_of_flat_images(pair):
    flat, flatter = torch.full((1, 1, 16, 16), 0.7), torch.full((1, 1, 16, 16), -0.2)
    np.testing.assert_allclose(ssim_map(flat, flatter).numpy(), slow_map(flat, flatter), rtol=0, atol=2e-4)


def test_an_image_is_like_itself_and_likeness_goes_both_ways(pair):
    output, target = pair
    torch.testing.assert_close(ssim_map(target, target), torch.ones_like(target), rtol=0, atol=1e-5)
    torch.testing.assert_close(ssim_map(output, target), ssim_map(target, output), rtol=0, atol=1e-6)
    assert ssim_map(output, target).min() < 0.9


def test_the_ssim_error_is_that_of_each_frame_and_the_loss_that_of_all(pair):
    expected = 1 - slow_map(*pair)
    found = ERRORS["ssim"](*pair)
    np.testing.assert_allclose(found.numpy(), [frame.mean() for frame in expected], rtol=0, atol=2e-5)
    assert LOSSES["ssim"](*pair).item() == pytest.approx(expected.mean(), abs=2e-5)


def test_gradients_are_first_differences(pair):
    image = pair[0]
    along_rows, along_columns = gradients(image)
    assert np.array_equal(along_rows.numpy(), np.diff(image.numpy(), axis=3))
    assert np.array_equal(along_columns.numpy(), np.diff(image.numpy(), axis=2))


def test_the_gradient_error_squares_and_the_gradient_loss_does_not(pair):
    output, target = (values.numpy().astype(np.float64) for values in pair)
    away = [np.diff(output, axis=axis) - np.diff(target, axis=axis) for axis in (3, 2)]
    squared = [sum((part[i] ** 2).mean() for part in away) for i in range(len(output))]
    np.testing.assert_allclose(ERRORS["gradient"](*pair).numpy(), squared, rtol=1e-5)
    assert LOSSES["gradient"](*pair).item() == pytest.approx(sum(np.abs(part).mean() for part in away), rel=1e-5)


def test_similarity_measured_in_scoring_can_still_be_trained_by():
    image = torch.linspace(-1, 1, 19 * 19).reshape(1, 1, 19, 19)  # a size of its own: the window is kept by size
    with torch.inference_mode():
        ERRORS["ssim"](image, image)
    output = (0.5 * image).requires_grad_()
    LOSSES["ssim"](output, image).backward()
    assert output.grad is not None and output.grad.abs().sum() > 0
