"""What belongs to one run of an entry: the request, the data, the plan, and where its time went."""

import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from registry.console import Console
from registry.data.datasets import Dataset
from registry.entries.loading import Loaded
from registry.entries.plan import Plan
from vad.data.frame_index import FrameIndex, Values
from vad.data.frameset import Labels
from vad.detectors.member import digest_of
from vad.frames.store import Source
from vad.system.files import replacing


@dataclass(frozen=True)
class Request:
    """What `vad run` was asked for."""

    experiment: str
    data: str | None = None
    labels: str | None = None
    profile: str | None = None
    overrides: tuple[str, ...] = ()
    force: bool = False
    home: Path = Path(".vad")
    engine: str = "local"
    gpu_share: float | None = None
    first_frame: int | None = None


@dataclass
class Seconds:
    """Where a run's time went, and how many frames it handled."""

    decode: float = 0.0
    train: float = 0.0
    score: float = 0.0
    decoded: int = 0
    trained: int = 0
    scored: int = 0

    def metrics(self) -> dict[str, float]:
        parts = (
            ("decode", self.decode, self.decoded),
            ("train", self.train, self.trained),
            ("score", self.score, self.scored),
        )
        seconds = {f"{name}_seconds": spent for name, spent, _ in parts}
        return seconds | {f"{name}_frames_per_second": count / spent for name, spent, count in parts if spent > 0}


@dataclass(frozen=True)
class Target:
    """Frames that every member scores: the test frames, or painted ones for a proxy."""

    name: str
    source: Source
    index: FrameIndex


@dataclass
class RunContext:
    """All that belongs to one run of an entry. `files` are the scores of streams that read a file, `file_digests` those files' SHA-256;
    `digest` is of all that decides the result. `forced` marks what a command with FORCE finishes."""

    request: Request
    loaded: Loaded
    plan: Plan
    data: Dataset
    train: Source | None
    train_index: FrameIndex | None
    targets: list[Target]
    judge: Labels | None
    files: dict[str, Values]
    file_digests: dict[str, str]
    digest: str
    seconds: Seconds = field(default_factory=Seconds)
    forced: str = ""

    def forced_tags(self) -> dict[str, str] | None:
        """The tag of what counts as finished under FORCE; None without, where everything does."""
        return {"vad.force": self.forced} if self.request.force else None

    @property
    def judged(self) -> Target | None:
        """The target whose labels decide: the test frames, or the painted ones where the test has no labels."""
        return self.targets[-1] if self.targets else None


def begin(works: Sequence[RunContext], console: Console) -> Path | None:
    """Mark forced runs with the id of their command, or with that of the interrupted command which this one resumes.

    Return the file to remove when all of them are finished; None without FORCE.
    """
    request = works[0].request
    if not request.force:
        return None
    place = request.home / "forced" / digest_of({"works": sorted(context.digest for context in works)})[:24]
    mark = place.read_text() if place.is_file() else ""
    if re.fullmatch("[0-9a-f]{32}", mark):
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(place.stat().st_mtime))
        console.say(
            f"  FORCE=1 resumes the forced run that was interrupted, begun {when} (delete {place} to start over)"
        )
    else:
        mark = uuid.uuid4().hex
        with replacing(place) as new:
            new.write_text(mark)
    for context in works:
        context.forced = mark
    return place
