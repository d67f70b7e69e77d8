"""Each measure of frames against scikit-learn, a slow and obvious formula, or a case worked out by hand."""

import time
from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from vad.data.frame_index import FrameIndex
from vad.measures.frame_level import detection_delay, measure_frames, scene_of
from vad.measures.metrics import measure

LENGTHS = (20, 30, 12, 25, 7)
NAMES = ("01_1", "01_2", "02_1", "02_2", "03_1")


@pytest.fixture
def index(index_of):
    return named(index_of(*LENGTHS), NAMES)


def named(index, names):
    return replace(index, names={video: name for video, name in enumerate(names, 1) if not name.isdigit()})


@pytest.fixture
def labels(index):
    """Video 3 is normal throughout, video 5 anomalous throughout."""
    drawn = np.random.default_rng(3).random(len(index)) < 0.4
    return (drawn & (index.video != 3)) | (index.video == 5)


@pytest.fixture(params=["distinct", "ties", "all one", "wide"])
def scores(request, index, labels):
    noisy = (np.random.default_rng(4).random(len(index)) + 0.5 * labels) / 2
    kinds = {"distinct": noisy, "ties": noisy.round(1), "all one": np.full(len(index), 0.5), "wide": 40 * noisy - 7}
    return kinds[request.param]


@pytest.fixture
def found(scores, labels, index):
    return measure_frames(scores, labels, index)


def test_macro_auc_leaves_out_videos_of_one_kind_and_counts_them(found, scores, labels, index):
    spans = [index.spans[i] for i in (0, 1, 3)]
    assert found.macro.plain == pytest.approx(np.mean([roc_auc_score(labels[s], scores[s]) for s in spans]), abs=1e-12)
    assert (found.macro.videos, found.macro.left_out) == (3, 2)


def test_padded_macro_auc_appends_a_0_in_front_and_a_1_at_the_end_of_every_video(found, scores, labels, index):
    wide = scores.min() < 0 or scores.max() > 1
    unit = (scores - scores.min()) / (scores.max() - scores.min()) if wide else scores
    expected = [
        roc_auc_score(np.concatenate([[0], labels[s], [1]]), np.concatenate([[0], unit[s], [1]])) for s in index.spans
    ]
    assert found.macro.padded == pytest.approx(np.mean(expected), abs=1e-12)
    assert found.macro.scaled == wide


@pytest.mark.parametrize("outlier", [-1e17, 1e17, 1e308])
def test_one_very_large_score_leaves_the_ranks_of_the_others(scores, labels, index, outlier):
    far = scores.copy()
    far[0], far[1] = outlier, -outlier
    ranks = np.unique(far, return_inverse=True)[1].astype(float)  # 0, 1, 2, ...: scaled without loss
    assert measure_frames(far, labels, index).macro == measure_frames(ranks, labels, index).macro


def test_padding_by_hand(index_of):
    labels = np.array([True, False, False, False])
    found = measure_frames(np.array([0.2, 0.8, 0.5, 0.5]), labels, index_of(2, 2)).macro
    # The first video ranks its two frames the wrong way round: plain 0 of 1 pair. Padded, 3 of 4 pairs are right; the second video's
    # 1 is above all: 3 of 3.
    assert (found.plain, found.padded, found.videos, found.left_out) == (0, (3 / 4 + 1) / 2, 1, 1)


def test_without_a_video_of_both_kinds_there_is_no_plain_macro_auc(index_of):
    found = measure_frames(np.array([0.2, 0.8]), np.array([True, False]), index_of(1, 1)).macro
    assert (found.plain, found.videos, found.left_out) == (None, 0, 2)


def test_eer_is_where_the_roc_curve_crosses_the_falling_diagonal(found, scores, labels):
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert found.eer == pytest.approx(brentq(lambda x: 1 - x - interp1d(fpr, tpr)(x), 0, 1), abs=1e-9)


@pytest.mark.parametrize(
    ("scores", "expected"), [([0.1, 0.2, 0.8, 0.9], 0), ([0.9, 0.8, 0.2, 0.1], 1), ([0.1, 0.8, 0.2, 0.9], 0.5)]
)
def test_eer_by_hand(index_of, scores, expected):
    labels = np.array([False, False, True, True])
    assert measure_frames(np.array(scores), labels, index_of(4)).eer == expected


def test_best_f1_is_the_best_of_all_thresholds(found, scores, labels):
    slow = {t: f1_score(labels, scores >= t) for t in np.unique(scores)}
    best = found.best_f1
    assert best.f1 == pytest.approx(max(slow.values()), abs=1e-12)
    assert best.threshold == max(t for t, f1 in slow.items() if f1 == pytest.approx(best.f1, abs=1e-12))
    alarmed = scores >= best.threshold
    assert best.precision == pytest.approx(precision_score(labels, alarmed), abs=1e-12)
    assert best.recall == pytest.approx(recall_score(labels, alarmed), abs=1e-12)
    assert best.fpr == pytest.approx(alarmed[~labels].mean(), abs=1e-12)


def test_fpr_at_95_percent_is_that_of_the_highest_threshold_to_reach_it(found, scores, labels):
    enough = [t for t in np.unique(scores) if (scores[labels] >= t).mean() >= 0.95]
    assert found.at_tpr.threshold == max(enough)
    assert found.at_tpr.fpr == (scores[~labels] >= max(enough)).mean()
    assert found.at_tpr.recall >= 0.95


def test_each_video_and_each_scene_by_itself(found, scores, labels, index):
    assert [part.name for part in found.videos] == list(NAMES)
    assert [part.frames for part in found.videos] == list(LENGTHS)
    scene = np.array([name[:2] for name in NAMES])[index.video - 1]
    parts = [(part, index.video == n) for n, part in enumerate(found.videos, 1)]
    parts += [(part, scene == part.name) for part in found.scenes]
    assert [part.name for part in found.scenes] == ["01", "02", "03"]
    for part, inside in parts:
        assert part.anomalous == labels[inside].sum()
        if part.anomalous in (0, part.frames):
            assert part.ap is part.auc is None
        else:
            assert part.ap == pytest.approx(average_precision_score(labels[inside], scores[inside]), abs=1e-12)
            assert part.auc == pytest.approx(roc_auc_score(labels[inside], scores[inside]), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "scene"), [("01_0014", "01"), ("12", None), ("abnormal_scene_3_scenario_8", "scene_3"), ("Test001", None)]
)
def test_the_scene_is_what_stands_before_the_first_line(name, scene):
    assert scene_of(name) == scene


@pytest.mark.parametrize("names", [("1", "2", "3", "4", "5"), ("a_1", "a_2", "a_3", "a_4", "5"), ("a_1",) * 5])
def test_scenes_are_told_only_where_every_name_has_one_and_they_differ(scores, labels, index, names):
    assert measure_frames(scores, labels, named(index, names)).scenes == ()


@pytest.mark.parametrize("label", [False, True])
def test_labels_of_one_kind_are_refused(index, refuses, label):
    with refuses("all labels are the same; these measures need normal and anomalous frames"):
        measure_frames(np.arange(94.0), np.full(94, label), index)


def slow_false_alarms(scores, labels, index, threshold):
    """Walk through each video, frame by frame."""
    count = 0
    for span in index.spans:
        ringing = False
        for score, anomalous in zip(scores[span], labels[span], strict=True):
            count += score >= threshold and not ringing and not anomalous
            ringing = score >= threshold
    return count


def slow_delays(scores, labels, index, threshold):
    delays, events = [], 0
    for span in index.spans:
        start, noticed, before = 0, False, False
        for at, (score, anomalous) in enumerate(zip(scores[span], labels[span], strict=True)):
            if anomalous and not before:
                start, noticed, events = at, False, events + 1
            if anomalous and not noticed and score >= threshold:
                noticed = True
                delays.append(at - start)
            before = anomalous
    return events, delays


@pytest.mark.parametrize("allowed", [0, 1, 3, 8, 1000])
def test_the_delay_is_that_of_the_slow_walk(scores, labels, index, allowed):
    hours = (~labels).sum() / 25 / 3600
    found = detection_delay(scores, labels, index, fps=25, an_hour=allowed / hours)
    within = []
    for threshold in np.unique(scores)[::-1]:
        if slow_false_alarms(scores, labels, index, threshold) > allowed:
            break
        within.append(threshold)
    assert found.threshold == (within[-1] if within else None)
    assert found.hours == pytest.approx(hours)
    events, delays = slow_delays(scores, labels, index, within[-1] if within else np.inf)
    assert (found.events, found.detected) == (events, len(delays))
    assert found.false_alarms == (slow_false_alarms(scores, labels, index, within[-1]) if within else 0)
    assert (found.mean, found.median) == ((np.mean(delays), np.median(delays)) if delays else (None, None))


def test_a_delay_counts_the_frames_that_have_no_score(scores, labels, index):
    """As many false alarms in as much footage, and delays in frames of the video, not in those that have a score."""
    gaps = scores.copy()
    gaps[index.frame % 3 != 1] = np.nan
    there = ~np.isnan(gaps)
    kept = FrameIndex(index.video[there], index.frame[there])
    found = detection_delay(gaps, labels, index, fps=25, an_hour=3 / ((~labels).sum() / 25 / 3600))
    assert found.hours == pytest.approx((~labels).sum() / 25 / 3600)
    assert found.false_alarms == slow_false_alarms(gaps[there], labels[there], kept, found.threshold) <= 3
    events, delays = slow_delays(np.where(there, gaps, -np.inf), labels, index, found.threshold)
    assert (found.events, found.detected, found.mean) == (events, len(delays), np.mean(delays))


def test_the_delay_by_hand(index_of):
    #                  event: 2, 3, 4          event: 1, 2
    labels = np.array([0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 0], bool)
    scores = np.array([0, 6, 2, 5, 9, 9, 1, 1, 2, 0, 4], float)
    index = index_of(7, 4)
    # At 9: no false alarm (frame 5 was alarmed before); noticed after 2 frames. At 6, frame 1 is a false alarm.
    found = detection_delay(scores, labels, index, fps=1, an_hour=0)
    assert (found.threshold, found.false_alarms, found.events, found.detected, found.mean) == (9, 0, 2, 1, 2)
    # 6 normal frames at one a second; one false alarm is allowed: down to 5, where event 1 is noticed after 1 frame.
    found = detection_delay(scores, labels, index, fps=1, an_hour=3600 / 6)
    assert (found.threshold, found.false_alarms, found.detected, found.mean) == (5, 1, 1, 1)
    # Two are allowed: at 2 the alarm of frame 1 lasts into event 1, event 2 is noticed at once. At 1 there are three.
    found = detection_delay(scores, labels, index, fps=1, an_hour=2 * 3600 / 6)
    assert (found.threshold, found.false_alarms, found.detected, found.mean) == (2, 2, 2, 0)


def test_a_hundred_thousand_frames_take_less_than_three_seconds():
    generator = np.random.default_rng(1)
    video = np.repeat(np.arange(1, 101), 1000)
    index = FrameIndex(video.astype(np.int64), np.tile(np.arange(1000), 100).astype(np.int64))
    labels = (index.frame >= 300) & (index.frame < 500)
    scores = generator.random(100_000) + 0.3 * labels
    started = time.process_time()
    measure(scores, labels, index)
    measure_frames(scores, labels, index)
    detection_delay(scores, labels, index, fps=25, an_hour=10)
    assert time.process_time() - started < 3
