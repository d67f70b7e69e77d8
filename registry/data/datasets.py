"""Which frames and labels a command works on, and the protocol by which its results may be compared."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from registry.console import libraries_silent
from registry.entries.plan import Plan
from registry.store.paths import writable
from vad.data.frame_index import FrameIndex, Values
from vad.data.frameset import FrameSet, Labels
from vad.data.labels import find_labels, other_labels, read_labels
from vad.data.layouts import read_frameset
from vad.data.tables import read_scores
from vad.detectors.member import digest_of
from vad.errors import InputError
from vad.images.digest_cache import DigestCache
from vad.synthetic.street import make_street
from vad.system.files import sha256

DEMO = "demo-street"
NO_LABELS = "none"
FIRST_FRAME = "vad.first_frame"


@dataclass(frozen=True)
class Dataset:
    """What is scored: frames on disk, or, for an entry that only blends files, the frames that those name."""

    name: str
    frames: FrameSet | None
    index: FrameIndex
    labels: Labels | None
    place: str
    proxy: str | None = None  # digest of the painted frames that stand in for labels

    @property
    def metric(self) -> str:
        """The metric that counts here: `ap` with labels, `proxy_ap` without; the two are never mixed."""
        return "ap" if self.labels else "proxy_ap"

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the frames for the user."""
        return (self.frames.notes if self.frames else ()) + (self.labels.notes if self.labels else ())

    @property
    def test_digest(self) -> str:
        return self.frames.test.digest if self.frames else self.index.digest

    def protocol(self) -> str:
        """Digest of what two runs must share to be compared: frames of both splits, and labels or their stand-in."""
        train = self.frames.train.digest if self.frames else ""
        judge = self.labels.digest if self.labels else self.proxy
        return digest_of({"train": train, "test": self.test_digest, "figure": self.metric, "judge": judge})

    def experiment(self) -> str:
        """The MLflow experiment of this data set and protocol."""
        return f"{self.name} {self.metric} {self.protocol()[:8]}"

    def tags(self) -> dict[str, str]:
        """What a run and a model version note of their data; `vad.labels` is `none` without labels."""
        first = self.labels.first_frame if self.labels else None
        return {
            "vad.data_name": self.name,
            "vad.figure": self.metric,
            "vad.data": self.place,
            "vad.labels": str(Path(self.labels.source).resolve()) if self.labels else NO_LABELS,
            **({} if first is None else {FIRST_FRAME: str(first)}),
            "vad.protocol": self.protocol(),
            "vad.test_digest": self.test_digest,
        }


def open_frames_of(data: str | None, labels: str | None, home: Path, first_frame: int | None = None) -> Dataset:
    """The data set at `data`, or the demo street, made if need be, with labels as `labels_of` finds them. Raises InputError."""
    if data is None:
        # A folder that cannot be written may be read all the same.
        root, name = make_street((home if (home / DEMO).is_dir() else writable(home)) / DEMO), DEMO
    else:
        root, name = Path(data), Path(data).resolve().name
    with libraries_silent():  # a movie is decoded to be counted
        frames = read_frameset(root, home / "index", name)
    frames = replace(frames, labels=labels_of(frames, labels, home, first_frame))
    return Dataset(name, frames, frames.test.index, frames.labels, str(root.resolve()))


def labels_of(frames: FrameSet, labels: str | None, home: Path, first_frame: int | None) -> Labels | None:
    """The labels of a data set's test frames: `labels` is a CSV or a folder of masks; `none` leaves them out.

    By default those that lie where the data was named or found count. `first_frame` is the number of
    the frame that the first mask belongs to. Raises InputError for what is wrong with them.
    """
    if labels == NO_LABELS:
        return None
    if labels is None:
        found = find_labels(frames.root, frames.home, frames.own_labels)
    else:  # a path as seen from the working folder, else from the data's
        places = [Path(labels), *(folder / labels for folder in (frames.root, frames.home or frames.root))]
        found = next(filter(os.path.exists, places), places[0])
    if found is None:
        return None
    memory = DigestCache(home / "index" / f"labels-{digest_of({'path': str(found.resolve())})[:16]}.json")
    videos = frames.test.videos
    files = {v.id: place for v in videos if (place := v.images[0].parent if v.images else v.movie)}
    sizes = {video.id: video.size for video in videos if video.size is not None}
    known = read_labels(found, frames.test.index, memory, first_frame, files, sizes)
    others = [] if labels else [path for path in other_labels(frames.root, frames.home) if path != found]
    here = ", ".join(str(path.relative_to(frames.root)) for path in others[:4])
    note = f"other labels lie here, too: {here} (LABELS=path takes one of them)"
    return replace(known, notes=(*known.notes, *([note] if others else [])))


def open_scores_of(plan: Plan, labels: str | None, home: Path, first_frame: int | None = None) -> Dataset:
    """The frames that an entry's predictions files name, for an entry that has no members."""
    first = next(Path(stream.file) for stream in plan.streams.values() if stream.file)
    index, _ = read_scores(first)
    known = None
    if labels is not None and labels != NO_LABELS:
        known = read_labels(Path(labels), index, DigestCache(home / "index" / "labels-scores.json"), first_frame)
    return Dataset(f"{first.parent.name} files", None, index, known, str(first.parent))


def first_frame_of(tags: Mapping[str, str]) -> int | None:
    """The frame that the first mask belongs to, as `Dataset.tags` noted it."""
    return int(tags[FIRST_FRAME]) if FIRST_FRAME in tags else None


def read_files(plan: Plan, index: FrameIndex) -> tuple[dict[str, Values], dict[str, str]]:
    """The scores of each stream that reads a file, and each file's SHA-256. The frames must be those of `index`."""
    values, digests = {}, {}
    for name, stream in plan.streams.items():
        if stream.file is not None:
            path = Path(stream.file)
            if not os.path.isfile(path):  # False, too, for what can be no path
                raise InputError(
                    f"{plan.where('streams', name, 'scores')}: streams.{name}.scores: there is no file {path}"
                )
            _, values[name] = read_scores(path, index)
            digests[name] = sha256(path)
    return values, digests
