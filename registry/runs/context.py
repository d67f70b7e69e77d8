"""A run of an entry before it begins: what was asked for, what that comes to, and what all runs of one command share."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from registry.console import plural, say
from registry.data.datasets import Dataset, open_frames_of, open_scores_of, read_files
from registry.entries.entry import PROXY
from registry.entries.loading import Loaded, default_profile, load_entry
from registry.entries.plan import Plan, make_plan, rehearse
from registry.models.production import read_policy
from registry.store.paths import writable
from vad.data.frame_index import FrameIndex, Values
from vad.data.frameset import Labels, Split
from vad.detectors.kinds import make_detector
from vad.detectors.member import digest_of
from vad.errors import InputError
from vad.frames.repaired import TrainRepairs
from vad.frames.store import SplitSource, frame_size
from vad.images.view import View
from vad.repair import FittedRepair

PROXY_SEED = 20260101
_LEAST_HELD_OUT = 2  # one to paint an anomaly into, and one without


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
    """Frames to train on or to score. `source` is None where only files of scores name the frames.

    `repairs` are applied to test frames; train frames have none.
    """

    name: str
    index: FrameIndex
    source: SplitSource | None
    repairs: TrainRepairs | None = None

    @property
    def digest(self) -> str:
        return self.source.digest if self.source else ""

    @property
    def seen_digest(self) -> str:
        """Digest of the frames as members see them, repaired."""
        if self.repairs is None:
            return self.digest
        return digest_of({"frames": self.digest, "repairs": [repair.digest for repair in self.repairs.fitted]})

    def view(self, view: View) -> View:
        """Return this view of these frames."""
        return view.repaired(self.repairs.fitted) if self.repairs else view


@dataclass(frozen=True)
class RunContext:
    """All that decides one run of an entry.

    `targets` are the frames that every member scores: the test frames and, where these have no labels or the entry chooses without
    them, held-out frames with painted anomalies, `painted` their labels.
    `normal` are train frames that fitted members look at once more where scores are calibrated: those held out, else all.
    `labels` are those that metrics are of: those of the test frames, else `painted`. `files` are the scores of streams that read a file, `file_digests` those
    files' SHA-256.
    """

    request: Request
    loaded: Loaded
    plan: Plan
    data: Dataset
    train: Subset | None
    normal: Subset | None
    targets: tuple[Subset, ...]
    labels: Labels | None
    painted: Labels | None
    files: dict[str, Values]
    file_digests: dict[str, str]
    timing: Timing = field(default_factory=Timing, compare=False)

    @property
    def train_digest(self) -> str:
        return self.train.digest if self.train else ""

    @property
    def labelled(self) -> Subset:
        """The target that metrics are of: the test frames, or the painted ones where the test has no labels."""
        return self.targets[self.labelled_at]

    @property
    def labelled_at(self) -> int:
        """The place of `labelled` among the targets."""
        return 0 if self.data.labels else len(self.targets) - 1

    @property
    def brief(self) -> bool:
        """Whether the profile shortened a training; there is none where all members are banks."""
        return self.loaded.profile != "full" and any(member.training for member in self.plan.members.values())

    @property
    def repairs(self) -> tuple[FittedRepair, ...]:
        """The fitted repairs of test frames; train frames must be decoded."""
        test = self.targets[0]
        return test.repairs.fitted if test.repairs else ()

    def scores_digest(self, member: str, subset: Subset) -> str:
        """Return the digest of what determines a member's scores besides the member: its view of these frames, and calibration."""
        about = {"frames": subset.seen_digest}
        if subset is self.normal:
            about["neighbours"] = "left out"
        if self.normal is not None and self.plan.calibrated_maps(member):
            about["calibrated by"] = self.normal.digest
        return digest_of(about) if len(about) > 1 else subset.seen_digest

    @cached_property
    def digest(self) -> str:
        """Digest of all that decides the result."""
        return self.plan.digest(self.file_digests, self.data.protocol())

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
    frame = (frame_size(data.frames.train),) if data.frames else ()
    plan = make_plan(loaded, data.labels is not None, *frame)
    rehearse(plan, data.index)
    files, file_digests = read_files(plan, data.index)
    if data.frames is None:
        test = Subset("test", data.index, None)
        return RunContext(request, loaded, plan, data, None, None, (test,), data.labels, None, files, file_digests)

    painted = None
    train, held = _hold_out(plan, data.frames.train)
    source = SplitSource(train)
    repairs = TrainRepairs(plan.repair, source, train.index, request.home / "frames") if plan.repair else None
    targets = [Subset("test", data.index, SplitSource(data.frames.test), repairs)]
    if held is not None and (data.labels is None or plan.choose == PROXY):
        from vad.synthetic.found_damage import find_damage
        from vad.synthetic.painted import PaintedSource

        damage = find_damage(data.frames.test, data.frames.train, writable(request.home / "frames"))
        frames = PaintedSource(held, PROXY_SEED, damage)
        targets.append(Subset("proxy", frames.index, frames, repairs))
        notes = []
        if damage is not None:
            shares = f"{(damage.noise > 0).mean():.0%} noisy, {damage.flipped.mean():.0%} upside down"
            notes.append(f"painted frames are as the test frames: {shares}")
        painted = Labels(frames.labels, "painted anomalies", notes=tuple(notes))
        data = data if data.labels else replace(data, proxy=frames.digest)
        try:
            rehearse(plan, frames.index)
        except InputError as error:
            raise InputError(f"{error} (among the frames held out of training; a larger holdout helps too)") from None
    _require_samples(plan, train.index)
    subset = Subset("train", train.index, source)
    normal = subset if held is None else Subset("held-out", held.index, SplitSource(held))
    labels = data.labels or painted
    return RunContext(request, loaded, plan, data, subset, normal, tuple(targets), labels, painted, files, file_digests)


def _hold_out(plan: Plan, split: Split) -> tuple[Split, Split | None]:
    """The train frames that members see, and the last ones of each video, which they do not."""
    if not (plan.holdout and plan.members):
        return split, None
    seen = {v.id: slice(0, len(v.numbers) - round(len(v.numbers) * plan.holdout)) for v in split.videos}
    held = split.slice({video: slice(part.stop, None) for video, part in seen.items()})
    if (count := sum(len(video.numbers) for video in held.videos)) < _LEAST_HELD_OUT:
        kept = f"{plan.holdout:g} of the train videos ({len(split):,} frames) is {plural(count, 'frame')}"
        raise InputError(
            f"{plan.where('holdout')}: holdout: {kept}, but at least {_LEAST_HELD_OUT} are needed; choose a larger one"
        )
    return split.slice(seen), held


def _require_samples(plan: Plan, index: FrameIndex) -> None:
    """Raise InputError where a member has no sample to train on, or a last batch on which it cannot."""
    for member in plan.members.values():
        count = len(member.kind_of_input().reach(index, training=True))
        if not count:
            longest = max((span.stop - span.start for span in index.spans), default=0)
            raise InputError(
                f"{plan.where('members', member.group)}: members.{member.group}: input {member.input.name} finds no sample in the train videos, whose "
                f"longest has {longest} frames; it needs longer ones (with break_at_gaps, longer without a gap) or an input that looks at fewer"
            )
        try:
            make_detector(member).require_samples(count)
        except InputError as error:
            raise InputError(f"{plan.where('members', member.group)}: members.{member.group}.{error}") from None


def announce(context: RunContext) -> None:
    """Say what is about to run, on what."""
    data, loaded = context.data, context.loaded
    say(f"{context.plan.name} on {data.name} ({data.place}), profile {loaded.profile}")
    if loaded.profile != "full":
        say(
            "  This profile shortens the training: use it to try things out; its metrics say nothing about real footage."
        )
    say_settings(context)
    if context.train is not None:
        frames = f"{len(context.train.index):,} train frames, {len(data.index):,} test frames"
        say(f"  {frames}, {told_labels(data)}")


def say_settings(context: RunContext) -> None:
    """Print what was set on the command line, and the notes on the data."""
    if context.loaded.overrides:
        say(f"  set: {', '.join(context.loaded.overrides)}")
    for note in context.data.notes + (context.painted.notes if context.painted else ()):
        say(f"  note: {note}")


def told_labels(data: Dataset) -> str:
    return f"labels from {data.labels.source}" if data.labels else "no labels: metrics are proxies (see docs/data.md)"
