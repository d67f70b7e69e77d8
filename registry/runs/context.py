"""What a run of an entry works on (the request, the data, the plan), and what all runs of one command share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from registry.console import Console
from registry.data.datasets import Dataset
from registry.engines import Engine
from registry.entries.loading import Loaded
from registry.entries.plan import Plan
from registry.runs.members import MemberStore
from registry.signals import was_stopped
from registry.store.runlog import RunLog
from registry.store.tracking import Tracking
from vad.data.frame_index import FrameIndex, Values
from vad.data.frameset import Labels
from vad.detectors.member import SCORING_CODE, TRAINING_CODE, Member, digest_of, named_code
from vad.frames.store import Frames, Source
from vad.images.decode import RESIZE_FILTER
from vad.inputs import Samples

FrameMaps = dict[tuple[str, int], Frames]
"""Memory maps of decoded frames, by the digest of their source and by their size."""


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


class Timing:
    """The seconds that a run spent decoding, training and scoring, and the frames that it handled meanwhile."""

    def __init__(self) -> None:
        self._parts = dict.fromkeys(("decode", "train", "score"), (0.0, 0))

    def add(self, part: str, seconds: float, frames: int) -> None:
        before = self._parts[part]
        self._parts[part] = before[0] + seconds, before[1] + frames

    def metrics(self) -> dict[str, float]:
        seconds = {f"{part}_seconds": spent for part, (spent, _) in self._parts.items()}
        rates = {f"{part}_frames_per_second": n / spent for part, (spent, n) in self._parts.items() if spent > 0}
        return seconds | rates


@dataclass(frozen=True)
class Subset:
    """Frames to train on or to score. `source` is None where only files of scores name the frames."""

    name: str
    index: FrameIndex
    source: Source | None

    @property
    def digest(self) -> str:
        return self.source.digest if self.source else ""


@dataclass(frozen=True)
class RunContext:
    """All that decides one run of an entry.

    `targets` are what every member scores: the test frames, and painted frames where nobody labelled the test frames.
    `judge` are the labels of the last target. `files` are the scores of streams that read a file, `file_digests` those
    files' SHA-256. `force_mark` is the id of the command that runs all anew.
    """

    request: Request
    loaded: Loaded
    plan: Plan
    data: Dataset
    train: Subset | None
    targets: tuple[Subset, ...]
    judge: Labels | None
    files: dict[str, Values]
    file_digests: dict[str, str]
    force_mark: str = ""
    timing: Timing = field(default_factory=Timing, compare=False)

    @property
    def train_digest(self) -> str:
        return self.train.digest if self.train else ""

    @property
    def judged(self) -> Subset:
        """The target whose labels decide: the test frames, or the painted ones where the test has no labels."""
        return self.targets[-1]

    @property
    def force_tags(self) -> dict[str, str]:
        """The tag that finished runs and members must have to count; none without FORCE, where all of them count."""
        return {"vad.force": self.force_mark} if self.request.force else {}

    @cached_property
    def digest(self) -> str:
        """Digest of all that decides the result."""
        about = {
            "name": self.plan.name,
            "plan": self.plan.settings(),
            "files": self.file_digests,
            "protocol": self.data.protocol(),
            "code": [TRAINING_CODE, SCORING_CODE],
        }
        return digest_of(about | named_code(self.plan.code()))

    @cached_property
    def member_digests(self) -> dict[str, str]:
        return {name: member.digest(self.train_digest) for name, member in self.plan.members.items()}


@dataclass(frozen=True)
class Session:
    """What the runs of one command share. `failed` says why members could not be trained, by digest."""

    tracking: Tracking
    store: MemberStore
    engine: Engine
    device: torch.device
    home: Path
    console: Console
    failed: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def lock(self, digest: str, waiting: str | None = None) -> Iterator[bool]:
        """Let one process of this folder train a member, or run an experiment; yield whether it is this one.

        With `waiting`, say so and wait for the process that holds the lock; look again then for what it made. A process
        that waits must not hold a member's lock.
        """
        lock = FileLock(self.home / "locks" / digest)
        try:
            held = lock.acquire(blocking=False)
        except Timeout:
            if waiting is None:
                yield False
                return
            self.console.say(f"  {waiting}; waiting for that")
            held = lock.acquire()
        with held:
            yield True

    def state(self, digest: str) -> Path:
        """The file with the state of a training that is not finished."""
        return self.home / "resume" / f"{digest}.safetensors"

    def samples(self, member: Member, subset: Subset, maps: FrameMaps, *, training: bool = False) -> Samples:
        """A member's samples of these frames. Those that are slow to make are made once, and kept beside the frames."""
        frames = maps[subset.digest, member.size]
        samples = member.kind_of_input().samples(frames, subset.index, self.device, training=training)
        if samples.slow:
            place = self.home / "frames" / f"{subset.digest[:24]}-{member.size}-{RESIZE_FILTER}"
            with self.console.bar(f"{member.input.name}", len(subset.index)) as bar:
                samples.keep(place, bar.advance)
        return samples


@contextmanager
def ended(log: RunLog) -> Iterator[RunLog]:
    """Give a run the status by which the block ends."""
    try:
        yield log
    except BaseException as error:
        log.end("KILLED" if was_stopped(error) or isinstance(error, GeneratorExit) else "FAILED")
        raise
    log.end("FINISHED")
