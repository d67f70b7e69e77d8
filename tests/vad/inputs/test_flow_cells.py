"""Histograms of flow in cells, against movement that is known and a slow loop over pixels."""

import cv2
import numpy as np
import pytest
import torch

from vad.data.frame_index import FrameIndex
from vad.images.view import View, square
from vad.inputs import INPUTS, Shape
from vad.inputs.motion_cells import CHANNELS, dis_flow, histograms

CPU = torch.device("cpu")
SIZE, CELL = 192, 32
EDGES = (0.25, 0.5, 1, 2, 3, 4, 6)
# By the angle in image coordinates, where y runs down: right, right and down, down, ... in steps of 45 degrees.
WAYS = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]


def textured(generator, height, width):
    coarse = generator.integers(0, 256, (height // 8, width // 8), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def moving(*places):
    """A still ground with a textured square of 64 pixels whose upper left corner is at these places (x, y)."""
    generator = np.random.default_rng(3)
    ground, block = textured(generator, SIZE, SIZE) // 4, 128 + textured(generator, 64, 64) // 2
    frames = np.repeat(ground[None], len(places), 0)
    for frame, (x, y) in zip(frames, places, strict=True):
        frame[y : y + 64, x : x + 64] = block
    return frames


def samples_of(frames, index, cell=CELL):
    return INPUTS.make(INPUTS.named("flow_cells", {"cell": cell})).samples(frames, index, CPU)


def cells_of(frames, index, cell=CELL):
    """All samples as (W, rows, columns, channels)."""
    samples = samples_of(frames, index, cell)
    return samples.batch(np.arange(len(samples))).given.permute(0, 2, 3, 1).numpy()


def counts_of(frames, index):
    """The counts behind the values, to 2 %."""
    return np.expm1(cells_of(frames, index) / 32)


def slow_histograms(flow, cell):
    rows, columns = flow.shape[0] // cell, flow.shape[1] // cell
    found = np.zeros((rows, columns, 16))
    for y in range(rows * cell):
        for x in range(columns * cell):
            dx, dy = map(float, flow[y, x])
            speed = (dx * dx + dy * dy) ** 0.5
            counts = found[y // cell, x // cell]
            counts[sum(speed >= edge for edge in EDGES)] += 1
            if speed >= 1:
                counts[8 + round(np.degrees(np.arctan2(dy, dx)) / 45) % 8] += 1
    return found


@pytest.mark.parametrize(("shape", "cell"), [((32, 48), 16), ((40, 35), 8), ((33, 64), 32)])
def test_histograms_are_counts_of_pixels(shape, cell):
    generator = np.random.default_rng(1)
    # Speeds and directions between the bins' edges, so that rounding decides nothing.
    speed = generator.choice([0.1, 0.3, 0.7, 1.5, 2.5, 3.5, 5, 9], shape)
    angle = (generator.integers(0, 8, shape) + generator.uniform(-0.4, 0.4, shape)) * np.pi / 4
    flow = np.stack([speed * np.cos(angle), speed * np.sin(angle)], -1).astype(np.float32)
    found = histograms(flow, cell)
    assert found.dtype == np.float32
    assert np.array_equal(found, slow_histograms(flow, cell))
    assert (found[..., :8].sum(-1) == cell * cell).all()


@pytest.mark.parametrize("way", range(8), ids=[f"{x:+}{y:+}" for x, y in WAYS])
def test_a_moving_square_is_counted_by_its_speed_and_direction(index_of, way):
    x, y = WAYS[way]
    found = counts_of(moving(*[(64 + 5 * x * step, 64 + 5 * y * step) for step in range(3)]), index_of(3))
    assert found.shape == (2, 6, 6, CHANNELS)
    speed = 7 if x and y else 6  # 7.1 or 5 pixels a frame
    for cell in found[0, 2:4, 2:4].reshape(4, CHANNELS):
        assert cell[speed] > 0.6 * CELL * CELL
        assert cell[8 + way] > 0.6 * CELL * CELL
        assert cell[8:].sum() == pytest.approx(cell[3:8].sum(), rel=0.03)  # of what moves a pixel a frame and more
    for cell in (found[0, row, column] for row in (0, 5) for column in (0, 5)):  # the ground
        assert cell[0] > 0.9 * CELL * CELL and cell[8:].sum() < 0.01 * CELL * CELL


def test_slow_movement_is_told_from_fast(index_of):
    (slow,) = counts_of(moving((64, 64), (65, 65)), index_of(2))
    assert (slow[2:4, 2:4, 3] > 0.6 * CELL * CELL).all()  # 1.4 pixels a frame
    assert (slow[2:4, 2:4, 6:8] == 0).all()


def test_what_stands_still_is_all_in_the_first_bin(index_of):
    found = cells_of(moving((64, 64), (64, 64)), index_of(2))
    assert (found[..., 0] == round(32 * np.log(1 + CELL * CELL))).all()
    assert not found[..., 1:].any()


def test_movement_across_missing_numbers_is_divided_by_their_count(index_of):
    frames = moving((60, 64), (66, 64))
    together = counts_of(frames, FrameIndex(np.array([1, 1]), np.array([4, 5])))
    apart = counts_of(frames, FrameIndex(np.array([1, 1]), np.array([4, 7])))
    flow = dis_flow(*frames)
    np.testing.assert_allclose(together[0], histograms(flow, CELL), rtol=0.02)
    np.testing.assert_allclose(apart[0], histograms(flow / np.float32(3), CELL), rtol=0.02)
    middle = np.s_[0, 2:4, 2:3]
    assert together[middle][..., 6:8].sum() > 1000 > 100 > apart[middle][..., 6:8].sum()  # 6 pixels a frame
    assert apart[middle][..., 3:5].sum() > 1000 > 100 > together[middle][..., 3:5].sum()  # 2 pixels a frame


def test_the_first_frame_of_a_video_gets_no_score_and_no_sample_crosses_two(index_of):
    kind = INPUTS.make(INPUTS.named("flow_cells", {}))
    index = index_of(3, 1, 2)
    samples = samples_of(moving(*[(n, n) for n in range(6)]), index)
    assert samples.windows.tolist() == [[0, 1], [1, 2], [4, 5]]
    assert samples.scored.tolist() == [[1], [2], [5]]
    assert kind.scored(index).tolist() == [False, True, True, False, False, True]


def test_samples_are_of_grey_frames_in_cells(index_of):
    kind = INPUTS.make(INPUTS.named("flow_cells", {}))
    assert kind.colour == "grey"
    assert kind.shape(View(224, 384, "grey")) == Shape("cells", 16, 7, 12)
    assert INPUTS.make(INPUTS.named("flow_cells", {"cell": 40})).shape(square(100)) == Shape("cells", 16, 2, 2)
    samples = samples_of(moving((0, 0), (3, 0)), index_of(2))
    assert samples.slow
    batch = samples.batch(np.array([0]))
    assert batch.given is batch.target
    assert (batch.given.dtype, batch.given.shape) == (torch.float32, (1, *Shape("cells", 16, 6, 6).sides))


@pytest.mark.parametrize("view", [View(31, 64, "grey"), View(64, 31, "grey"), square(8)])
def test_frames_that_are_too_small_for_flow_are_refused(refuses, view):
    with refuses(
        f'input "flow_cells" needs frames of 32 pixels a side at least, not {view.width} x {view.height}; choose a larger `size`'
    ):
        INPUTS.make(INPUTS.named("flow_cells", {})).shape(view)


@pytest.mark.parametrize("size", [(32, 32), (32, 80), (64, 32), (80, 40), (96, 64)])
def test_a_frames_flow_depends_on_nothing_that_was_computed_before(size, index_of):
    """Small frames are where an object of OpenCV that was used before gave other flow."""
    frames = np.random.default_rng(0).integers(0, 256, (9, *size), dtype=np.uint8)
    whole = cells_of(frames, index_of(9), 8)
    for first in (1, 4, 6):
        assert np.array_equal(cells_of(frames[first:], index_of(9 - first), 8), whole[first:])
    assert np.array_equal(cells_of(frames, index_of(9), 8), whole)


def test_kept_cells_are_the_computed_ones_and_are_not_computed_again(index_of, tmp_path):
    frames = moving(*[(3 * n, 2 * n) for n in range(6)])
    computed, kept, told = samples_of(frames, index_of(6)), samples_of(frames, index_of(6)), []
    kept.keep(tmp_path / "frames", told.append)
    assert sum(told) == 5
    again = samples_of(np.zeros_like(frames), index_of(6))
    again.keep(tmp_path / "frames", told.append)
    assert sum(told) == 5
    for which in (np.arange(5), np.array([4, 0, 4])):
        expected = computed.batch(which).given
        assert torch.equal(kept.batch(which).given, expected) and torch.equal(again.batch(which).given, expected)
    samples_of(frames, index_of(6), 16).keep(tmp_path / "frames", told.append)
    assert len(list(tmp_path.iterdir())) == 2  # another cell, another file


@pytest.mark.parametrize(("cell", "fault"), [(3, "at least 4"), (45, "at most 44")])
def test_counts_of_a_cell_fit_half_precision(refuses, cell, fault):
    with refuses(f'input "flow_cells": cell must be {fault}, not {cell}'):
        INPUTS.named("flow_cells", {"cell": cell})
    assert float(torch.tensor(44.0 * 44).half()) == 44 * 44
