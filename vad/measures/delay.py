"""How long a detector takes to raise an alarm, at a threshold with few false alarms an hour."""

from dataclasses import dataclass

import numpy as np

from vad.data.frame_index import Flags, FrameIndex, Values


@dataclass(frozen=True)
class Delay:
    """At `threshold`: the false alarms raised in `hours` of normal footage, and how soon events are noticed.

    An event is a run of anomalous frames in a video. `detected` of `events` have an alarmed frame; of these, `mean` and `median` are
    the frames from the event's first to its first alarmed one, None where none is detected. `threshold` is None where the highest
    score alone raises more false alarms than allowed: then nothing is alarmed.
    """

    threshold: float | None
    false_alarms: int
    hours: float
    events: int
    detected: int
    mean: float | None
    median: float | None


def detection_delay(scores: Values, labels: Flags, index: FrameIndex, fps: float, an_hour: float) -> Delay:
    """The delay at the lowest threshold below which false alarms first exceed `an_hour`, for footage of `fps` frames a second.

    A false alarm is raised where a normal frame is alarmed and the frame before it in its video is not: an alarm that lasts
    counts once, and one that outlasts its event not at all.
    """
    hours = float((~labels).sum()) / fps / 3600
    threshold, false_alarms = _lowest_threshold(scores, labels, index, int(an_hour * hours + 1e-9))
    alarmed = np.zeros(len(scores), bool) if threshold is None else scores >= threshold
    delays, events = [], 0
    for span in index.spans:
        edges = np.flatnonzero(np.diff(labels[span], prepend=False, append=False)) + span.start
        for start, stop in edges.reshape(-1, 2):
            events += 1
            if len(first := np.flatnonzero(alarmed[start:stop])):
                delays.append(int(first[0]))
    mean, median = (float(np.mean(delays)), float(np.median(delays))) if delays else (None, None)
    return Delay(threshold, false_alarms, hours, events, len(delays), mean, median)


def _lowest_threshold(scores: Values, labels: Flags, index: FrameIndex, allowed: int) -> tuple[float | None, int]:
    """Go down from the highest score while at most `allowed` false alarms are raised."""
    before = np.concatenate([[-np.inf], scores[:-1]])
    before[[span.start for span in index.spans]] = -np.inf
    # A frame raises an alarm at the thresholds from its own score down to, but without, that of the frame before.
    raising = ~labels & (scores > before)
    thresholds = np.unique(scores)[::-1]
    begins = np.searchsorted(-thresholds, -scores[raising])
    ends = np.searchsorted(-thresholds, -before[raising])
    size = len(thresholds) + 1
    raised = np.cumsum(np.bincount(begins, minlength=size) - np.bincount(ends, minlength=size))[:-1]
    within = len(thresholds) if (raised <= allowed).all() else int(np.argmax(raised > allowed))
    return (float(thresholds[within - 1]), int(raised[within - 1])) if within else (None, 0)
