"""How good scores are: Average Precision, area under the ROC curve, and how sure one can be of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from vad.data.frame_index import Flags, FrameIndex, Values
from vad.errors import InputError
from vad.measures import frame_level

Metric = Literal["auc", "ap"]
RESAMPLES = 1000
CONFIDENCE = 0.95
BOOTSTRAP_SEED = 20260101
_ENDS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
LEAST_VIDEOS = 3  # resampling fewer whole videos gives only a handful of values, no interval
_MOST_CELLS = 1_000_000  # of thresholds by draws that are counted at once
DIGITS = 12  # two APs that differ by less differ by rounding


@dataclass(frozen=True)
class Measured:
    """Pooled over all frames: `ap` with the interval [low, high], `auc`, and the share of anomalous frames."""

    ap: float
    low: float
    high: float
    auc: float
    prevalence: float
    frames: int
    videos: int

    @property
    def has_interval(self) -> bool:
        return self.videos >= LEAST_VIDEOS

    @property
    def chance(self) -> float:
        """The expected AP of random scores: above the prevalence where frames are few.

        Source: Bestgen, Exact Expected Average Precision of the Random Baseline for System Evaluation, 2015.
        """
        harmonic = float((1 / np.arange(1, self.frames + 1)).sum())
        others = (round(self.prevalence * self.frames) - 1) / max(1, self.frames - 1)
        return (harmonic + others * (self.frames - harmonic)) / self.frames


class Sampled(NamedTuple):
    """A measurement with the bootstrap `draws` of its AP, so that it can be compared with another."""

    measured: Measured
    draws: Values


@dataclass(frozen=True)
class Difference:
    """The AP of one score less that of another on the same frames, with the interval [low, high].

    `better` is the share of draws in which the first is better; ties count half.
    """

    ap: float
    low: float
    high: float
    videos: int
    better: float

    @property
    def has_interval(self) -> bool:
        return self.videos >= LEAST_VIDEOS


def measure(scores: Values, labels: Flags, index: FrameIndex) -> Measured:
    """AP and AUC by scikit-learn, with a percentile bootstrap interval (95 %) over whole videos.

    Raises InputError where all labels are one: neither metric exists then.
    """
    return sample(scores, labels, index).measured


def sample(scores: Values, labels: Flags, index: FrameIndex) -> Sampled:
    """Do as `measure` does, and keep the draws."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    if labels.all() or not labels.any():
        raise InputError("all labels are the same; AP and AUC need normal and anomalous frames")
    draws = bootstrap_ap(scores, labels, index)
    # Rounding may carry a perfect ranking a hair above 1.
    ap, low, high = (min(1.0, value) for value in (float(average_precision_score(labels, scores)), *middle(draws)))
    auc, prevalence = float(roc_auc_score(labels, scores)), float(labels.mean())
    return Sampled(Measured(ap, low, high, auc, prevalence, len(labels), len(index.spans)), draws)


def chosen_again(best: Sampled, all_of_them: Sequence[Sampled]) -> Sampled:
    """Return `best` with the interval of a choice by AP among all: each draw takes its own best."""
    low, high = middle(np.max([one.draws for one in all_of_them], axis=0))
    return best._replace(measured=replace(best.measured, low=min(1.0, low), high=min(1.0, high)))


def difference(one: Sampled, other: Sampled) -> Difference:
    """AP of `one` less AP of `other`, measured on the same frames, with a paired bootstrap interval (95 %).

    Each draw of videos gives one difference, so what makes videos easy or hard for both cancels out.
    """
    draws = (one.draws - other.draws).round(DIGITS)
    low, high = middle(draws)
    better = float(np.mean((np.sign(draws) + 1) / 2))
    return Difference(one.measured.ap - other.measured.ap, low, high, one.measured.videos, better)


def shortfall(scores: Values, labels: Flags) -> Values:
    """What each frame costs: of shape (N,), and 1 less AP in sum.

    AP is the mean, over anomalous frames, of the share of anomalous frames among those that score as high or higher.
    Each normal frame among them lowers it; half of that is put down to the normal frame, half to the anomalous one.
    """
    _, threshold = np.unique(-scores, return_inverse=True)  # the highest first
    hits = np.bincount(threshold, labels)
    seen = np.cumsum(np.bincount(threshold))
    missed = 1 - np.cumsum(hits) / seen
    alarmed = np.cumsum((hits / seen)[::-1])[::-1]
    cost: Values = np.where(labels, missed[threshold], alarmed[threshold]) / (2 * labels.sum())
    return cost


def middle(draws: Values) -> tuple[float, float]:
    """Return the bounds of the middle 95 % of the draws."""
    low, high = np.quantile(draws, _ENDS)
    return float(low), float(high)


def bootstrap_ap(scores: Values, labels: Flags, index: FrameIndex, counts: Values | None = None) -> Values:
    """AP of draws of whole videos with replacement: of those in `counts`, (videos, draws), or of `counts_of_videos`.

    The same seed and the same videos give the same draws, so two methods can be compared pair by pair.
    """
    curves = _draws(scores, labels, index, counts_of_videos(labels, index) if counts is None else counts)
    return np.array([np.sum(np.diff(hits, prepend=0.0) * precision) / hits[-1] for hits, precision in curves])


def precision_band(
    scores: Values, labels: Flags, index: FrameIndex, points: int = 201
) -> tuple[Values, Values, Values]:
    """Recall, and between which precisions the middle 95 % of the bootstrap's draws lie there, each of shape (points,).

    The draws are those of `bootstrap_ap`. Recall goes from 0 to 1 in even steps; a draw's precision at a recall is
    that of the highest threshold to reach it, as AP counts it. The band holds for each recall separately, not for
    the whole curve at once (a percentile bootstrap: Efron and Tibshirani, 1993, chapter 13).
    """
    recall = np.linspace(0.0, 1.0, points)
    drawn = np.empty((RESAMPLES, points))
    for draw, (hits, precision) in enumerate(_draws(scores, labels, index, counts_of_videos(labels, index))):
        # In whole hits, at least one; rounding must not ask for one more than the recall does.
        wanted = np.maximum(np.ceil(recall * hits[-1] - 1e-6), 1.0)
        drawn[draw] = precision[np.searchsorted(hits, wanted)]
    low, high = np.quantile(drawn, _ENDS, axis=0)
    return recall, low, high


def counts_of_videos(labels: Flags, index: FrameIndex) -> Values:
    """How often each of `RESAMPLES` draws has each video, (videos, draws), from a fixed seed.

    A draw without an anomaly, or without a normal frame, is drawn again.
    """
    anomalous, normal = (np.asarray([kind[span].any() for span in index.spans]) for kind in (labels, ~labels))
    generator, count = np.random.default_rng(BOOTSTRAP_SEED), len(index.spans)
    draws: list[Values] = []
    while len(draws) < RESAMPLES:
        drawn = np.bincount(generator.integers(0, count, count), minlength=count).astype(float)
        if drawn[anomalous].any() and drawn[normal].any():
            draws.append(drawn)
    return np.stack(draws, axis=1)


def _draws(scores: Values, labels: Flags, index: FrameIndex, counts: Values) -> Iterator[tuple[Values, Values]]:
    """Of each draw the hits so far and the precision, at each threshold with a hit, the highest first."""
    from scipy.sparse import csr_array

    order = np.argsort(-scores, kind="stable")
    video, positive = index.places[order], np.flatnonzero(labels[order])
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    ends = ends[np.unique(np.searchsorted(ends, positive))]  # at the others neither AP nor recall changes
    # How many frames of each video a threshold adds, so that many draws are counted at once.
    step = np.searchsorted(ends, np.arange(ends[-1] + 1))
    shape = (len(ends), len(index.spans))
    seen = csr_array((np.ones(len(step)), (step, video[: len(step)])), shape)
    hits = csr_array((np.ones(len(positive)), (step[positive], video[positive])), shape)
    at_once = max(1, _MOST_CELLS // len(ends))
    for start in range(0, counts.shape[1], at_once):
        weights = counts[:, start : start + at_once]
        found, counted = (np.ascontiguousarray(np.cumsum(part @ weights, axis=0).T) for part in (hits, seen))
        precision = np.divide(found, counted, out=np.zeros_like(found), where=counted > 0)
        yield from zip(found, precision, strict=True)


def drawn_videos(labels: Flags, index: FrameIndex) -> Values:
    """How often each draw has each video, (videos, draws). Every draw has normal and anomalous frames.

    The draws are those of `bootstrap_ap`, so that intervals are the same, in an order that other frames have otherwise:
    draws of two data sets are independent.
    """
    generator = np.random.default_rng([BOOTSTRAP_SEED, int(index.digest[:8], 16)])
    return generator.permutation(counts_of_videos(labels, index), axis=1)


def measured(metric: Metric, scores: Values, labels: Flags) -> float:
    """The figure of these scores; AUC counts ties half."""
    found = frame_level.curve(scores, labels)
    return frame_level.auc(found) if metric == "auc" else frame_level.average_precision(found)


def drawn(metric: Metric, scores: Values, labels: Flags, index: FrameIndex, counts: Values) -> Values:
    """The figure under each draw, (draws,). `counts` says how often a draw has each video, (videos, draws)."""
    found = (_auc if metric == "auc" else bootstrap_ap)(scores, labels, index, counts)
    return np.clip(found, 0.0, 1.0)


def _auc(scores: Values, labels: Flags, index: FrameIndex, counts: Values) -> Values:
    """AUC as the share of pairs (anomalous, normal) that are in order: counted once for each pair of videos, then weighted."""
    anomalous, videos = scores[labels], index.places[labels]
    ordered = np.empty((len(index.spans), len(index.spans)))
    for place, span in enumerate(index.spans):
        normal = np.sort(scores[span][~labels[span]])
        below = (np.searchsorted(normal, anomalous, "left") + np.searchsorted(normal, anomalous, "right")) / 2
        ordered[:, place] = np.bincount(videos, below, len(index.spans))
    positives, negatives = (np.bincount(index.places[kind], minlength=len(index.spans)) for kind in (labels, ~labels))
    found: Values = np.sum(counts * (ordered @ counts), axis=0) / ((positives @ counts) * (negatives @ counts))
    return found
