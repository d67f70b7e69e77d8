"""RBDC, TBDC and pixel AUC on toy cases with known values, and against slow, obvious formulas."""

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from vad.measures import regions
from vad.measures.region_files import truth_of, truth_of_tracks
from vad.measures.regions import (
    area_up_to_one,
    boxes_of,
    overlaps,
    pixel_measures,
    region_measures,
    thresholds_of,
    tracks_by_overlap,
)


def masks_of(*frames, size=(20, 20)):
    """Masks with rectangles (left, top, right, bottom)."""
    made = np.zeros((len(frames), *size), bool)
    for mask, boxes in zip(made, frames, strict=True):
        for left, top, right, bottom in boxes:
            mask[top:bottom, left:right] = True
    return made


def measured(maps, *masks):
    maps = maps if isinstance(maps, list) else [maps]
    return region_measures([lambda m=m: m for m in maps], [truth_of(m) for m in masks])


WALK = masks_of([], [(0, 0, 5, 5)], [(2, 0, 7, 5)], [(4, 0, 9, 5), (14, 14, 19, 19)], [(14, 14, 19, 19)])


def test_perfect_maps_give_1_for_both():
    found = measured(WALK.astype(np.float32), WALK)
    assert (found.rbdc, found.tbdc) == (1, 1)
    assert (found.regions, found.tracks, found.frames) == (5, 2, 5)


def test_maps_of_half_the_size_give_1_too():
    masks = WALK.repeat(2, axis=1).repeat(2, axis=2)
    assert measured(WALK.astype(np.float32), masks).rbdc == 1


@pytest.mark.parametrize("value", [0, 1, 7.5])
def test_maps_without_any_detection_give_0(value):
    found = measured(np.full(WALK.shape, value, np.float32), WALK)
    assert (found.rbdc, found.tbdc) == (0, 0)


def test_detections_in_wrong_places_give_0():
    found = measured(np.roll(WALK, 10, axis=1).astype(np.float32), WALK)
    assert (found.rbdc, found.tbdc) == (0, 0)


def test_a_case_worked_out_by_hand():
    """Four frames with one region each, two tracks of two.

    At 3 the first frame's region is found: 1/4 of the regions, 1/2 of the tracks, no false region. At 2 the third frame has
    two false regions: 1/2 of a false region a frame, rates as before. At 1 the third frame's region is found: 2/4 and 2/2, and three
    more regions are false in the last frame: 5/4 of a false region a frame.
    """
    masks = masks_of([(0, 0, 4, 4)], [(0, 0, 4, 4)], [(10, 10, 14, 14)], [(10, 10, 14, 14)])
    maps = np.zeros(masks.shape, np.float32)
    maps[0, 0:4, 0:4] = 3
    maps[2, 0:2, 0:2] = maps[2, 0:2, 6:8] = 2
    maps[2, 10:14, 10:14] = 1
    for left in (0, 6, 16):
        maps[3, 0:2, left : left + 2] = 1
    found = measured(maps, masks)
    assert found.false_a_frame == (0, 0.5, 1.25)
    assert found.region_rate == (0.25, 0.25, 0.5)
    assert found.track_rate == (0.5, 0.5, 1)
    # From 1/2 to 1 the rate rises by two thirds of what it rises to 5/4.
    assert found.rbdc == pytest.approx(0.5 * 0.25 + 0.5 * (0.25 + (0.25 + 0.25 * 2 / 3)) / 2)
    assert found.tbdc == pytest.approx(0.5 * 0.5 + 0.5 * (0.5 + (0.5 + 0.5 * 2 / 3)) / 2)


def test_the_curve_is_extended_flat_and_a_worse_threshold_never_counts():
    assert area_up_to_one(np.array([0.0, 0.5]), np.array([0.4, 0.8])) == pytest.approx(0.5 * 0.6 + 0.5 * 0.8)
    assert area_up_to_one(np.array([0.0, 0.5]), np.array([0.4, 0.1])) == pytest.approx(0.4)
    assert area_up_to_one(np.array([2.0]), np.array([1.0])) == pytest.approx(0.25)
    assert area_up_to_one(np.array([1.0]), np.array([1.0])) == pytest.approx(0.5)
    assert area_up_to_one(np.zeros(0), np.zeros(0)) == 0


@pytest.mark.parametrize(("shift", "found"), [(8, True), (9, False)])
def test_an_overlap_of_a_tenth_is_enough(shift, found):
    """Two boxes of 10 by 10 that share 2 columns have 20 of 180 pixels in common, with one column 10 of 190."""
    masks = masks_of([(0, 0, 10, 10)])
    maps = masks_of([(shift, 0, shift + 10, 10)]).astype(np.float32)
    assert measured(maps, masks).rbdc == (1 if found else 0)


@pytest.mark.parametrize(("length", "found"), [(10, 1), (11, 0)])
def test_a_tenth_of_a_track_is_enough(length, found):
    masks = masks_of(*[[(0, 0, 5, 5)]] * length)
    maps = np.zeros(masks.shape, np.float32)
    maps[3, 0:5, 0:5] = 1
    result = measured(maps, masks)
    assert (result.tracks, result.tbdc, result.rbdc) == (1, found, pytest.approx(1 / length))


def test_regions_that_touch_at_a_corner_are_one_and_boxes_are_shares_of_the_frame():
    mask = masks_of([(0, 0, 2, 2), (2, 2, 4, 4), (10, 4, 14, 8)], size=(10, 20))[0]
    np.testing.assert_allclose(sorted(boxes_of(mask).tolist()), [[0, 0, 0.2, 0.4], [0.5, 0.4, 0.7, 0.8]])


def test_overlaps_are_those_of_pixels_counted():
    generator = np.random.default_rng(2)
    corners = generator.integers(0, 15, (8, 2))
    boxes = np.concatenate([corners, corners + generator.integers(1, 6, (8, 2))], axis=1)
    filled = masks_of(*[[box] for box in boxes])
    found = overlaps(boxes[:5].astype(float), boxes[5:].astype(float))
    for i, j in np.ndindex(5, 3):
        assert found[i, j] == pytest.approx((filled[i] & filled[5 + j]).sum() / (filled[i] | filled[5 + j]).sum())


def test_tracks_follow_what_overlaps_most_and_end_in_a_gap():
    frames = [[(0, 0, 5, 5)], [(3, 0, 8, 5), (1, 0, 6, 5)], [], [(1, 0, 6, 5)]]
    boxes = [np.array(frame, float).reshape(-1, 4) for frame in frames]
    assert [track.tolist() for track in tracks_by_overlap(boxes)] == [[0], [1, 0], [], [2]]


def test_tracks_of_a_file_are_kept_by_their_numbers():
    rows = np.array([[7, 0, 0, 0, 10, 5], [7, 2, 0, 0, 10, 5], [9, 2, 10, 5, 20, 10]], float)
    truth = truth_of_tracks(rows, 3, (10, 20), "t")
    assert [track.tolist() for track in truth.tracks] == [[0], [], [0, 1]]
    assert truth.boxes[2].tolist() == [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]


def test_tracks_of_two_videos_are_not_mixed():
    found = measured([WALK.astype(np.float32), np.zeros(WALK.shape, np.float32)], WALK, WALK)
    assert (found.regions, found.tracks, found.rbdc, found.tbdc) == (10, 4, 0.5, 0.5)


@pytest.mark.parametrize("strength", [0.0, 0.1])
def test_some_thresholds_give_nearly_what_all_give(monkeypatch, strength):
    """At the lowest, where regions join and few are false, too."""
    masks = masks_of(*[[(i, 2, i + 7, 9)] for i in range(8)], *[[]] * 4, size=(16, 24))
    noise = np.random.default_rng(5).random(masks.shape)
    maps = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in noise]) + strength * masks
    some = measured(maps, masks)
    monkeypatch.setattr(regions, "thresholds_of", lambda videos: thresholds_of(videos, 10**9))
    every = measured(maps, masks)
    assert len(some.false_a_frame) < 2600 < len(every.false_a_frame)
    assert (some.rbdc, some.tbdc) == (pytest.approx(every.rbdc, abs=0.01), pytest.approx(every.tbdc, abs=0.01))


def test_of_many_values_some_are_thresholds_from_the_highest_down():
    maps = np.random.default_rng(1).random((300, 16, 16))
    found = thresholds_of([lambda: maps])
    assert 60 < len(found) <= regions.THRESHOLDS
    assert (np.diff(found) < 0).all() and found[0] == maps.max() and found[-1] > maps.min()


def test_noise_with_a_signal_lies_between_and_more_signal_is_better():
    generator = np.random.default_rng(4)
    noise = generator.random(WALK.shape)
    rates = [measured(noise + strength * WALK, WALK).rbdc for strength in (0, 0.5, 2)]
    assert 0 <= rates[0] < rates[1] < rates[2] == pytest.approx(1, abs=0.02)


@pytest.fixture(params=["exact", "levels"])
def precise(request, monkeypatch):
    if request.param == "levels":
        monkeypatch.setattr(regions, "_SAMPLE", 1500)
        return 5e-3
    return 1e-12


def test_pixel_auc_is_that_of_all_pixels(precise):
    generator = np.random.default_rng(6)
    parts = [WALK, WALK[:3]]
    maps = [(generator.random(part.shape) + 0.4 * part).round(3) for part in parts]
    found = pixel_measures([lambda m=m: m for m in maps], [lambda m=m: m for m in parts])
    truth, values = (np.concatenate([part.ravel() for part in some]) for some in (parts, maps))
    assert found.auc == pytest.approx(roc_auc_score(truth, values), abs=precise)


def test_a_maps_pixel_stands_for_the_part_of_the_mask_that_it_covers():
    generator = np.random.default_rng(6)
    small = generator.random((5, 10, 10)).round(2)
    large = small.repeat(2, axis=1).repeat(2, axis=2)
    expected = pixel_measures([lambda: large], [lambda: WALK]).auc
    assert pixel_measures([lambda: small], [lambda: WALK]).auc == pytest.approx(expected, abs=1e-12)


def test_the_criterion_counts_a_frame_where_40_percent_of_its_pixels_are_found():
    generator = np.random.default_rng(7)
    maps = generator.random(WALK.shape).round(2)
    found = pixel_measures([lambda: maps], [lambda: WALK])
    anomalous = WALK.any(axis=(1, 2))
    rates = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        alarmed = [
            ((m >= threshold) & t).sum() >= 0.4 * t.sum() if t.any() else (m >= threshold).any()
            for m, t in zip(maps, WALK, strict=True)
        ]
        rates.append((np.mean(np.array(alarmed)[~anomalous]), np.mean(np.array(alarmed)[anomalous])))
    x, y = zip(*rates, strict=True)
    assert found.criterion_auc == pytest.approx(np.trapezoid(y, x), abs=1e-12)


def test_masks_of_one_kind_have_no_pixel_auc():
    found = pixel_measures([lambda: np.ones((3, 4, 4))], [lambda: np.zeros((3, 4, 4), bool)])
    assert (found.auc, found.criterion_auc) == (None, None)
