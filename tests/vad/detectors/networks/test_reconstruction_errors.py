"""Each error against a loop over frames, channels and pixels. Those of similarity and gradients: test_similarity.py."""

import numpy as np
import pytest
import torch

from vad.detectors.networks import ERRORS


def pair_of(channels=3, size=10, count=3):
    generator = torch.Generator().manual_seed(size)
    return tuple(torch.rand(count, channels, size, size, generator=generator) * 2 - 1 for _ in range(2))


def squared(output, target):
    return [[[[(a - b) ** 2 for a, b in zip(*rows, strict=True)] for rows in zip(*planes, strict=True)]
             for planes in zip(*frames, strict=True)] for frames in zip(output.tolist(), target.tolist(), strict=True)]  # fmt: skip


def slow_patch(frame, size):
    """The mean over channels and pixels of each patch, the largest of them."""
    channels, side = len(frame), len(frame[0])
    means = []
    for top in range(0, side, size):
        for left in range(0, side, size):
            inside = [
                frame[c][y][x]
                for c in range(channels)
                for y in range(top, min(top + size, side))
                for x in range(left, min(left + size, side))
            ]
            means.append(sum(inside) / len(inside))
    return max(means)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_mean_and_max(channels):
    pair = pair_of(channels)
    errors = [np.ravel(frame) for frame in squared(*pair)]
    np.testing.assert_allclose(ERRORS["mean"](*pair).numpy(), [np.mean(frame) for frame in errors], rtol=1e-5)
    np.testing.assert_allclose(ERRORS["max"](*pair).numpy(), [np.max(frame) for frame in errors], rtol=1e-5)


def test_the_max_error_is_that_of_a_single_channel_of_a_single_pixel():
    target = torch.zeros(2, 3, 4, 4)
    output = torch.zeros(2, 3, 4, 4)
    output[1, 2, 3, 1] = -1.5
    assert ERRORS["max"](output, target).tolist() == [0, 2.25]
    assert ERRORS["mean"](output, target).tolist() == [0, 2.25 / 48]


@pytest.mark.parametrize(("side", "size"), [(12, 4), (10, 4), (10, 3), (10, 9), (10, 10), (10, 16), (8, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_patch(channels, side, size):
    pair = pair_of(channels, side)
    expected = [slow_patch(frame, size) for frame in squared(*pair)]
    np.testing.assert_allclose(ERRORS["patch"](*pair, size=size).numpy(), expected, rtol=1e-5)


def test_the_last_patches_are_smaller_and_weigh_their_own_pixels_alone():
    target, output = torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 5, 5)
    output[0, 0, 4, 4] = 1
    assert ERRORS["patch"](output, target, size=4).tolist() == [1]
    output[0, 0, 4, 4], output[0, 0, 4, 0] = 0, 1
    assert ERRORS["patch"](output, target, size=4).tolist() == [0.25]


def test_a_patch_has_16_pixels_unless_told_otherwise():
    pair = pair_of(3, 40)
    assert torch.equal(ERRORS["patch"](*pair), ERRORS["patch"](*pair, size=16))
    assert ERRORS.named("patch", {}).options == (("size", 16),)


@pytest.mark.parametrize("name", ERRORS.names())
def test_an_error_is_one_number_a_frame_and_zero_where_nothing_differs(name):
    output, target = pair_of(2, 20)
    output[1] = target[1]
    found = ERRORS[name](output, target)
    assert found.shape == (3,)
    assert found[1] == pytest.approx(0, abs=1e-6)
    assert found[0] > 0.01 and found[2] > 0.01
