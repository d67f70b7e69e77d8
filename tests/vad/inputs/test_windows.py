"""Windows against a loop that looks at every place where one could begin."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from vad.data.frame_index import FrameIndex
from vad.inputs import INPUTS, windows
from vad.inputs.shape import runs


@pytest.fixture
def index():
    """A video with gaps behind its third and sixth frame, one of two frames, one whose numbers go on where that ends."""
    numbers = [(1, [0, 1, 2, 5, 6, 7, 9, 10, 11, 12]), (4, [3, 4]), (5, [5, 6, 7, 8, 9])]
    return FrameIndex.sorted(
        [v for v, frames in numbers for _ in frames], [n for _, frames in numbers for n in frames]
    )[0]


def slow_windows(index, length, break_at_gaps=False):
    found = []
    for start in range(len(index)):
        window = list(range(start, start + length))
        if window[-1] >= len(index) or len({int(index.video[i]) for i in window}) > 1:
            continue
        if break_at_gaps and any(index.frame[b] - index.frame[a] != 1 for a, b in pairwise(window)):
            continue
        found.append(window)
    return found


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 10])
@pytest.mark.parametrize("break_at_gaps", [False, True])
def test_windows_are_all_that_lie_within_a_video_and_on_wish_between_gaps(index, length, break_at_gaps):
    found = windows(index, length, 1, break_at_gaps)
    assert found.tolist() == slow_windows(index, length, break_at_gaps)
    assert found.shape == (len(found), length)
    assert found.dtype == np.intp


def test_gaps_are_joined_unless_told_otherwise(index):
    assert np.array_equal(windows(index, 4), windows(index, 4, 1, False))
    assert [2, 3, 4, 5] in windows(index, 4).tolist()
    assert [2, 3, 4, 5] not in windows(index, 4, 1, True).tolist()


@pytest.mark.parametrize(("break_at_gaps", "starts"), [(False, [0, 3, 6, 12]), (True, [6, 12])])
def test_a_stride_begins_anew_with_each_run(index, break_at_gaps, starts):
    assert windows(index, 4, 3, break_at_gaps)[:, 0].tolist() == starts


def test_videos_shorter_than_a_window_have_none(index):
    assert {int(index.video[row[0]]) for row in windows(index, 3)} == {1, 5}
    assert windows(index, 11).shape == (0, 11)
    assert windows(index, 11).dtype == np.intp


@pytest.mark.parametrize(("break_at_gaps", "expected"), [(False, [0, 10, 12]), (True, [0, 3, 6, 10, 12])])
def test_the_first_frame_of_each_run(index, break_at_gaps, expected):
    assert [int(run[0]) for run in runs(index, break_at_gaps)] == expected


def test_windows_lead_across_frames_that_must_not_be_looked_at(index):
    usable = np.ones(len(index), bool)
    usable[[1, 4]] = False
    seen = replace(index, usable=usable)
    kept = [row for row in windows(seen, 2).tolist() if row[1] < 10]
    assert kept == [[0, 2], [2, 3], [3, 5], [5, 6], [6, 7], [7, 8], [8, 9]]
    assert not {1, 4} & set(windows(seen, 1).ravel().tolist())
    assert {1, 4} <= set(windows(index, 1).ravel().tolist())


@pytest.mark.parametrize(
    ("name", "options", "length", "scoring"),
    [
        ("rgb", {}, 1, slice(0, 1)),
        ("optical_flow", {}, 1, slice(0, 1)),
        ("optical_flow", {"break_at_gaps": True}, 1, slice(0, 1)),
        ("frame_difference", {}, 2, slice(1, 2)),
        ("frame_difference", {"break_at_gaps": True}, 2, slice(1, 2)),
        ("clip", {"frames": 4}, 4, slice(0, 4)),
        ("clip", {"frames": 4, "stride": 2}, 4, slice(0, 4)),
        ("clip", {"frames": 4, "break_at_gaps": True}, 4, slice(0, 4)),
        ("sequence", {"frames": 3}, 4, slice(3, 4)),
        ("sequence", {"frames": 3, "break_at_gaps": True}, 4, slice(3, 4)),
    ],
)
def test_what_an_input_reaches_is_known_without_its_frames(index, name, options, length, scoring):
    made = INPUTS.make(INPUTS.named(name, options))
    frames = np.zeros((len(index), 8, 8, 3), np.uint8)
    expected = [row[scoring] for row in slow_windows(index, length, options.get("break_at_gaps", False))]
    assert made.reach(index).tolist() == expected
    for training in (False, True):
        samples = made.samples(frames, index, torch.device("cpu"), training=training)
        assert np.array_equal(samples.scored, made.reach(index, training=training))
    assert made.scored(index).tolist() == [any(frame in row for row in expected) for frame in range(len(index))]
