"""Which frames are labelled: by the data set, or without one by the labels themselves or the scores."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from registry.analysis.evaluate_frames import frames_of, scored_frames
from registry.console import plural
from vad.data.frame_index import FrameIndex
from vad.data.frameset import Labels
from vad.data.labels import FORMS, avenue, read_labels, table
from vad.data.labels.known import version_of
from vad.data.matlab import anomalous_frames
from vad.data.scores import VideoScores
from vad.data.tables import read_table
from vad.errors import InputError
from vad.images.decode import FEWER_AT_THE_END
from vad.images.digest_cache import DigestCache, Size
from vad.measures.alignment import Spacing


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labelled frames and their labels; `note` says what is not certain about the length of videos; `sizes` are those of frames."""

    index: FrameIndex
    labels: Labels
    note: str = ""
    sizes: Mapping[str, Size] = field(default_factory=dict)

    def words(self) -> dict[str, str]:
        """Say which labels these are, for the protocol."""
        labels, count, anomalous = self.labels, len(self.labels.values), int(self.labels.values.sum())
        frames = f"{count:,} frames, {anomalous:,} anomalous ({anomalous / count:.2%}), digest {labels.digest[:12]}"
        version = version_of(labels, self.index)
        said = {"labels": f"{labels.source}: {frames}" + (f"; {version}" if version else "")}
        return said | ({"notes": "; ".join(labels.notes)} if labels.notes else {})


def labels_of_data(data: str, labels: str | None, first_frame: int | None, home: Path) -> Labelled:
    """The test frames of a data set and their labels, by default its own. Raises InputError."""
    from registry.data.datasets import open_frames_of  # it would load PyTorch and MLflow

    dataset = open_frames_of(data, labels, home, first_frame)
    assert dataset.frames is not None
    if dataset.labels is None:
        raise InputError(f"{data} holds no labels; name them with --labels")
    sizes = {video.title: video.size for video in dataset.frames.test.videos if video.size}
    return Labelled(dataset.index, dataset.labels, sizes=sizes)


def labelled_frames(
    place: Path, given: Sequence[VideoScores], spacing: Spacing, first_frame: int | None, home: Path
) -> Labelled:
    """Read labels for scores without a data set. Those that do not say how long a video is are read for the frames of the scores.

    Raises InputError.
    """
    memory = DigestCache(home / "index" / "labels-evaluate.json")
    form = next((form for form in FORMS if place.exists() and form.takes(place)), None)
    hint, note, index = "", "", scored_frames(given, spacing)
    if form is avenue:
        return _from_masks(place, scored_frames(given, Spacing()), memory, first_frame)
    if form is table:
        if index is not None:
            with suppress(InputError):  # most files score every labelled frame, and the labels are read but once
                return Labelled(index, read_labels(place, index, memory, first_frame))
        index = read_table(place, "Label").index
    elif form is None:
        index = FrameIndex(np.zeros(1, np.int64), np.zeros(1, np.int64))  # `read_labels` says what is wrong
    else:
        index, first_frame, note = frames_of(place, form, given, index, first_frame, memory)
        hint = f" ({note or 'the frames are those of the scores; if these lack some, give --data FOLDER'})"
    try:
        return Labelled(index, read_labels(place, index, memory, first_frame), note)
    except InputError as error:
        raise InputError(f"{error}{hint}") from None


def _from_masks(place: Path, scored: FrameIndex | None, memory: DigestCache, first_frame: int | None) -> Labelled:
    """Avenue's masks: one for each frame. A movie's last frames may not be decodable, so up to two at its end may lack a score."""
    if scored is not None:
        read_labels(place, scored, memory, first_frame)  # says what is wrong with the numbers of frames, if anything is
    videos, frames, passed_over = [], [], 0
    for video, path in sorted(avenue.find_masks(place).items()):
        numbers = np.arange(len(memory.remember("anomalous", path, anomalous_frames))) + (first_frame or 0)
        if scored is not None and len(last := scored.frame[scored.video == video]):
            cut = int(last[-1]) + 1 - int(numbers[0])
            if len(numbers) - FEWER_AT_THE_END <= cut < len(numbers):
                passed_over += len(numbers) - cut
                numbers = numbers[:cut]
            if not first_frame and last[0] == 1:  # frames from 1 and masks from 0: mask 0 has no frame
                numbers = numbers[1:]
        videos.append(np.full(len(numbers), video, np.int64))
        frames.append(numbers.astype(np.int64))
    index = FrameIndex(np.concatenate(videos), np.concatenate(frames))
    note = f"{plural(passed_over, 'mask')} at the end of videos without a frame passed over" if passed_over else ""
    return Labelled(index, read_labels(place, index, memory, first_frame), note)
