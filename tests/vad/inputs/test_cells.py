"""Cells of grey values, edges and changes, against images whose values are known."""

import numpy as np
import pytest
import torch

from vad.data.frame_index import FrameIndex
from vad.images.view import View
from vad.inputs import INPUTS, Shape
from vad.inputs.cells import in_cells, whole
from vad.inputs.motion_cells import regions

CPU = torch.device("cpu")


def cells_of(name, frames, **options):
    """All samples as (W, rows, columns, channels), and the samples."""
    index = FrameIndex(np.ones(len(frames), np.int64), np.arange(len(frames)))
    samples = INPUTS.make(INPUTS.named(name, options)).samples(np.asarray(frames, np.uint8), index, CPU)
    return samples.batch(np.arange(len(samples))).given.permute(0, 2, 3, 1).numpy(), samples


def test_blocks_stand_in_their_cell_row_by_row():
    image = np.arange(6)[:, None] * 10 + np.arange(8)
    blocks = np.kron(image, np.ones((8, 8))).astype(
        np.float32
    )  # 48 x 64: 3 x 4 cells of 16, the last row and column whole
    found = in_cells(blocks, 16)
    assert found.shape == (3, 4, 4)
    assert found[1, 2].tolist() == [24, 25, 34, 35]
    assert in_cells(blocks[:47, :63], 16).shape == (2, 3, 4)  # what is left over belongs to no cell


def test_grey_cells_are_the_grey_of_blocks():
    frames = np.full((2, 64, 96), 40)
    frames[1, 32:, 64:] = 200
    found, samples = cells_of("grey_cells", frames)
    assert found.shape == (2, 2, 3, 16)
    assert (found[0] == 40).all()
    inside = found[1, 1, 2].reshape(4, 4)[1:, 1:]  # away from the edge, which the blur widens
    assert (inside == 200).all() and (found[1, 0, 0] == 40).all()
    assert samples.scored.tolist() == [[0], [1]]


def test_edges_are_told_by_their_direction():
    upright = np.zeros((1, 64, 64))
    upright[:, :, 16:] = 255  # brighter to the right: direction 0
    level = upright.transpose(0, 2, 1)  # brighter downwards: direction 2 of 8
    for frames, way in ((upright, 0), (level, 2)):
        cell = cells_of("edge_cells", frames)[0][0, 0, 0]
        assert cell[way] > 0 and cell[way] == cell.sum()
    assert not cells_of("edge_cells", np.full((1, 64, 64), 90))[0].any()


def test_changes_are_those_between_the_frames_of_a_window():
    frames = np.zeros((6, 32, 32))
    frames[3:] = 20
    found, samples = cells_of("change_cubes", frames, length=3)
    assert found.shape == (4, 1, 1, 2 * 16)
    assert samples.scored.tolist() == [[2], [3], [4], [5]]
    changed = found.reshape(4, 2, 16)
    assert [bool(part.any()) for part in changed.reshape(8, 16)] == [
        False,
        False,
        False,
        True,
        True,
        False,
        False,
        False,
    ]
    assert (changed[1, 1] == 80).all()  # 4 for each grey level


def test_a_region_is_told_to_each_cell_that_it_covers_most():
    ground = np.random.default_rng(3).integers(0, 60, (16, 24)).repeat(8, 0).repeat(8, 1)
    block = np.random.default_rng(4).integers(120, 250, (10, 10)).repeat(8, 0).repeat(8, 1)
    frames = np.stack([ground, ground, ground])
    for frame, left in zip(frames, (40, 44, 44), strict=True):
        frame[24:104, left : left + 80] = block
    found, samples = cells_of("region_cells", frames)
    assert found.shape == (2, 4, 6, 19) and samples.scored.tolist() == [[1], [2]]
    assert not found[1].any(), "nothing moves from the second to the third"
    inside = found[0, 1:3, 2:3].reshape(2, 19)
    assert (inside[0] == inside[1]).all() and inside[0].any()
    width, height, area = np.expm1(inside[0, 16:] / 32)
    assert 70 <= width <= 150 and 70 <= height <= 150 and 4500 <= area <= 17000  # flow is wider than what moves
    speeds, directions = np.expm1(inside[0, :16] / 32).reshape(2, 8)
    assert speeds.argmax() == 6 or speeds.argmax() == 5  # 4 pixels a frame
    assert directions.argmax() == 0  # to the right
    assert not found[0, 0, 5].any()


def test_regions_that_are_too_small_are_none():
    flow = np.zeros((64, 64, 2), np.float32)
    flow[8:15, 8:15] = 5
    assert not regions(flow)[1].any()
    flow[30:40, 30:40] = 5
    number, described = regions(flow)
    assert described[number[35, 35]].any() and not described[number[10, 10]].any() and not described[0].any()


def test_colour_cells_are_the_three_channels_of_blocks():
    frames = np.zeros((1, 64, 64, 3))
    frames[..., 0], frames[..., 2] = 200, 30
    cell = cells_of("colour_cells", frames)[0][0, 1, 1].reshape(3, 16)
    assert (cell == [[200], [0], [30]]).all()
    assert INPUTS.make(INPUTS.named("colour_cells", {})).colour == "rgb"


@pytest.mark.parametrize("name", ["grey_cells", "edge_cells", "change_cubes", "flow_cells", "region_cells"])
def test_values_are_whole_numbers_whose_distances_are_exact(name):
    noise = np.random.default_rng(1).integers(0, 2, (7, 96, 96)) * 255
    found, samples = cells_of(name, noise)
    assert (found == np.rint(found)).all()
    assert (found == found.astype(np.float16)).all()
    assert np.square(found).sum(-1).max() <= 2**22
    shape = INPUTS.make(INPUTS.named(name, {})).shape(View(96, 96, "grey"))
    assert shape == Shape("cells", *(found.shape[place] for place in (3, 1, 2)))
    assert samples.slow


def test_what_is_too_large_is_cut_off():
    assert whole(np.array([[0.4, 0.6, 5000.0, 1.0]])).tolist() == [[0, 1, 1024, 1]]


@pytest.mark.parametrize(("name", "options"), [("grey_cells", {"cell": 20}), ("change_cubes", {"cell": 12})])
def test_cells_hold_whole_blocks(name, options):
    assert INPUTS.faults(name, options) == [
        ("cell", f'input "{name}": cell must be a multiple of 8, not {options["cell"]}')
    ]
