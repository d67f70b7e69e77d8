"""The corruption law: shares of kinds, and the statistics of each kind."""

import cv2
import numpy as np
import pytest

from vad.images.decode import decode_image
from vad.synthetic.corruption import KINDS, SHARES, as_jpeg, corrupt, draw_kinds


@pytest.fixture
def grey():
    """Mid-grey with a gradient: nothing in it can be clipped."""
    ramp = np.linspace(110, 145, 200).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(ramp[:, None, None], (200, 300, 3)))


def change(image, kind, seed=0):
    return corrupt(image, kind, np.random.default_rng(seed)).astype(float) - image


def test_kinds_are_drawn_by_their_shares_and_independently():
    kinds = np.array(draw_kinds(40_000, np.random.default_rng(1)))
    shares = [float(np.mean(kinds == kind)) for kind in KINDS]
    assert shares == pytest.approx(SHARES, abs=0.01)
    flips = kinds == "flip"
    assert float(np.mean(flips[1:][flips[:-1]])) == pytest.approx(0.102, abs=0.02)


def test_kinds_follow_from_the_generator():
    assert draw_kinds(50, np.random.default_rng(3)) == draw_kinds(50, np.random.default_rng(3))
    assert draw_kinds(0, np.random.default_rng(3)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_corrupted_frame_is_a_new_array_of_the_same_shape(grey, kind):
    before = grey.copy()
    result = corrupt(grey, kind, np.random.default_rng(0))
    assert (result.shape, result.dtype) == (grey.shape, np.uint8)
    assert result.flags.c_contiguous
    assert not np.shares_memory(result, grey)
    assert np.array_equal(grey, before)
    assert np.array_equal(result, corrupt(grey, kind, np.random.default_rng(0)))


def test_clean_is_untouched(grey):
    assert np.array_equal(corrupt(grey, "clean", np.random.default_rng(0)), grey)


def test_flip_is_upside_down_and_no_rotation(picture):
    image = picture()
    assert np.array_equal(corrupt(image, "flip", np.random.default_rng(0)), image[::-1])
    assert not np.array_equal(image[::-1], image[::-1, ::-1])


def test_noise_is_gaussian_of_sigma_25_in_each_pixel_and_channel(grey):
    noise = change(grey, "noise")
    assert noise.std() == pytest.approx(25, rel=0.01)
    assert np.mean(np.abs(noise) > 50) == pytest.approx(0.0455, abs=0.005)
    assert np.allclose(np.corrcoef(noise.reshape(-1, 3).T), np.eye(3), atol=0.02)
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("level", [0, 255])
def test_noise_is_clipped_and_does_not_wrap(level):
    image = np.full((100, 100, 3), level, np.uint8)
    noisy = corrupt(image, "noise", np.random.default_rng(0))
    assert np.mean(noisy == level) == pytest.approx(0.5, abs=0.05)
    assert np.abs(noisy.astype(int) - level).max() < 128


def test_sign_noise_has_one_size_everywhere(grey):
    # 12.75 upwards and downwards, then cut to whole numbers.
    assert set(np.unique(change(grey, "sign"))) == {-13.0, 12.0}


def test_sign_noise_agrees_between_channels_by_half_and_fades_within_two_pixels(grey):
    signs = np.sign(change(grey, "sign"))
    assert abs(signs.mean()) < 0.02
    assert np.corrcoef(signs.reshape(-1, 3).T)[np.triu_indices(3, 1)] == pytest.approx(0.5, abs=0.03)

    def alike(step):
        return np.corrcoef(signs[:, step:, 0].ravel(), signs[:, :-step, 0].ravel())[0, 1]

    assert 0.15 < alike(1) < 0.35
    assert abs(alike(2)) < 0.1
    assert abs(alike(3)) < 0.03


def test_an_unknown_kind_is_refused(grey):
    with pytest.raises(ValueError, match="'blur'; there are clean, noise, sign, flip"):
        corrupt(grey, "blur", np.random.default_rng(0))


def test_jpeg_keeps_a_frame_and_dampens_noise(picture):
    smooth = cv2.GaussianBlur(picture(size=(320, 180)), (0, 0), 3)
    kept = decode_image(as_jpeg(smooth), "a frame").astype(float)
    assert kept.shape == smooth.shape
    assert np.abs(kept - smooth).mean() < 2
    noisy = corrupt(smooth, "noise", np.random.default_rng(0))
    stored = decode_image(as_jpeg(noisy), "a frame").astype(float)
    assert 0.6 < (stored - smooth).std() / (noisy.astype(float) - smooth).std() < 0.85
