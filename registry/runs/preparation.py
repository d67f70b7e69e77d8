"""What is checked and opened before a run: its entry and data, then the engine and the store of the command."""

import re
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from registry.console import Console
from registry.data.datasets import Dataset, open_frames_of, open_scores_of, read_files
from registry.engines import open_engine
from registry.entries.loading import default_profile, load_entry
from registry.entries.plan import Plan, make_plan, rehearse
from registry.models.promotion import read_policy
from registry.runs.context import Request, RunContext, Session, Subset
from registry.runs.members import MemberStore
from registry.store.tracking import Tracking
from vad.data.frame_index import FrameIndex
from vad.data.frameset import Labels, Split
from vad.detectors.member import digest_of
from vad.errors import InputError
from vad.frames.store import SplitSource
from vad.system.files import replacing

PROXY_SEED = 20260101


def prepare(request: Request, data: Dataset | None = None) -> RunContext:
    """What running an entry on this data comes to. `data` is given where frames are open already.

    Raises InputError for all that is wrong with entry, data or labels; nothing is tracked yet.
    """
    read_policy()  # what decides on the registered model in the end
    loaded = load_entry(request.experiment, request.profile or default_profile(request.data), request.overrides)
    if not loaded.entry.members and request.data is None:
        data = open_scores_of(make_plan(loaded, labelled=True), request.labels, request.home, request.first_frame)
    elif data is None:
        data = open_frames_of(request.data, request.labels, request.home, request.first_frame)
    plan = make_plan(loaded, labelled=data.labels is not None)
    rehearse(plan, data.index)
    files, file_digests = read_files(plan, data.index)
    targets: tuple[Subset, ...]
    if data.frames is None:
        targets = (Subset("test", data.index, None),)
        return RunContext(request, loaded, plan, data, None, targets, data.labels, files, file_digests)

    targets = (Subset("test", data.index, SplitSource(data.frames.test)),)
    judge = data.labels
    train, held = _hold_out(plan, data.frames.train)
    if judge is None and held is not None:
        from vad.synthetic.painted import PaintedSource

        painted = PaintedSource(held, PROXY_SEED)
        targets += (Subset("proxy", painted.index, painted),)
        judge = Labels(painted.labels, "painted anomalies")
        data = replace(data, proxy=painted.digest)
        try:
            rehearse(plan, painted.index)
        except InputError as error:
            raise InputError(f"{error} (among the frames held out of training; a larger holdout helps too)") from None
    _require_samples(plan, train.index)
    subset = Subset("train", train.index, SplitSource(train))
    return RunContext(request, loaded, plan, data, subset, targets, judge, files, file_digests)


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


def announce(context: RunContext, console: Console) -> None:
    """Say what is about to run, on what."""
    data, loaded = context.data, context.loaded
    console.say(f"{context.plan.name} on {data.name} ({data.place}), profile {loaded.profile}")
    if loaded.profile != "full":
        console.say(
            "  This profile shortens the training: it shows how things work and says nothing about real footage."
        )
    say_settings(context, console)
    if context.train is not None:
        frames = f"{len(context.train.index):,} train frames, {len(data.index):,} test frames"
        console.say(f"  {frames}, {told_labels(data)}")


def say_settings(context: RunContext, console: Console) -> None:
    """Say what was set on the command line, and what a person must be told of the data."""
    if context.loaded.overrides:
        console.say(f"  set: {', '.join(context.loaded.overrides)}")
    for note in context.data.notes:
        console.say(f"  note: {note}")


def told_labels(data: Dataset) -> str:
    return f"labels from {data.labels.source}" if data.labels else "no labels: figures are proxies (see README)"


@contextmanager
def open_session(request: Request, console: Console) -> Iterator[Session]:
    """Engine and tracking store for the runs of one command. However the block ends, no run of it stays RUNNING."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    engine = open_engine(request.engine, request.gpu_share, device, console)
    tracking = Tracking(new=True)
    store = MemberStore(tracking, request.home, console)
    with closing(engine), tracking.ending_runs():
        yield Session(tracking, store, engine, device, request.home, console)


def mark_forced(contexts: Sequence[RunContext], console: Console) -> tuple[list[RunContext], Path | None]:
    """Give runs with FORCE the id of their command, or that of the interrupted command which this one resumes.

    Return the runs, and the file that holds the id, to be removed when all of them are finished; None without FORCE.
    """
    request = contexts[0].request
    if not request.force:
        return list(contexts), None
    file = request.home / "forced" / digest_of({"works": sorted(context.digest for context in contexts)})[:24]
    mark = file.read_text() if file.is_file() else ""
    if re.fullmatch("[0-9a-f]{32}", mark):
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(file.stat().st_mtime))
        console.say(
            f"  FORCE=1 resumes the forced run that was interrupted, begun {when} (delete {file} to start over)"
        )
    else:
        mark = uuid.uuid4().hex
        with replacing(file) as new:
            new.write_text(mark)
    return [replace(context, force_mark=mark) for context in contexts], file
