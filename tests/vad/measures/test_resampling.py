"""AP and AUC under videos drawn again are those of scikit-learn on the frames of each draw."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from vad.data.frame_index import FrameIndex
from vad.measures import metrics
from vad.measures.metrics import drawn, drawn_videos, measured

FIGURES = {"auc": roc_auc_score, "ap": average_precision_score}


@pytest.fixture
def index():
    lengths = (30, 12, 25, 40, 8)
    return FrameIndex(np.repeat(range(5), lengths), np.concatenate([np.arange(n) for n in lengths]))


@pytest.fixture
def labels(index):
    """The second video is normal throughout, the fifth anomalous."""
    return ((index.frame >= 5) & (index.frame < 15) & (index.video != 1)) | (index.video == 4)


@pytest.mark.parametrize("digits", [1, 9], ids=["with ties", "without ties"])
@pytest.mark.parametrize("figure", list(FIGURES))
def test_each_draw_is_measured_as_scikit_learn_measures_its_frames(index, labels, figure, digits, monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 60)
    scores = np.round(np.random.default_rng(3).random(len(index)) + 0.4 * labels, digits)
    counts = drawn_videos(labels, index)
    found = drawn(figure, scores, labels, index, counts)
    for draw in range(60):
        chosen = [span for span, count in zip(index.spans, counts[:, draw], strict=True) for _ in range(int(count))]
        frames = np.concatenate([np.r_[span] for span in chosen])
        assert found[draw] == pytest.approx(FIGURES[figure](labels[frames], scores[frames]), abs=1e-12)
    assert measured(figure, scores, labels) == pytest.approx(FIGURES[figure](labels, scores), abs=1e-12)


def test_every_draw_has_both_kinds_of_frames_and_all_videos_in_sum(index, monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 300)
    labels = index.video >= 3  # each video is of one kind
    counts = drawn_videos(labels, index)
    assert counts.shape == (5, 300) and (counts.sum(axis=0) == 5).all()
    assert counts[:3].any(axis=0).all() and counts[3:].any(axis=0).all()


def test_the_interval_of_a_suite_is_that_of_a_run(index, labels):
    scores = np.random.default_rng(3).random(len(index)) + 0.4 * labels
    found = drawn("ap", scores, labels, index, drawn_videos(labels, index))
    expected = metrics.bootstrap_ap(scores, labels, index)
    np.testing.assert_allclose(np.sort(found), np.sort(expected), rtol=0, atol=1e-12)
    assert not np.allclose(found, expected), "draws of two data sets are paired by no accident"


def test_draws_repeat_and_are_others_for_other_frames(index, labels):
    counts = drawn_videos(labels, index)
    assert np.array_equal(counts, drawn_videos(labels, index))
    other = FrameIndex(index.video, index.frame + 1)
    assert not np.array_equal(counts, drawn_videos(labels, other)), "draws of two data sets are independent"
