"""What `vad data` prints: a data set looked at from end to end before anyone trains on it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from registry.console import Bar, plural, table
from registry.data.datasets import DEMO, labels_of
from vad.data.frameset import Labels
from vad.data.layouts import read_frameset
from vad.errors import InputError
from vad.frames.inspection import Fault, Report, inspect_frames
from vad.synthetic.street import make_street
from vad.system.files import names_in

_FEW = 8


@dataclass(frozen=True)
class Inspection:
    """What was found in a data set: `faults` are what keeps a run from using it."""

    report: Report
    labels: Labels | None
    faults: list[str]


def inspect(data: str | None, labels: str | None, home: Path, first_frame: int | None = None) -> Inspection:
    """Read every frame and the labels of a data set, or of the demo street."""
    root, name = (make_street(home / DEMO), DEMO) if data is None else (Path(data), None)
    frames = read_frameset(root, home / "index", name, strict=False)
    with Bar("inspect", len(frames.train) + len(frames.test)) as bar:
        report = inspect_frames(frames, bar.advance)
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
    return Inspection(report, known, list(dict.fromkeys(faults)))


def as_text(found: Inspection) -> str:
    """Return the inspection as a person reads it."""
    lines, known, faults = _text(found.report), found.labels, found.faults
    if known:
        share = f"{known.values.sum():,} of {len(known.values):,} test frames anomalous ({known.values.mean():.2%})"
        lines += [f"labels: {known.source}: {share}", *(f"note: {note}" for note in known.notes)]
    elif not faults:
        tables = [
            name for name in names_in(Path(found.report.root)) if name.lower().endswith((".csv", ".csv.gz", ".csv.zip"))
        ]
        hint = f"LABELS={tables[0]} takes those in {tables[0]}" if tables else "LABELS=path gives real ones"
        lines.append(f"labels: none found; runs will report a proxy AP ({hint})")
    if faults:
        return "\n".join([*lines, "", f"{plural(len(faults), 'fault')}:", *(f"  {fault}" for fault in faults)])
    return "\n".join([*lines, "every file can be read"])


def as_json(found: Inspection) -> str:
    """Return the inspection for programs: every video with its frame numbers, sizes and faults."""
    report, known = found.report, found.labels
    videos = [{"split": s.name, **asdict(video)} for s in (report.train, report.test) for video in s.videos]
    anomalous = (
        {"source": known.source, "frames": len(known.values), "anomalous": int(known.values.sum())} if known else None
    )
    about = {"name": report.name, "root": report.root, "faults": found.faults, "notes": report.notes}
    return json.dumps({**about, "labels": anomalous, "videos": videos}, indent=2, default=str)


def _by_folder(faults: Sequence[Fault]) -> Iterator[str]:
    """A line for each folder and reason: what is wrong with one frame is wrong with all, as a rule."""
    alike: dict[tuple[Path, str], list[Fault]] = {}
    for fault in faults:
        alike.setdefault((fault.path.parent, fault.reason.replace(str(fault.path), "")), []).append(fault)
    for (folder, _), same in alike.items():
        path, reason = same[0].path, same[0].reason
        line = reason if str(path) in reason else f"{path}: {reason}"
        yield line if len(same) == 1 else f"{folder}: {len(same):,} files as this one: {line}"


def _text(report: Report) -> list[str]:
    lines = [f"{report.name} ({report.root})", ""]
    rows = []
    for split in (report.train, report.test):
        for v in split.videos:
            numbers = f"{v.first} to {v.last}" if v.first is not None else "-"
            sizes = ", ".join(map(_size, v.sizes)) or "-"
            upside_down = _some(v.upside_down) if split.name == "test" else "-"
            rows.append(
                [split.name, v.name, v.frames, numbers, _some(v.missing), sizes, len(v.unreadable), upside_down]
            )
    header = ["split", "video", "frames", "numbers", "missing", "size", "unreadable", "upside down"]
    lines += [table(header, rows, right=(1, 2, 6)), ""]
    for split in (report.train, report.test):
        lines.append(f"{split.name}: {plural(len(split.videos), 'video')}, {plural(split.frames, 'frame')}")
    flipped = sum(len(video.upside_down) for video in report.test.videos)
    turned = "; entries with `repair: flips` turn them back" if flipped else ""
    lines.append(f"upside down: {flipped:,} test frames ({flipped / max(report.test.frames, 1):.1%}){turned}")
    return [*lines, *(f"note: {note}" for note in report.notes)]


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _some(numbers: Sequence[int]) -> str:
    """How many, and the first few of them."""
    if not numbers:
        return "0"
    return f"{len(numbers)} ({', '.join(map(str, numbers[:_FEW]))}{', ...' if len(numbers) > _FEW else ''})"
