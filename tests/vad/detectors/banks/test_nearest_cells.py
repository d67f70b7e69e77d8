"""Distances from the nearest train cell against a loop over cells, and a bank as a detector from fitting to scores."""

import cv2
import numpy as np
import pytest
import torch

from vad.catalog import Named
from vad.data.frame_index import FrameIndex
from vad.detectors.banks import BANKS
from vad.detectors.base import Listener
from vad.detectors.kinds import make_detector
from vad.detectors.member import Member
from vad.images.view import View
from vad.inputs import INPUTS
from vad.scoring.frame_scores import Way, explain, score
from vad.scoring.reductions import MapScore
from vad.system.weights import load_tensors, save_tensors

CPU = torch.device("cpu")
NEAR = 15  # train frames on each side that a train frame is not compared with
VIEW, CELL = View(64, 96, "grey"), 16


def bank(**options):
    return BANKS["nearest_cells"](**BANKS.bind("nearest_cells", options))


def counts(generator, count, channels=5, rows=4, columns=3):
    """Cells of whole numbers, as histograms are."""
    return generator.integers(0, 60, (count, channels, rows, columns)).astype(np.float32)


def slow_distances(asked, kept, reach, left_out=None):
    count, _, rows, columns = asked.shape
    found = np.full((count, rows, columns), np.inf)
    for sample in range(count):
        for y in range(rows):
            for x in range(columns):
                for other in range(len(kept)):
                    if left_out is not None and left_out[sample, other]:
                        continue
                    for v in range(max(0, y - reach), min(rows, y + reach + 1)):
                        for u in range(max(0, x - reach), min(columns, x + reach + 1)):
                            apart = asked[sample, :, y, x].astype(np.float64) - kept[other, :, v, u]
                            found[sample, y, x] = min(found[sample, y, x], np.sqrt((apart**2).sum()))
    return found


def distances(asked, kept, reach, left_out=None):
    wanted = None if left_out is None else torch.from_numpy(left_out)
    made = bank(reach=reach)
    return made.distances(torch.from_numpy(asked), made.prepare(torch.from_numpy(kept)), wanted)


@pytest.mark.parametrize("reach", [0, 1, 2, 9])
def test_distances_are_the_formula(reach):
    generator = np.random.default_rng(reach)
    asked, kept = counts(generator, 6), counts(generator, 7)
    found = distances(asked, kept, reach)
    assert (found.dtype, found.shape) == (torch.float32, (6, 4, 3))
    np.testing.assert_allclose(found, slow_distances(asked, kept, reach), rtol=1e-6)


def test_what_is_left_out_is_not_compared_with():
    generator = np.random.default_rng(5)
    asked, kept = counts(generator, 6), counts(generator, 7)
    left_out = generator.random((6, 7)) < 0.5
    left_out[0] = False
    left_out[:, 3] = False
    found = distances(asked, kept, 1, left_out)
    np.testing.assert_allclose(found, slow_distances(asked, kept, 1, left_out), rtol=1e-6)
    assert not np.allclose(found, distances(asked, kept, 1))


def test_a_cell_that_is_in_the_bank_is_at_no_distance_at_its_place_and_within_reach():
    kept = counts(np.random.default_rng(1), 4)
    assert not distances(kept, kept, 0).any()
    moved = np.roll(kept, 1, 2)  # a row down
    assert not distances(moved, kept, 1)[:, 1:].any()
    assert distances(moved, kept, 0).all()


@pytest.mark.parametrize(("stride", "expected"), [(1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (3, [0, 3]), (9, [0])])
def test_every_nth_train_sample_is_kept(stride, expected):
    assert bank(stride=stride).keep(torch.zeros(5, 2, 3, 3)).tolist() == expected


@pytest.mark.parametrize(("option", "value", "fault"), [("reach", -1, "at least 0"), ("stride", 0, "at least 1")])
def test_options_out_of_bounds_are_refused(refuses, option, value, fault):
    with refuses(f'model "nearest_cells": {option} must be {fault}, not {value}'):
        bank(**{option: value})


def member_of(view=VIEW, given="flow_cells", stride=1, **options):
    options = options or ({"cell": CELL} if given == "flow_cells" else {})
    return Member("flow", "nearest_cells", (("reach", 0), ("stride", stride)), INPUTS.named(given, options), view)


@pytest.fixture(scope="module")
def frames():
    """Texture that shifts by another distance from each frame to the next, in videos of 40 and 20 frames."""
    generator = np.random.default_rng(2)
    coarse = generator.integers(0, 256, (12, 40), dtype=np.uint8)
    wide = cv2.resize(coarse, (320, 96), interpolation=cv2.INTER_CUBIC)
    shifts = generator.integers(0, 5, (60, 2)).cumsum(0) % (30, 200)
    return np.stack([wide[y : y + 64, x : x + 96] for y, x in shifts])


INDEX = FrameIndex(np.repeat([1, 2], [40, 20]), np.concatenate([np.arange(40), np.arange(100, 120)]))


def samples_of(frames, index=INDEX, member=None):
    return (member or member_of()).kind_of_input().samples(frames, index, CPU)


def fitted(frames, stride=1):
    member = member_of(stride=stride)
    return member, make_detector(member).fit(samples_of(frames), CPU, Listener())


def maps_of(scorer, samples):
    return scorer.run(samples, np.arange(len(samples))).map("distance")


def test_a_bank_keeps_the_cells_of_train_frames_and_where_they_come_from(frames):
    _, trained = fitted(frames, stride=2)
    cells = samples_of(frames).batch(np.arange(58)).given
    assert set(trained.state) == {"cells", "video", "frame"}
    assert torch.equal(trained.state["cells"].float(), cells[::2])  # half precision holds the counts exactly
    numbers = [*range(1, 40), *range(101, 120)]
    assert trained.state["frame"].tolist() == numbers[::2]
    assert trained.state["video"].tolist() == ([1] * 39 + [2] * 19)[::2]
    assert (trained.epochs, trained.epoch, trained.loss) == ((), None, None)
    assert trained.seconds > 0


def test_a_bank_comes_back_from_its_file_and_gives_the_same(frames, tmp_path):
    member, trained = fitted(frames)
    save_tensors(tmp_path / "w.safetensors", trained.state, {})
    state, _ = load_tensors(tmp_path / "w.safetensors")
    changed = samples_of(frames[::-1].copy())
    before, after = (maps_of(make_detector(member).scorer(s, "w", CPU), changed) for s in (trained.state, state))
    assert before.shape == (58, 1, 4, 6)
    assert before.any() and torch.equal(before, after)
    asked, kept = (samples.batch(np.arange(58)).given.numpy() for samples in (changed, samples_of(frames)))
    np.testing.assert_allclose(before[:4, 0], slow_distances(asked[:4], kept, 0), rtol=1e-6, atol=1e-3)


def test_train_frames_are_not_compared_with_those_near_them_in_time(frames):
    member, trained = fitted(frames)
    samples = samples_of(frames)
    assert not maps_of(make_detector(member).scorer(trained.state, "w", CPU), samples).any()  # each finds itself
    found = maps_of(make_detector(member).scorer(trained.state, "w", CPU, leave_out=True), samples)
    video, frame = (values[samples.scored[:, 0]] for values in (INDEX.video, INDEX.frame))
    near = (video[:, None] == video) & (np.abs(frame[:, None] - frame) <= NEAR)
    assert near.sum(1).max() == 31 and not near[0, 16] and near[0, 15]
    cells = samples.batch(np.arange(58)).given.numpy()
    for sample in (0, 20, 38, 39, 57):
        expected = slow_distances(cells[[sample]], cells, 0, near[[sample]])
        np.testing.assert_allclose(found[[sample], 0], expected, rtol=1e-6, atol=1e-3)
    assert torch.isfinite(found).all()


def test_in_a_bank_of_one_short_video_nothing_is_left_out_as_nothing_else_is_there(frames):
    index = FrameIndex(np.ones(10, np.int64), np.arange(10))
    samples = samples_of(frames[:10], index)
    trained = make_detector(member_of()).fit(samples, CPU, Listener())
    assert not maps_of(make_detector(member_of()).scorer(trained.state, "w", CPU, leave_out=True), samples).any()


@pytest.mark.parametrize("reduce", [Named("max"), Named("top", (("count", 9),)), Named("mean")])
def test_a_frames_score_is_the_same_alone_and_among_others(frames, reduce):
    member, trained = fitted(frames, stride=3)
    wanted = MapScore("distance", reduce)
    way = Way(make_detector(member).scorer(trained.state, "w", CPU), {})
    test = np.concatenate([frames[::-1], frames])
    index = FrameIndex(np.repeat([1, 2, 3], [70, 30, 20]), np.concatenate([np.arange(n) for n in (70, 30, 20)]))
    whole = score(way, samples_of(test, index), [wanted], len(index))[wanted]
    assert np.flatnonzero(np.isnan(whole)).tolist() == [0, 70, 100]  # the first of each video
    for span in index.spans:
        alone = FrameIndex(index.video[span], index.frame[span])
        found = score(way, samples_of(test[span], alone), [wanted], len(alone))[wanted]
        assert found.tobytes() == whole[span].tobytes()


def test_a_picture_shows_the_frame_and_the_distances(frames):
    member, trained = fitted(frames, stride=30)
    way, samples = Way(make_detector(member).scorer(trained.state, "w", CPU), {}), samples_of(frames)
    shown = explain(way, samples, MapScore("distance", Named("max")), "distance")
    assert shown(0) is None and shown(40) is None
    found = shown(41)
    assert np.array_equal(found.seen, np.repeat(frames[41][..., None], 3, 2)) and found.made is None
    assert np.array_equal(found.map, maps_of(way.scorer, samples)[39, 0])
    largest = score(way, samples, [wanted := MapScore("distance", Named("max"))], 60)[wanted]
    assert found.map.max() == largest[41]


STATE = {
    "cells": torch.zeros(3, 16, 4, 6).half(),
    "video": torch.ones(3, dtype=torch.int64),
    "frame": torch.arange(3),
}


@pytest.mark.parametrize(
    "change",
    [
        {"cells": None},
        {"video": None},
        {"frame": None},
        {"cells": torch.zeros(3, 16, 4, 5).half()},
        {"cells": torch.zeros(3, 15, 4, 6).half()},
        {"cells": torch.zeros(16, 4, 6).half()},
        {"cells": torch.zeros(0, 16, 4, 6).half()},
        {"video": torch.ones(2, dtype=torch.int64)},
        {"frame": torch.zeros(3, 1, dtype=torch.int64)},
    ],
    ids=str,
)
def test_a_state_that_is_no_such_bank_is_refused(refuses, change):
    state = {key: values for key, values in (STATE | change).items() if values is not None}
    with refuses("w.safetensors: this is not a bank of samples of shape (16, 4, 6); run the entry again"):
        make_detector(member_of()).scorer(state, "w.safetensors", CPU)
    make_detector(member_of()).scorer(STATE, "w.safetensors", CPU)


def test_an_input_that_does_not_fit_is_refused(refuses):
    with refuses(
        'model "nearest_cells" takes cells, but the input makes frames; choose another input, such as flow_cells'
    ):
        make_detector(member_of(given="rgb")).try_out()
    with refuses("the input has no whole cell in frames of this size; choose a larger `size`"):
        make_detector(member_of(View(32, 64, "grey"), cell=40)).try_out()
    assert make_detector(member_of()).try_out() == 0


def test_an_error_of_networks_is_refused(refuses, frames):
    member, trained = fitted(frames)
    with refuses('error "max" is of networks; a bank has `reduce`, as in `reduce: {top: 9}`'):
        score(Way(make_detector(member).scorer(trained.state, "w", CPU), {}), samples_of(frames), [Named("max")], 60)


def test_a_bank_has_one_digest_by_its_settings_and_the_frames():
    member = member_of()
    assert (member.name, make_detector(member).trained, make_detector(member).maps) == ("flow", False, ("distance",))
    expected = {
        "model": "nearest_cells",
        "reach": 0,
        "stride": 1,
        "input": {"flow_cells": {"cell": 16}},
        "view": {"height": 64, "width": 96, "colour": "grey"},
    }
    assert member.settings() == expected
    others = [member_of(stride=2), member_of(View(96, 96, "grey")), member_of(View(64, 96)), member_of(cell=8)]
    digests = {one.digest("frames") for one in (member, *others)} | {member.digest("other")}
    assert len(digests) == 6
