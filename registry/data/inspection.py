"""What `vad data` prints: a data set looked at from end to end before anyone trains on it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from registry.console import Bar, plural, table
from registry.data.datasets import DEMO, labels_of
from vad.data.frame_index import FrameIndex
from vad.data.frameset import FrameSet, Labels, Split
from vad.data.labels import extent, version_of
from vad.data.layouts import read_frameset
from vad.data.tables import read_table
from vad.errors import InputError
from vad.frames.inspection import Fault, Report, SplitReport, VideoReport, inspect_frames
from vad.synthetic.street import make_street
from vad.system.files import names_in, replacing

_FEW = 8
_MOST_ROWS = 100  # of a split
_VERSION = 1  # of what is remembered of a data set
_VIDEOS = TypeAdapter(tuple[VideoReport, ...])  # out of JSON


@dataclass(frozen=True)
class Inspection:
    """What was found in a data set: `faults` are what keeps a run from using it."""

    frames: FrameSet
    report: Report
    labels: Labels | None
    faults: list[str]


def inspect(data: str | None, labels: str | None, home: Path, first_frame: int | None = None) -> Inspection:
    """Read every frame and the labels of a data set, or of the demo street."""
    root, name = (make_street(home / DEMO), DEMO) if data is None else (Path(data), None)
    frames = read_frameset(root, home / "index", name, strict=False)
    report = _looked_at(frames, home / "index")
    known, faults = None, list(report.faults)
    try:
        known = labels_of(frames, labels, home, first_frame)
    except InputError as error:
        faults.append(str(error))
    faults += _by_folder(report.unreadable)
    faults += [
        f"{report.root}: video {video.name} has frames of {len(video.sizes)} sizes ({', '.join(map(_size, video.sizes))})"
        for video in report.videos
        if len(video.sizes) > 1
    ]
    return Inspection(frames, report, known, list(dict.fromkeys(faults)))


def as_text(found: Inspection) -> str:
    """Return the inspection as a person reads it."""
    lines, report, known, faults = _text(found), found.report, found.labels, found.faults
    if known:
        share = f"{known.values.sum():,} of {len(known.values):,} test frames anomalous ({known.values.mean():.2%})"
        lines += [f"labels: {known.source}: {share}", f"  read as {known.form}; digest {known.digest[:12]}"]
        if version := version_of(known, found.frames.test.index):
            lines.append(f"  {version}")
        lines += [f"note: {note}" for note in known.notes]
    elif not faults:
        lines.append(f"labels: none; runs will report a proxy AP (LABELS={_label_table(report.root)} gives real ones)")
    if faults:
        return "\n".join([*lines, "", f"{plural(len(faults), 'fault')}:", *(f"  {fault}" for fault in faults)])
    return "\n".join([*lines, "every file can be read"])


def _label_table(root: Path) -> str:
    """Return the name of a CSV of labels in a folder, or `path` where it holds none."""
    for name in names_in(root):
        if name.lower().endswith((".csv", ".csv.gz", ".csv.zip")):
            with suppress(InputError):
                read_table(root / name, "Label")
                return name
    return "path"


def as_json(found: Inspection) -> str:
    """Return the inspection for programs: every video with its frame numbers, sizes and faults."""
    report, frames, known, index = found.report, found.frames, found.labels, found.frames.test.index
    labels: dict[str, Any] | None = None
    videos = []
    for split, seen in ((frames.train, report.train), (frames.test, report.test)):
        for video, about in zip(split.videos, seen.videos, strict=True):
            anomalous = {"anomalous": extent(known, index, about.id)} if known and seen is report.test else {}
            videos.append({"split": seen.name, **asdict(about), "scene": video.scene, **anomalous})
    if known:
        labels = {"source": known.source, "form": known.form, "digest": known.digest}
        labels |= {"version": version_of(known, index), "frames": len(known.values)}
        labels |= {"anomalous": int(known.values.sum()), "notes": known.notes}
    whole = {"name": report.name, "root": report.root, "layout": frames.layout, "faults": found.faults}
    return json.dumps({**whole, "notes": report.notes, "labels": labels, "videos": videos}, indent=2, default=str)


def _by_folder(faults: Sequence[Fault]) -> Iterator[str]:
    """A line for each folder and reason: what is wrong with one frame is wrong with all, as a rule."""
    alike: dict[tuple[Path, str], list[Fault]] = {}
    for fault in faults:
        alike.setdefault((fault.path.parent, fault.reason.replace(str(fault.path), "")), []).append(fault)
    for (folder, _), same in alike.items():
        path, reason = same[0].path, same[0].reason
        line = reason if str(path) in reason else f"{path}: {reason}"
        yield line if len(same) == 1 else f"{folder}: {len(same):,} files as this one: {line}"


def _looked_at(frames: FrameSet, folder: Path) -> Report:
    """Decode every frame, or take what was found before in the same frames, where all could be read."""
    digests = [content for split in (frames.train, frames.test) for v in split.videos for content in v.contents]
    path = folder / f"inspection-{frames.digest[:24]}-{_VERSION}.json"
    splits: tuple[Split, Split] = (frames.train, frames.test)
    if all(digests):
        with suppress(OSError, ValueError, TypeError, KeyError):
            known = json.loads(path.read_text())
            train, test = (SplitReport(s.name, _VIDEOS.validate_python(known[s.name])) for s in splits)
            if [v.name for v in (*train.videos, *test.videos)] == [v.title for s in splits for v in s.videos]:
                return Report(frames.name, frames.root, train, test, frames.notes, frames.faults)
    with Bar("inspect", len(frames.train) + len(frames.test)) as bar:
        report = inspect_frames(frames, bar.advance)
    if all(digests) and not report.unreadable:
        with suppress(InputError, OSError), replacing(path) as temporary:  # else it is inspected again the next time
            temporary.write_text(
                json.dumps({s.name: [asdict(v) for v in s.videos] for s in (report.train, report.test)})
            )
    return report


def _text(found: Inspection) -> list[str]:
    report, known, index = found.report, found.labels, found.frames.test.index
    lines = [f"{report.name} ({report.root})", f"read as {found.frames.layout}", ""]
    rows, told = [], list[str]()
    for split in (report.train, report.test):
        left_out = 0
        for at, v in enumerate(split.videos):
            if at >= _MOST_ROWS and not (v.missing or v.unreadable or v.upside_down or len(v.sizes) > 1):
                left_out += 1
                continue
            numbers = f"{v.first} to {v.last}" if v.first is not None else "-"
            sizes = ", ".join(map(_size, v.sizes)) or "-"
            upside_down = _some(v.upside_down) if split.name == "test" else "-"
            row = [split.name, v.name, v.frames, numbers, _some(v.missing), sizes, len(v.unreadable), upside_down]
            rows.append([*row, *([_anomalous(known, index, v.id) if split.name == "test" else "-"] if known else [])])
        if left_out:
            told.append(f"{split.name}: {left_out:,} more videos without gaps or faults; --json has all")
    header = ["split", "video", "frames", "numbers", "missing", "size", "unreadable", "upside down"]
    header += ["anomalous (first to last)"] if known else []
    lines += [table(header, rows, right=(1, 2, 6)), *told, ""]
    for split, own in ((report.train, found.frames.train), (report.test, found.frames.test)):
        scenes = {video.scene for video in own.videos}
        cameras = f", {plural(len(scenes), 'scene')}" if all(scenes) else ""
        lines.append(f"{split.name}: {plural(len(split.videos), 'video')}, {plural(split.frames, 'frame')}{cameras}")
    flipped = sum(len(video.upside_down) for video in report.test.videos)
    turned = "; entries with `repair: flips` turn them back" if flipped else ""
    lines.append(f"upside down: {flipped:,} test frames ({flipped / max(report.test.frames, 1):.1%}){turned}")
    return [*lines, *(f"note: {note}" for note in report.notes)]


def _anomalous(labels: Labels, index: FrameIndex, video: int) -> str:
    """How many frames of a video are anomalous, the first and the last of them."""
    found = extent(labels, index, video)
    return f"{found[0]:,} ({found[1]} to {found[2]})" if found else "0"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _some(numbers: Sequence[int]) -> str:
    """How many, and the first few of them."""
    if not numbers:
        return "0"
    return f"{len(numbers)} ({', '.join(map(str, numbers[:_FEW]))}{', ...' if len(numbers) > _FEW else ''})"
