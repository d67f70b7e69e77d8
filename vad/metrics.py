"""How good scores are: Average Precision, area under the ROC curve, and how sure one can be of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vad.errors import InputError
from vad.scores import FrameIndex, Values

RESAMPLES = 1000
CONFIDENCE = 0.95
BOOTSTRAP_SEED = 20260101
_DIGITS = 12  # two APs that differ by less differ by rounding


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


@dataclass(frozen=True, eq=False)
class Sampled:
    """What was measured, with the `draws` of AP behind its interval, so that it can be compared with another."""

    measured: Measured
    draws: NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """The AP of one score less that of another on the same frames, with the interval [low, high]."""

    ap: float
    low: float
    high: float
    videos: int


def measure(scores: Values, labels: NDArray[np.bool_], index: FrameIndex) -> Measured:
    """AP and AUC by scikit-learn, with a percentile bootstrap interval (95 %) over whole videos.

    Raises InputError where all labels are one: neither figure exists then.
    """
    return sample(scores, labels, index).measured


def sample(scores: Values, labels: NDArray[np.bool_], index: FrameIndex) -> Sampled:
    """As `measure`, with the draws."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    if labels.all() or not labels.any():
        raise InputError("all labels are the same; AP and AUC need normal and anomalous frames")
    draws = bootstrap_ap(scores, labels, index)
    low, high = _middle(draws)
    measured = Measured(
        # Rounding may carry a perfect ranking a hair above 1.
        ap=min(1.0, float(average_precision_score(labels, scores))),
        low=min(1.0, low),
        high=min(1.0, high),
        auc=float(roc_auc_score(labels, scores)),
        prevalence=float(labels.mean()),
        frames=len(labels),
        videos=len(index.spans),
    )
    return Sampled(measured, draws)


def difference(one: Sampled, other: Sampled) -> Difference:
    """AP of `one` less AP of `other`, measured on the same frames, with a paired bootstrap interval (95 %).

    Each draw of videos gives one difference, so what makes videos easy or hard for both falls out.
    """
    low, high = _middle((one.draws - other.draws).round(_DIGITS))
    return Difference(one.measured.ap - other.measured.ap, low, high, one.measured.videos)


def _middle(draws: NDArray[np.float64]) -> tuple[float, float]:
    """Between which values the middle 95 % of the draws lie."""
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def bootstrap_ap(scores: Values, labels: NDArray[np.bool_], index: FrameIndex) -> NDArray[np.float64]:
    """AP of `RESAMPLES` draws of whole videos with replacement, from a fixed seed.

    A draw without an anomaly is drawn again.

    The same seed and the same videos give the same draws, so two methods can be compared pair by pair.
    """
    order = np.argsort(-scores, kind="stable")
    video = np.repeat(np.arange(len(index.spans)), [span.stop - span.start for span in index.spans])[order]
    positive = labels[order]
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    anomalous = np.asarray([labels[span].any() for span in index.spans])
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    results = np.empty(RESAMPLES)
    for draw in range(RESAMPLES):
        counts = np.zeros(len(index.spans))
        while not counts[anomalous].any():
            counts = np.bincount(generator.integers(0, len(counts), len(counts)), minlength=len(counts)).astype(float)
        weights = counts[video]
        hits = np.cumsum(weights * positive)[ends]
        seen = np.cumsum(weights)[ends]
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        results[draw] = np.sum(np.diff(hits, prepend=0.0) * precision) / hits[-1]
    return results
