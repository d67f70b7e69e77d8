"""A run of an entry before it begins: what was asked for, what that comes to, and what all runs of one command share."""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from registry.console import Bar, detail, say
from registry.data.datasets import Dataset, open_frames_of, open_scores_of, read_files
from registry.engines.base import Engine, open_engine
from registry.entries.loading import Loaded, default_profile, load_entry
from registry.entries.plan import Plan, make_plan, rehearse
from registry.models.promotion import read_policy
from registry.runs.members import MemberStore
from registry.signals import was_stopped
from registry.store.runlog import RunLog
from registry.store.tracking import Tracking
from vad.data.frame_index import FrameIndex, Values
from vad.data.frameset import Labels, Split
from vad.detectors.member import SCORING_CODE, TRAINING_CODE, Member, digest_of, named_code
from vad.errors import InputError
from vad.frames.store import Frames, SplitSource
from vad.images.decode import RESIZE_FILTER
from vad.inputs import Samples
from vad.system.devices import device
from vad.system.files import replacing

PROXY_SEED = 20260101


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
    source: SplitSource | None

    @property
    def digest(self) -> str:
        return self.source.digest if self.source else ""


@dataclass(frozen=True)
class RunContext:
    """All that decides one run of an entry.

    `targets` are the frames that every member scores: the test frames and, where these have no labels, held-out frames with painted anomalies.
    `judge` are the labels of the last target. `files` are the scores of streams that read a file, `file_digests` those
    files' SHA-256. `force_mark` is the id of the forced command, which reruns everything.
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
        """The tag that finished runs and members need to be reused; empty without FORCE, where all can be."""
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


def prepare(request: Request, data: Dataset | None = None) -> RunContext:
    """What running an entry comes to; `data` is given where frames are open already. Raises InputError; tracks nothing yet."""
    read_policy()  # what decides on the registered model in the end
    loaded = load_entry(request.experiment, request.profile or default_profile(request.data), request.overrides)
    if not loaded.entry.members and request.data is None:
        data = open_scores_of(make_plan(loaded, labelled=True), request.labels, request.home, request.first_frame)
    elif data is None:
        data = open_frames_of(request.data, request.labels, request.home, request.first_frame)
    plan = make_plan(loaded, labelled=data.labels is not None)
    rehearse(plan, data.index)
    files, file_digests = read_files(plan, data.index)
    if data.frames is None:
        test = Subset("test", data.index, None)
        return RunContext(request, loaded, plan, data, None, (test,), data.labels, files, file_digests)

    targets = [Subset("test", data.index, SplitSource(data.frames.test))]
    judge = data.labels
    train, held = _hold_out(plan, data.frames.train)
    if judge is None and held is not None:
        from vad.synthetic.painted import PaintedSource

        painted = PaintedSource(held, PROXY_SEED)
        targets.append(Subset("proxy", painted.index, painted))
        judge = Labels(painted.labels, "painted anomalies")
        data = replace(data, proxy=painted.digest)
        try:
            rehearse(plan, painted.index)
        except InputError as error:
            raise InputError(f"{error} (among the frames held out of training; a larger holdout helps too)") from None
    _require_samples(plan, train.index)
    subset = Subset("train", train.index, SplitSource(train))
    return RunContext(request, loaded, plan, data, subset, tuple(targets), judge, files, file_digests)


def _hold_out(plan: Plan, split: Split) -> tuple[Split, Split | None]:
    """The train frames that members see, and the last ones of each video, which they do not."""
    if not (plan.holdout and plan.members):
        return split, None
    seen = {v.id: slice(0, len(v.numbers) - round(len(v.numbers) * plan.holdout)) for v in split.videos}
    held = split.slice({video: slice(part.stop, None) for video, part in seen.items()})
    if not held.videos:
        longest = max(len(video.numbers) for video in split.videos)
        raise InputError(
            f"{plan.name}: holdout: {plan.holdout:g} of a train video of {longest} frames is no frame; choose a larger one"
        )
    return split.slice(seen), held


def _require_samples(plan: Plan, index: FrameIndex) -> None:
    """Raise InputError where a member has no sample to train on, or a last batch on which it cannot."""
    for member in plan.members.values():
        count = len(member.kind_of_input().reach(index, training=True))
        if not count:
            longest = max((span.stop - span.start for span in index.spans), default=0)
            raise InputError(
                f"{plan.name}: members.{member.group}: input {member.input.name} finds no sample in the train videos, whose "
                f"longest has {longest} frames; it needs longer ones (with break_at_gaps, longer without a gap) or an input that looks at fewer"
            )
        size = member.training.batch_size
        if count % size == 1 % size:  # a batch of one, on which batch norm over 1 x 1 maps cannot train
            try:
                with torch.no_grad():
                    member.build().train()(torch.zeros(1, *member.kind_of_input().shape(member.size).sides))
            except ValueError as error:
                raise InputError(
                    f"{plan.name}: members.{member.group}.batch_size: {size} leaves one of {count:,} samples for the last "
                    f"batch, on which this network cannot train ({error}); choose another"
                ) from None


def announce(context: RunContext) -> None:
    """Say what is about to run, on what."""
    data, loaded = context.data, context.loaded
    say(f"{context.plan.name} on {data.name} ({data.place}), profile {loaded.profile}")
    if loaded.profile != "full":
        say(
            "  This profile shortens the training: use it to try things out; its figures say nothing about real footage."
        )
    say_settings(context)
    if context.train is not None:
        frames = f"{len(context.train.index):,} train frames, {len(data.index):,} test frames"
        say(f"  {frames}, {told_labels(data)}")


def say_settings(context: RunContext) -> None:
    """Say what was set on the command line, and what a person must be told of the data."""
    if context.loaded.overrides:
        say(f"  set: {', '.join(context.loaded.overrides)}")
    for note in context.data.notes:
        say(f"  note: {note}")


def told_labels(data: Dataset) -> str:
    return f"labels from {data.labels.source}" if data.labels else "no labels: figures are proxies (see docs/data.md)"


@dataclass(frozen=True)
class Session:
    """What the runs of one command share.

    `maps` are the decoded frames, by the digest of their source and by size. `failed` says why members and experiments
    failed, by digest.
    """

    tracking: Tracking
    store: MemberStore
    engine: Engine
    device: torch.device
    home: Path
    maps: dict[tuple[str, int], Frames] = field(default_factory=dict)
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
            say(f"  {waiting}; waiting for that")
            held = lock.acquire()
        with held:
            yield True

    def samples(self, member: Member, subset: Subset, *, training: bool = False) -> Samples:
        """A member's samples of these frames. Those that are slow to make are made once, and kept beside the frames."""
        frames = self.maps[subset.digest, member.size]
        samples = member.kind_of_input().samples(frames, subset.index, self.device, training=training)
        if samples.slow:
            place = self.home / "frames" / f"{subset.digest[:24]}-{member.size}-{RESIZE_FILTER}"
            with Bar(f"{member.input.name}", len(subset.index)) as bar:
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


@contextmanager
def open_session(contexts: Sequence[RunContext]) -> Iterator[tuple[Session, list[RunContext]]]:
    """Engine and tracking store for the runs of one command, and the runs. However the block ends, none stays RUNNING."""
    request = contexts[0].request
    engine = open_engine(request.engine, request.gpu_share, chosen := device())
    detail(f"device {chosen}, engine {request.engine}")
    tracking = Tracking(new=True)
    store = MemberStore(tracking, request.home)
    session = Session(tracking, store, engine, chosen, request.home)
    digest = digest_of({"works": sorted(context.digest for context in contexts)})
    file = request.home / "forced" / digest[:24]
    mark = _force_mark(file) if request.force else ""
    with closing(engine), tracking.ending_runs():
        yield session, [replace(context, force_mark=mark) for context in contexts]
    if request.force and not session.failed:
        file.unlink(missing_ok=True)


def _force_mark(file: Path) -> str:
    """The id of a command with FORCE, or that of the interrupted command which this one resumes, from its file."""
    if file.is_file():
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(file.stat().st_mtime))
        said = f"FORCE=1 resumes the forced run that was interrupted, begun {when}"
        say(f"  {said} (delete {file} to start over)")
        return file.read_text()
    with replacing(file) as new:
        new.write_text(uuid.uuid4().hex)
    return file.read_text()
