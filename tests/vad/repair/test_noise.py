"""The repair `noise`: frames that are far noisier than train frames are found, and no others."""

from dataclasses import replace

import numpy as np
import pytest

from vad.catalog import Named
from vad.data.frame_index import FrameIndex
from vad.data.layouts import read_frameset
from vad.frames.repaired import usable
from vad.images.decode import decode_image, read_image
from vad.repair import REPAIRS, fit
from vad.repair.noise import noise_level
from vad.synthetic.corruption import as_jpeg, corrupt

NOISE = Named("noise")


@pytest.fixture(scope="module")
def frames(demo_street, tmp_path_factory):
    """Train frames of the demo street, every tenth."""
    found = read_frameset(demo_street, tmp_path_factory.mktemp("index")).train
    return [read_image(path) for video in found.videos for path in (video.images or ())[::10]]


@pytest.fixture(scope="module")
def fitted(frames):
    sketch = REPAIRS.make(NOISE).sketch
    index = FrameIndex(np.ones(len(frames), np.int64), np.arange(len(frames)))
    return fit([NOISE], [np.stack([sketch.see(frame) for frame in frames])], index)[0]


def test_the_level_is_the_deviation_that_was_added():
    generator = np.random.default_rng(0)
    smooth = np.tile(np.linspace(60, 190, 320)[None, :, None], (240, 1, 3))
    for deviation in (2.0, 5.0, 10.0):
        noisy = smooth + generator.normal(0, deviation, (240, 320, 1))
        assert noise_level(np.clip(noisy, 0, 255).astype(np.uint8)) == pytest.approx(deviation, rel=0.1)


@pytest.mark.parametrize(("kind", "dropped"), [("clean", False), ("flip", False), ("noise", True), ("sign", True)])
def test_the_competitions_noise_is_found_and_nothing_else(frames, fitted, kind, dropped):
    generator = np.random.default_rng(1)
    for frame in frames:
        image = decode_image(as_jpeg(corrupt(frame, kind, generator)), "x")
        same, evidence = fitted.apply(image)
        assert same is image
        assert (evidence > 0) == dropped, evidence


def test_noisy_frames_are_left_out_unless_few_would_be_left(fitted):
    index = FrameIndex(np.repeat([1, 2], 10), np.tile(np.arange(10), 2))
    evidence = np.full((20, 1), -1.0, np.float32)
    evidence[[2, 3]] = 1.0  # two of the first video
    evidence[10:19] = 1.0  # nine of the second: what is left would say nothing
    seen = usable(index, evidence, [fitted])
    assert np.flatnonzero(~seen.usable).tolist() == [2, 3]
    assert seen == index, "they are the same frames"
    assert replace(seen, usable=None).usable is None


def test_other_repairs_leave_no_frame_out():
    index = FrameIndex(np.ones(3, np.int64), np.arange(3))
    flips = fit([Named("flips")], [np.zeros((3, 32, 32), np.uint8)], index)
    assert usable(index, np.ones((3, 1), np.float32), flips) is index
