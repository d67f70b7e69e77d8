"""AP and AUC under whole videos drawn again: scores of the same frames under the same draws, so that they are paired."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import Flags, FrameIndex, Values
from vad.measures import frame_level, metrics
from vad.measures.metrics import BOOTSTRAP_SEED, kinds_of_videos, video_counts

Metric = Literal["auc", "ap"]
_MOST_CELLS = 20_000  # of thresholds by draws that are counted at once: they fit a processor's cache


def drawn_videos(labels: Flags, index: FrameIndex) -> Values:
    """How often each draw has each video, (videos, draws). Every draw has normal and anomalous frames.

    The draws are those of `metrics.bootstrap_ap`, so that intervals are the same, in an order that other frames have otherwise:
    draws of two data sets are independent.
    """
    generator, kinds = np.random.default_rng(BOOTSTRAP_SEED), kinds_of_videos(labels, index)
    counts = np.stack([video_counts(generator, *kinds) for _ in range(metrics.RESAMPLES)], axis=1)
    return np.random.default_rng([BOOTSTRAP_SEED, int(index.digest[:8], 16)]).permutation(counts, axis=1)


def measured(metric: Metric, scores: Values, labels: Flags) -> float:
    """The figure of these scores; AUC counts ties half."""
    found = frame_level.curve(scores, labels)
    return frame_level.auc(found) if metric == "auc" else frame_level.average_precision(found)


def drawn(metric: Metric, scores: Values, labels: Flags, index: FrameIndex, counts: Values) -> Values:
    """The figure under each draw, (draws,). `counts` says how often a draw has each video, (videos, draws)."""
    of = _auc if metric == "auc" else _ap
    return np.clip(of(scores, labels, index, counts), 0.0, 1.0)


def _auc(scores: Values, labels: Flags, index: FrameIndex, counts: Values) -> Values:
    """AUC as the share of pairs (anomalous, normal) that are in order: counted once for each pair of videos, then weighted."""
    video = _video_of(index)
    anomalous, videos = scores[labels], video[labels]
    ordered = np.empty((len(index.spans), len(index.spans)))
    for place, span in enumerate(index.spans):
        normal = np.sort(scores[span][~labels[span]])
        below = (np.searchsorted(normal, anomalous, "left") + np.searchsorted(normal, anomalous, "right")) / 2
        ordered[:, place] = np.bincount(videos, below, len(index.spans))
    positives, negatives = (np.bincount(video[kind], minlength=len(index.spans)) for kind in (labels, ~labels))
    found: Values = np.sum(counts * (ordered @ counts), axis=0) / ((positives @ counts) * (negatives @ counts))
    return found


def _ap(scores: Values, labels: Flags, index: FrameIndex, counts: Values) -> Values:
    """AP as scikit-learn counts it. At each threshold a video adds the same frames to every draw that has it."""
    order = np.argsort(-scores, kind="stable")
    video, hit = _video_of(index)[order], labels[order]
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    ends = ends[np.unique(np.searchsorted(ends, np.flatnonzero(hit)))]  # at the others recall does not change
    step = np.searchsorted(ends, np.arange(ends[-1] + 1))
    shape = (len(ends), len(index.spans))
    seen, hits = np.zeros(shape), np.zeros(shape)
    np.add.at(seen, (step, video[: len(step)]), 1.0)
    np.add.at(hits, (step[hit[: len(step)]], video[: len(step)][hit[: len(step)]]), 1.0)
    seen, found = np.cumsum(seen, axis=0), np.cumsum(hits, axis=0)
    total = np.zeros(counts.shape[1])
    at_once = max(1, _MOST_CELLS // counts.shape[1])
    for start in range(0, len(ends), at_once):
        part = slice(start, start + at_once)
        alarmed = np.maximum(seen[part] @ counts, 1.0)  # none is alarmed where the draw has none of these videos
        total += np.sum((hits[part] @ counts) * (found[part] @ counts) / alarmed, axis=0)
    result: Values = total / (found[-1] @ counts)
    return result


def _video_of(index: FrameIndex) -> NDArray[np.int64]:
    """The position of each frame's video."""
    return np.repeat(np.arange(len(index.spans)), [span.stop - span.start for span in index.spans])
