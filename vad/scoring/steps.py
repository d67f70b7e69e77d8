"""Steps on scores, in whatever order an entry lists them.

A step takes scores of shape (M, N), one row for each member, and the videos' spans, and gives (M, N) or, where it combines
members, (1, N). What works in time works within a video. A step that needs values of the whole test set (a percentile, a
ranking) is given what `FITS[name]` took, (M, K); a registered model keeps those of its run. One that needs values of train
frames is given what `TRAIN_FITS[name]` took from their scores, which came the same way.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
import scipy

from vad.catalog import Catalog, Count, NotNegative, Whole, Within
from vad.data.frame_index import Values, filled

Spans = Sequence[slice]
_Scope = Literal["all", "video"]
_Percentile = Annotated[float, Within(above=0, high=100)]
_Share = Annotated[float, Within(above=0, high=1)]
# Of scores of train frames: the least that has a logarithm of its own, and the least deviation, of logarithms and as a share.
_TINY, _LEAST_LOG, _LEAST_SHARE = 1e-6, 0.05, 0.01
_Sigma = Annotated[float, Within(low=0.01, high=10_000)]
_Window = Annotated[int, Within(low=3, odd=True)]
STEPS: Catalog[Callable[..., Values]] = Catalog("step")
FITS: dict[str, Callable[..., Values]] = {}
TRAIN_FITS: dict[str, Callable[..., Values]] = {}
COMBINING = {"mean", "median", "max"}


def _per_video(values: Values, videos: Spans, work: Callable[[Values], Values], longer_than: int = 0) -> Values:
    """Apply `work` to each video separately; one of no more than `longer_than` frames stays as it is."""
    parts = (values[:, video] for video in videos)
    return np.concatenate([work(part) if part.shape[1] > longer_than else part for part in parts], axis=1)


def _bounds(values: Values, percentile: float) -> Values:
    """Lowest, highest and the percentile's value after clipping to [0, percentile]: (M, 3)."""
    top = np.percentile(values, percentile, axis=1)[:, None]
    clipped = np.clip(values, 0.0, top)
    return np.stack([clipped.min(1), clipped.max(1), top[:, 0]], 1)


def _scale(values: Values, bounds: Values) -> Values:
    low, high, top = (bounds[:, [column]] for column in range(3))
    spread = np.where(high > low, high - low, 1.0)
    scaled = np.clip((np.clip(values, 0.0, top) - low) / spread, 0.0, 1.0)
    return np.where(high > low, scaled, 0.5)


@STEPS.register("normalize", version=1)
def normalize(
    values: Values, videos: Spans, fitted: Values, *, percentile: _Percentile = 100, scope: _Scope = "all"
) -> Values:
    """Clip to [0, percentile], then min-max to [0, 1]; 0.5 where all values are one.

    Percentile (NumPy's), minimum and maximum are of all test frames, or with `scope: video` of each video separately.
    """
    if scope == "video":
        return _per_video(values, videos, lambda part: _scale(part, _bounds(part, percentile)))
    return _scale(values, fitted)


FITS["normalize"] = lambda values, percentile=100, scope="all": _bounds(values, percentile)


@STEPS.register("rank", version=1)
def rank(values: Values, videos: Spans, fitted: Values) -> Values:
    """Percentile rank over all test frames, ties averaged, in (0, 1], as pandas' `rank(pct=True)`.

    A value that was not among the fitted ones gets a rank between its neighbours'.
    """
    ranked = []
    for row, known in zip(values, fitted, strict=True):
        ranks = scipy.stats.rankdata(known, "average") / len(known)
        distinct, first = np.unique(known, return_index=True)
        ranked.append(np.interp(row, distinct, ranks[first]))
    return np.stack(ranked)


FITS["rank"] = lambda values: np.sort(values, axis=1)


@STEPS.register("train_quantile", version=1)
def train_quantile(values: Values, videos: Spans, fitted: Values, *, quantile: _Share = 0.99) -> Values:
    """Divide by this quantile of the scores of train frames, so that 1 is as far as normal frames go.

    No statistic of test frames: a video alone scores as among the others. Train frames of the held-out part are taken, or all
    where nothing is held out. Where the quantile is 0, as in footage without any movement, scores stay as they are.
    """
    return values / fitted


def _quantile(values: Values, quantile: float = 0.99) -> Values:
    found = np.quantile(values, quantile, axis=1)[:, None]
    return np.where(found > 0, found, 1.0)


TRAIN_FITS["train_quantile"] = _quantile


@STEPS.register("train_zscore", version=1)
def train_zscore(values: Values, videos: Spans, fitted: Values, *, log: bool = True) -> Values:
    """Subtract the mean and divide by the deviation of the scores of train frames, by default of their logarithms.

    Like `train_quantile`, no statistic of test frames. Logarithms of distances are nearly normal, whatever the detector.
    """
    return (_logarithm(values, log) - fitted[:, [0]]) / fitted[:, [1]]


def _logarithm(values: Values, wanted: bool) -> Values:
    return np.asarray(np.log(np.maximum(values, _TINY)) if wanted else values)


def _mean_and_deviation(values: Values, log: bool = True) -> Values:
    values = _logarithm(values, log)
    # Scores that do not differ, as in footage without any movement, would make a scale of nothing.
    deviation = np.maximum(values.std(1), _LEAST_LOG if log else _LEAST_SHARE * np.abs(values.mean(1)))
    return np.stack([values.mean(1), np.where(deviation > 0, deviation, 1.0)], 1)


TRAIN_FITS["train_zscore"] = _mean_and_deviation


@STEPS.register("train_rank", version=1)
def train_rank(values: Values, videos: Spans, fitted: Values) -> Values:
    """The share of the scores of train frames that lie below, those that are equal counted half, between 0 and 1.

    Like `train_quantile`, no statistic of test frames. Scores above all of n train frames share the value 1 - 1 / (2 n + 2): where
    they must be told apart, take `train_zscore`.
    """
    ranked = []
    for row, known in zip(values, fitted, strict=True):
        below, upto = (np.searchsorted(known, row, side) for side in ("left", "right"))
        ranked.append((below + upto + 1) / (2 * len(known) + 2))
    return np.stack(ranked)


TRAIN_FITS["train_rank"] = lambda values: np.sort(values, axis=1)


@STEPS.register("symlog", version=1)
def symlog(values: Values, videos: Spans) -> Values:
    """sign(v) log(1 + |v|): near 0 the score itself, far from it a logarithm, so that no single score drowns the others."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))


@STEPS.register("squared_excess", version=1)
def squared_excess(values: Values, videos: Spans) -> Values:
    """max(0, v)^2: of a score that is standardised, how far it is above the mean, squared; below the mean nothing.

    The sum over detectors lets the one that is sure decide, and none that finds a frame very normal outvote it.
    """
    return np.asarray(np.square(np.maximum(values, 0)))


@STEPS.register("fill", version=1)
def fill(values: Values, videos: Spans, *, value: NotNegative | Literal["nearest"]) -> Values:
    """Give a score to frames that have none (NaN), as the first of a video under an input that looks back.

    A number is that score; `nearest` takes the nearest frame's of the same video, of two the earlier, if it has any.
    """
    if value != "nearest":
        return np.where(np.isnan(values), value, values)
    return _per_video(values, videos, lambda part: np.stack([filled(row) for row in part]))


@STEPS.register("local_zscore", version=1)
def local_zscore(values: Values, videos: Spans, *, radius: Count = 5) -> Values:
    """How unlike its neighbours a frame is: |v - mean| / (std + 1e-8) of up to `radius` frames on each side, itself left out.

    The deviation is that of the population; a frame with fewer than two neighbours gets 0.
    """

    def unlike(part: Values) -> Values:
        if part.shape[1] < 3:
            return np.zeros_like(part)
        reach = min(radius, part.shape[1])
        padded = np.pad(part, ((0, 0), (reach, reach)), constant_values=np.nan)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
        beside = np.delete(windows, reach, axis=2)
        away = np.abs(part - np.nanmean(beside, 2)) / (np.nanstd(beside, 2) + 1e-8)
        return np.where((~np.isnan(beside)).sum(2) < 2, 0.0, away)

    return _per_video(values, videos, unlike)


@STEPS.register("gaussian_residual", version=1)
def gaussian_residual(
    values: Values, videos: Spans, *, sigma: _Sigma = 3.0, spread: _Sigma = 6.0, shortest: Count = 5
) -> Values:
    """How far a score is from its smoothed course: d = |v - gaussian(v, sigma)|, then d / (gaussian(d, spread) + 1e-8).

    Videos of fewer than `shortest` frames get 0.
    """

    def work(part: Values) -> Values:
        if part.shape[1] < shortest:
            return np.zeros_like(part)
        away = np.abs(part - scipy.ndimage.gaussian_filter1d(part, sigma, axis=1))
        return np.asarray(away / (scipy.ndimage.gaussian_filter1d(away, spread, axis=1) + 1e-8))

    return _per_video(values, videos, work)


@STEPS.register("mean", version=1)
def mean(values: Values, videos: Spans) -> Values:
    """The mean over members."""
    return np.asarray(values.mean(0, keepdims=True))


@STEPS.register("median", version=1)
def median(values: Values, videos: Spans) -> Values:
    """The median over members."""
    return np.median(values, 0, keepdims=True)


@STEPS.register("max", version=1)
def maximum(values: Values, videos: Spans) -> Values:
    """The largest over members."""
    return np.asarray(values.max(0, keepdims=True))


@STEPS.register("gaussian", version=1)
def gaussian(values: Values, videos: Spans, *, sigma: Annotated[float, Within(low=0, high=10_000)]) -> Values:
    """`scipy.ndimage.gaussian_filter1d` with its defaults; a sigma below 1/8 or a single frame changes nothing."""
    if sigma < 0.125:  # its window is one frame
        return values
    return _per_video(values, videos, lambda part: scipy.ndimage.gaussian_filter1d(part, sigma, axis=1), longer_than=1)


@STEPS.register("median_filter", version=1)
def median_filter(values: Values, videos: Spans, *, window: Count) -> Values:
    """`scipy.ndimage.median_filter` with its defaults; a video no longer than the window stays as it is."""
    return _per_video(values, videos, lambda part: scipy.ndimage.median_filter(part, size=(1, window)), window)


@STEPS.register("ema", version=1)
def ema(values: Values, videos: Spans, *, alpha: Annotated[float, Within(above=0, high=1)]) -> Values:
    """Exponential moving average, forward and backward, averaged: f_0 = v_0, f_t = a v_t + (1 - a) f_(t-1)."""

    def forward(part: Values) -> Values:
        start = part[:, :1] * (1 - alpha)
        return np.asarray(scipy.signal.lfilter([alpha], [1, alpha - 1], part, axis=1, zi=start)[0])

    return _per_video(values, videos, lambda part: (forward(part) + forward(part[:, ::-1])[:, ::-1]) / 2)


@STEPS.register("savgol", version=1)
def savgol(values: Values, videos: Spans, *, window: _Window, polyorder: Whole = 2) -> Values:
    """`scipy.signal.savgol_filter` with its defaults; a video no longer than the window stays as it is.

    Raises ValueError where the polynomial has no fewer terms than the window has frames.
    """
    if polyorder >= window:
        raise ValueError(f'step "savgol": polyorder {polyorder} must be below window {window}')
    return _per_video(values, videos, lambda part: scipy.signal.savgol_filter(part, window, polyorder, axis=1), window)
