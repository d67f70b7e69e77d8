import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from vad.measures import metrics
from vad.measures.metrics import Measured, bootstrap_ap, difference, measure, precision_band, sample, shortfall

LENGTHS = (1, 30, 12, 25, 7)


@pytest.fixture
def index(index_of):
    return index_of(*LENGTHS)


@pytest.fixture
def labels(index):
    """Anomalies in videos 2 and 4 alone, so that some draws hold none."""
    drawn = np.random.default_rng(3).random(len(index)) < 0.4
    return drawn & np.isin(index.video, (2, 4))


@pytest.fixture(params=["distinct", "ties", "all one"])
def scores(request, index, labels):
    noisy = np.random.default_rng(4).random(len(index)) + 0.5 * labels
    return {"distinct": noisy, "ties": noisy.round(1), "all one": np.ones(len(index))}[request.param]


def test_ap_and_auc_are_those_of_scikit_learn(scores, labels, index):
    found = measure(scores, labels, index)
    assert found.ap == average_precision_score(labels, scores)
    assert found.auc == roc_auc_score(labels, scores)
    assert found.prevalence == labels.sum() / 75
    assert (found.frames, found.videos) == (75, 5)


def test_what_the_frames_cost_is_what_ap_lacks(scores, labels):
    cost = shortfall(scores, labels)
    assert cost.sum() == pytest.approx(1 - average_precision_score(labels, scores), abs=1e-12)
    expected = np.zeros(len(labels))
    for anomalous in np.flatnonzero(labels):
        above = scores >= scores[anomalous]
        for normal in np.flatnonzero(above & ~labels):
            expected[[anomalous, normal]] += 0.5 / above.sum() / labels.sum()
    np.testing.assert_allclose(cost, expected, rtol=0, atol=1e-12)
    assert not shortfall(labels.astype(float), labels).any(), "a perfect ranking costs nothing"


def test_the_bootstrap_is_ap_on_videos_drawn_with_replacement(scores, labels, index, monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 150)
    generator = np.random.default_rng(metrics.BOOTSTRAP_SEED)
    expected, refused = [], 0
    while len(expected) < 150:
        drawn = generator.integers(0, 5, 5)
        weight = np.bincount(drawn, minlength=5)[index.video - 1]
        if labels[weight > 0].any():
            expected.append(average_precision_score(labels, scores, sample_weight=weight))
        else:
            refused += 1
    assert refused > 0
    np.testing.assert_allclose(bootstrap_ap(scores, labels, index), expected, rtol=1e-12)


def test_the_interval_is_the_middle_of_the_draws_and_repeats(labels, index):
    scores = np.random.default_rng(8).random(len(index)) + 0.3 * labels
    draws = bootstrap_ap(scores, labels, index)
    found = measure(scores, labels, index)
    assert len(draws) == 1000
    assert (found.low, found.high) == (np.quantile(draws, 0.025), np.quantile(draws, 0.975))
    assert found.low < found.ap < found.high
    assert np.array_equal(bootstrap_ap(scores, labels, index), draws)


def test_the_band_is_the_middle_of_the_curves_of_the_same_draws(scores, labels, index, monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 150)
    generator = np.random.default_rng(metrics.BOOTSTRAP_SEED)
    drawn = []
    while len(drawn) < 150:
        weight = np.bincount(generator.integers(0, 5, 5), minlength=5)[index.video - 1]
        if labels[weight > 0].any():
            precision, recall, _ = precision_recall_curve(labels, scores, sample_weight=weight)
            precision, recall = precision[-2::-1], recall[-2::-1]  # rising, without scikit-learn's made-up last point
            wanted = np.maximum(np.linspace(0, 1, 21), recall[recall > 0][0]) - 1e-9
            drawn.append(precision[np.searchsorted(recall, wanted)])
    recall, low, high = precision_band(scores, labels, index, 21)
    assert recall.tolist() == np.linspace(0, 1, 21).tolist()
    np.testing.assert_allclose([low, high], np.quantile(drawn, [0.025, 0.975], axis=0), rtol=1e-12)


def test_a_perfect_score_has_no_spread(labels, index):
    found = measure(labels.astype(float), labels, index)
    assert (found.ap, found.low, found.high, found.auc) == (1, 1, 1, 1)


@pytest.mark.parametrize("label", [False, True])
def test_labels_that_are_all_one_are_refused(index, refuses, label):
    with refuses("all labels are the same; AP and AUC need normal and anomalous frames"):
        measure(np.arange(75.0), np.full(75, label), index)


def test_a_difference_is_that_of_two_aps_on_the_same_videos_drawn(scores, labels, index, monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 150)
    other = np.random.default_rng(9).random(len(index)) + 0.2 * labels
    generator = np.random.default_rng(metrics.BOOTSTRAP_SEED)
    expected = []
    while len(expected) < 150:
        weight = np.bincount(generator.integers(0, 5, 5), minlength=5)[index.video - 1]
        if labels[weight > 0].any():
            one, two = (average_precision_score(labels, s, sample_weight=weight) for s in (scores, other))
            expected.append(one - two)
    found = difference(sample(scores, labels, index), sample(other, labels, index))
    assert found.ap == average_precision_score(labels, scores) - average_precision_score(labels, other)
    assert found.low == pytest.approx(np.quantile(expected, 0.025), abs=1e-11)
    assert found.high == pytest.approx(np.quantile(expected, 0.975), abs=1e-11)
    assert found.videos == 5


def test_scores_in_the_same_order_differ_by_nothing(labels, index):
    scores = np.random.default_rng(8).random(len(index)) + 0.3 * labels
    found = difference(sample(scores, labels, index), sample(np.exp(scores), labels, index))
    assert (found.ap, found.low, found.high) == (0, 0, 0)
    perfect = labels + np.random.default_rng(8).random(len(index)) / 2
    found = difference(sample(perfect, labels, index), sample(labels.astype(float), labels, index))
    assert (found.ap, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize(("frames", "anomalous"), [(24, 6), (2, 1), (240, 60)])
def test_chance_is_the_mean_ap_of_random_scores(frames, anomalous):
    """On few frames it is above the prevalence: a score at chance must not pass for a better one."""
    labels, generator = np.arange(frames) < anomalous, np.random.default_rng(3)
    drawn = [average_precision_score(labels, generator.random(frames)) for _ in range(3000)]
    measured = Measured(0.0, 0.0, 0.0, 0.0, anomalous / frames, frames, 1)
    assert measured.chance == pytest.approx(np.mean(drawn), abs=0.01)
