"""Optical flow against OpenCV called frame by frame."""

import cv2
import numpy as np
import pytest
import torch

from vad.data.frame_index import FrameIndex
from vad.inputs import INPUTS

CPU = torch.device("cpu")
SIZE = 48


@pytest.fixture
def index():
    """Videos of 5 and 3 frames; the first has a gap behind its third."""
    return FrameIndex.sorted([1] * 5 + [2] * 3, [0, 1, 2, 7, 8, 0, 1, 2])[0]


@pytest.fixture(scope="module")
def frames():
    """Coarse texture that runs to the right, each frame faster; so fast in the end that flow is cut off."""
    texture = np.random.default_rng(8).integers(0, 256, (8, 24, 3), dtype=np.uint8)
    wide = cv2.resize(texture, (6 * SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    offsets = (0, 1, 3, 6, 10, 0, 40, 90)
    return np.stack([wide[:, 200 - offset : 200 - offset + SIZE] for offset in offsets])


def samples_of(frames, index, **options):
    return INPUTS.make(INPUTS.named("optical_flow", options)).samples(frames, index, CPU)


def slow_flow(frames, position):
    before, after = (cv2.cvtColor(frames[i], cv2.COLOR_RGB2GRAY) for i in (position - 1, position))
    flow = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    return (np.minimum(np.maximum(flow, -20), 20) / 20).transpose(2, 0, 1)


@pytest.mark.parametrize(("break_at_gaps", "still"), [(False, [0, 5]), (True, [0, 3, 5])])
def test_flow_is_opencvs_from_the_frame_before_and_zero_where_there_is_none(frames, index, break_at_gaps, still):
    samples = samples_of(frames, index, break_at_gaps=break_at_gaps)
    assert samples.slow
    assert samples.scored.tolist() == [[i] for i in range(8)]
    batch = samples.batch(np.arange(8))
    assert batch.given is batch.target
    assert batch.target.dtype == torch.float32
    for position, found in enumerate(batch.target.numpy()):
        expected = np.zeros((2, SIZE, SIZE)) if position in still else slow_flow(frames, position)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2**-12)  # kept in half precision
        assert found.any() == (position not in still)


def test_flow_to_the_right_is_positive_and_cut_off_at_twenty_pixels(frames, index):
    flow = samples_of(frames, index).batch(np.arange(8)).target
    assert flow[2, 0].median() * 20 == pytest.approx(2, abs=0.3)
    assert flow.abs().max() == 1


def test_kept_flow_is_the_computed_flow(frames, index, tmp_path):
    computed, kept = samples_of(frames, index), samples_of(frames, index)
    told = []
    kept.keep(tmp_path / "frames-48", told.append)
    assert sum(told) == 8
    (path,) = tmp_path.iterdir()
    assert np.load(path, mmap_mode="r").shape == (8, SIZE, SIZE, 2)
    for which in (np.arange(8), np.array([6, 1, 6])):
        found, expected = kept.batch(which).target, computed.batch(which).target
        assert torch.equal(found, expected)
        assert found.stride() == expected.stride()


def test_flow_that_is_kept_is_not_computed_again(frames, index, tmp_path):
    samples_of(frames, index).keep(tmp_path / "f", lambda _: None)
    told = []
    again = samples_of(np.zeros_like(frames), index)
    again.keep(tmp_path / "f", told.append)
    assert told == []
    assert again.batch(np.array([2])).target.any()


def test_joined_and_broken_flow_are_kept_apart(frames, index, tmp_path):
    for break_at_gaps in (False, True):
        samples = samples_of(frames, index, break_at_gaps=break_at_gaps)
        samples.keep(tmp_path / "f", lambda _: None)
        assert samples.batch(np.array([3])).target.any() == (not break_at_gaps)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "shape", "dtype", "overwritten"])
def test_a_kept_file_that_cannot_be_right_is_computed_anew(frames, index, tmp_path, damage):
    samples_of(frames, index).keep(tmp_path / "f", lambda _: None)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    if damage == "shape":
        np.save(path, np.zeros((7, SIZE, SIZE, 2), np.float16))
    elif damage == "dtype":
        np.save(path, np.zeros((8, SIZE, SIZE, 2), np.float32))
    else:
        overwritten = data[:200] + bytes(len(data) - 200)
        path.write_bytes(
            {"overwritten": overwritten, "cut": data[:-1], "empty": b"", "other": b"nothing of the kind"}[damage]
        )
    told = []
    samples = samples_of(frames, index)
    samples.keep(tmp_path / "f", told.append)
    assert sum(told) == 8
    assert path.read_bytes() == data
    assert torch.equal(samples.batch(np.arange(8)).target, samples_of(frames, index).batch(np.arange(8)).target)


def test_an_interrupted_keeping_leaves_nothing_behind(frames, index, tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        samples_of(frames, index).keep(tmp_path / "f", stop)
    assert list(tmp_path.iterdir()) == []


def test_inputs_that_are_quick_to_make_keep_nothing(frames, index, tmp_path):
    for name in ("rgb", "frame_difference", "clip", "sequence"):
        samples = INPUTS[name]().samples(frames, index, CPU)
        assert not samples.slow
        samples.keep(tmp_path / name, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_flow_has_direction_as_colour_and_distance_as_brightness(frames, index):
    values = torch.zeros(2, 2, 3, 3)
    values[0, 0, 0, 0] = 1.0  # right: red
    values[0, 0, 1, 1] = -0.5  # left, half as far: dark cyan
    picture = samples_of(frames, index).picture(values)
    assert picture.dtype == torch.uint8
    assert picture.shape == (2, 3, 3, 3)
    assert picture[0, 0, 0].tolist() == [255, 0, 0]
    assert picture[0, 1, 1].tolist() == pytest.approx([0, 127, 127], abs=3)
    assert not picture[0, 2].any() and not picture[1].any()
