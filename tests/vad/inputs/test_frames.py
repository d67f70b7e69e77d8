"""Inputs of pixels against loops over single frames and pixels."""

import numpy as np
import pytest
import torch

from vad.data.frame_index import FrameIndex
from vad.images.view import square
from vad.inputs import INPUTS, fold_frames
from vad.inputs.shape import Shape

CPU = torch.device("cpu")
SIZE = 6


@pytest.fixture
def index():
    """Videos of 7, 2 and 6 frames; the first has a gap behind its fourth frame."""
    return FrameIndex.sorted([1] * 7 + [2] * 2 + [3] * 6, [0, 1, 2, 3, 8, 9, 10, 0, 1, *range(6)])[0]


@pytest.fixture
def frames(index):
    return np.random.default_rng(3).integers(0, 256, (len(index), SIZE, SIZE, 3), dtype=np.uint8)


def samples_of(frames, index, name, /, *, training=False, **options):
    made = INPUTS.make(INPUTS.named(name, options))
    return made.samples(frames, index, CPU, training=training)


def slow_frame(image):
    """(3, H, W) in [-1, 1]."""
    return image.astype(np.float32).transpose(2, 0, 1) / np.float32(127.5) - 1


def slow_grey(image):
    return [[(0.299 * float(r) + 0.587 * float(g) + 0.114 * float(b)) / 255 for r, g, b in row] for row in image]


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("rgb", {}, Shape("frame", 3, SIZE, SIZE)),
        ("frame_difference", {}, Shape("frame", 1, SIZE, SIZE)),
        ("optical_flow", {}, Shape("frame", 2, SIZE, SIZE)),
        ("clip", {}, Shape("clip", 3, SIZE, SIZE, 8)),
        ("clip", {"frames": 5}, Shape("clip", 3, SIZE, SIZE, 5)),
        ("sequence", {}, Shape("sequence", 3, SIZE, SIZE, 8)),
        ("sequence", {"frames": 4}, Shape("sequence", 3, SIZE, SIZE, 4)),
    ],
)
def test_an_input_says_what_shape_its_samples_have(frames, index, name, options, shape):
    made = INPUTS.make(INPUTS.named(name, options))
    assert made.shape(square(SIZE)) == shape
    if shape.frames < 8:
        batch = made.samples(frames, index, CPU).batch(np.array([0, 1]))
        frame = (shape.channels, SIZE, SIZE)
        given = {"frame": frame, "clip": (3, shape.frames, SIZE, SIZE), "sequence": (shape.frames, *frame)}[shape.kind]
        assert batch.given.shape == (2, *given)
        assert batch.target.shape == (2, *(frame if shape.kind == "sequence" else given))


def test_a_frame_is_scaled_as_the_reference_does(frames, index):
    samples = samples_of(frames, index, "rgb")
    batch = samples.batch(np.array([3, 0, 14]))
    assert np.array_equal(batch.target.numpy(), [slow_frame(frames[i]) for i in (3, 0, 14)])
    assert batch.given is batch.target
    assert batch.given.dtype == torch.float32
    assert batch.given.is_contiguous(memory_format=torch.channels_last)
    assert len(samples) == len(index)
    assert samples.scored.tolist() == [[i] for i in range(len(index))]


@pytest.mark.parametrize("break_at_gaps", [False, True])
def test_a_difference_is_that_of_each_grey_pixel_to_the_frame_before(frames, index, break_at_gaps):
    samples = samples_of(frames, index, "frame_difference", break_at_gaps=break_at_gaps)
    scored = [i for i in range(15) if i not in ((0, 4, 7, 9) if break_at_gaps else (0, 7, 9))]
    assert samples.scored.tolist() == [[i] for i in scored]
    batch = samples.batch(np.arange(len(samples)))
    grey = [slow_grey(image) for image in frames.tolist()]
    expected = [[[[abs(grey[i][y][x] - grey[i - 1][y][x]) for x in range(SIZE)] for y in range(SIZE)]] for i in scored]
    np.testing.assert_allclose(batch.target.numpy(), expected, rtol=0, atol=5e-7)
    assert batch.given is batch.target
    assert batch.target.min() >= 0 and batch.target.max() <= 1


def test_a_difference_reaches_from_zero_to_one():
    index = FrameIndex.sorted([1, 1, 1], [0, 1, 2])[0]
    frames = np.zeros((3, 2, 2, 3), np.uint8)
    frames[1:] = 255
    change = samples_of(frames, index, "frame_difference").batch(np.array([0, 1])).target
    np.testing.assert_allclose(change[0].numpy(), 1, rtol=1e-6)
    assert (change[1] == 0).all()


@pytest.mark.parametrize(
    ("training", "starts"), [(False, [0, 1, 2, 3, 9, 10, 11]), (True, [0, 3, 9])], ids=["scoring", "training"]
)
def test_clips_are_strided_in_training_and_all_taken_in_scoring(frames, index, training, starts):
    samples = samples_of(frames, index, "clip", frames=4, stride=3, training=training)
    assert samples.scored.tolist() == [[start + k for k in range(4)] for start in starts]
    batch = samples.batch(np.arange(len(starts)))
    for found, start in zip(batch.target.numpy(), starts, strict=True):
        for k in range(4):
            assert np.array_equal(found[:, k], slow_frame(frames[start + k]))
    assert batch.given is batch.target
    assert batch.given.is_contiguous(memory_format=torch.channels_last_3d)


def test_training_sees_what_scoring_sees_but_for_the_stride_of_clips(frames, index):
    for name, options in (("rgb", {}), ("frame_difference", {}), ("clip", {"frames": 3}), ("sequence", {"frames": 3})):
        scoring, training = (samples_of(frames, index, name, training=t, **options) for t in (False, True))
        assert np.array_equal(scoring.scored, training.scored)


@pytest.mark.parametrize(("break_at_gaps", "scored"), [(False, [3, 4, 5, 6, 12, 13, 14]), (True, [3, 12, 13, 14])])
def test_a_sequence_is_followed_by_the_frame_that_is_asked_for(frames, index, break_at_gaps, scored):
    samples = samples_of(frames, index, "sequence", frames=3, break_at_gaps=break_at_gaps)
    assert samples.scored.tolist() == [[i] for i in scored]
    batch = samples.batch(np.arange(len(scored)))
    for given, target, frame in zip(batch.given.numpy(), batch.target.numpy(), scored, strict=True):
        assert np.array_equal(target, slow_frame(frames[frame]))
        for k in range(3):
            assert np.array_equal(given[k], slow_frame(frames[frame - 3 + k]))


@pytest.mark.parametrize(
    ("name", "options"), [("frame_difference", {}), ("clip", {"frames": 3}), ("sequence", {"frames": 2})]
)
def test_samples_come_in_the_order_in_which_they_are_asked_for(frames, index, name, options):
    samples = samples_of(frames, index, name, **options)
    whole = samples.batch(np.arange(len(samples)))
    order = np.array([4, 0, 4, 2])
    for found, expected in zip(samples.batch(order), whole, strict=True):
        assert torch.equal(found, expected[torch.from_numpy(order)])


@pytest.mark.parametrize(
    ("name", "options"), [("frame_difference", {}), ("clip", {"frames": 4}), ("sequence", {"frames": 4})]
)
def test_where_all_videos_are_too_short_there_are_no_samples(name, options):
    index = FrameIndex.sorted([1, 2, 3], [0, 1, 2])[0]
    samples = samples_of(np.zeros((3, SIZE, SIZE, 3), np.uint8), index, name, **options)
    assert len(samples) == 0
    assert not INPUTS.make(INPUTS.named(name, options)).scored(index).any()


@pytest.mark.parametrize("name", ["rgb", "clip", "sequence"])
def test_a_picture_of_frames_is_the_frames(frames, index, name):
    options = {} if name == "rgb" else {"frames": 2}
    samples = samples_of(frames, index, name, **options)
    picture = samples.picture(fold_frames(samples.batch(np.array([2])).target))
    assert picture.dtype == torch.uint8
    shown = {"rgb": [2], "clip": [2, 3], "sequence": [4]}[name]
    assert np.array_equal(picture.numpy(), frames[shown])


def test_a_picture_of_what_a_network_made_stays_within_bytes(frames, index):
    values = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0]).reshape(1, 1, 1, 5).expand(1, 3, 2, 5)
    picture = samples_of(frames, index, "rgb").picture(values)
    assert picture[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert picture.shape == (1, 2, 5, 3)


def test_a_picture_of_differences_is_grey(frames, index):
    values = torch.tensor([-1.0, 0.0, 0.2, 1.0, 2.0]).reshape(1, 1, 1, 5)
    picture = samples_of(frames, index, "frame_difference").picture(values)
    assert picture.dtype == torch.uint8
    assert picture[0, 0].tolist() == [[level] * 3 for level in (0, 0, 51, 255, 255)]


def test_frames_of_clips_are_folded_clip_by_clip():
    clips = torch.arange(2 * 3 * 4 * 2 * 2, dtype=torch.float32).reshape(2, 3, 4, 2, 2)
    folded = fold_frames(clips)
    assert folded.shape == (8, 3, 2, 2)
    for clip in range(2):
        for frame in range(4):
            assert torch.equal(folded[4 * clip + frame], clips[clip, :, frame])
    assert fold_frames(folded) is folded


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clip", {"frames": 1}, 'input "clip": frames must be at least 2, not 1'),
        ("clip", {"stride": 0}, 'input "clip": stride must be at least 1, not 0'),
        ("sequence", {"frames": 0}, 'input "sequence": frames must be at least 1, not 0'),
        ("rgb", {"frames": 2}, 'input "rgb" has no option "frames" (it has none)'),
    ],
)
def test_options_out_of_bounds_are_refused(refuses, name, options, message):
    with refuses(message):
        INPUTS.named(name, options)
