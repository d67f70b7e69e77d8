"""What is known before anything is trained: a checked run context, and how long the work takes."""

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from registry.console import Console
from registry.data.datasets import Dataset, open_frames_of, open_scores_of, read_files
from registry.entries.loading import default_profile, load_entry
from registry.entries.plan import Plan, make_plan, rehearse
from registry.models.promotion import read_policy
from registry.runs.context import Request, RunContext, Target
from vad.data.frame_index import FrameIndex
from vad.data.frameset import Labels
from vad.detectors.member import SCORING_CODE, TRAINING_CODE, Member, digest_of, named_code
from vad.detectors.training.trainer import Diverged, train
from vad.errors import InputError
from vad.frames.store import SplitSource
from vad.inputs import Batch, Positions, Samples, Window

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
    train, targets, judge = None, [], data.labels
    if data.frames is not None:
        split, targets = data.frames.train, [Target("test", SplitSource(data.frames.test), data.index)]
        if plan.holdout and plan.members:
            keep = {v.id: slice(0, len(v.numbers) - round(len(v.numbers) * plan.holdout)) for v in split.videos}
            held = split.slice({video: slice(part.stop, None) for video, part in keep.items()})
            if not len(held.videos):
                longest = max(len(video.numbers) for video in split.videos)
                raise InputError(
                    f"{plan.name}: holdout: {plan.holdout:g} of a train video of {longest} frames is no frame; choose a larger one"
                )
            split = split.slice(keep)
            if judge is None:
                from vad.synthetic.painted import PaintedSource

                painted = PaintedSource(held, PROXY_SEED)
                targets.append(Target("proxy", painted, painted.index))
                judge = Labels(painted.labels, "painted anomalies")
                data = replace(data, proxy=painted.digest)
                _require_scores(plan, painted.index)
        _require_samples(plan, split.index)
        train = SplitSource(split)
    digest = digest_of(
        {
            "name": plan.name,
            "plan": plan.settings(),
            "files": file_digests,
            "protocol": data.protocol(),
            "code": [TRAINING_CODE, SCORING_CODE],
            **named_code(plan.code()),
        }
    )
    index = split.index if train else None
    return RunContext(request, loaded, plan, data, train, index, targets, judge, files, file_digests, digest)


def announce(context: RunContext, console: Console) -> None:
    """Say what is about to run, on what."""
    data, loaded = context.data, context.loaded
    console.say(f"{context.plan.name} on {data.name} ({data.place}), profile {loaded.profile}")
    if loaded.profile != "full":
        console.say(
            "  This profile shortens the training: it shows how things work and says nothing about real footage."
        )
    if loaded.overrides:
        console.say(f"  set: {', '.join(loaded.overrides)}")
    if data.frames is None or context.train is None:
        return
    for note in data.notes:
        console.say(f"  note: {note}")
    labels = f"labels from {data.labels.source}" if data.labels else "no labels: figures are proxies (see docs/data.md)"
    console.say(f"  {len(context.train):,} train frames, {len(data.index):,} test frames, {labels}")


def _require_samples(plan: Plan, index: FrameIndex) -> None:
    """Every member must have something to train on."""
    for member in plan.members.values():
        count = len(member.kind_of_input().reach(index, training=True))
        if not count:
            longest = max((span.stop - span.start for span in index.spans), default=0)
            raise InputError(
                f"{plan.name}: members.{member.group}: input {member.input.name} finds no sample in the train videos, whose "
                f"longest has {longest} frames; it needs longer ones (with break_at_gaps, longer without a gap) or an input that looks at fewer"
            )
        if count % (size := member.training.batch_size) == 1 % size:
            _require_batch_of_one(plan, member, count)


def _require_batch_of_one(plan: Plan, member: Member, count: int) -> None:
    """Raise InputError where the last batch has one sample and the network cannot train on it (batch norm over 1 x 1 maps)."""
    try:
        with torch.no_grad():
            member.build().train()(torch.zeros(1, *member.kind_of_input().shape(member.size).sides))
    except ValueError as error:
        size = member.training.batch_size
        raise InputError(
            f"{plan.name}: members.{member.group}.batch_size: {size} leaves one of {count:,} samples for the last batch, "
            f"on which this network cannot train ({error}); choose another"
        ) from None


def _require_scores(plan: Plan, index: FrameIndex) -> None:
    try:
        rehearse(plan, index)
    except InputError as error:
        raise InputError(f"{error} (among the frames held out of training; a larger holdout helps too)") from None


# Batches that are timed, and pixels in each at most. A pass that only scores takes about a third of a training step.
_BATCHES, _PIXELS, _SCORING = 3, 2**19, 1 / 3


class Noise(Samples):
    """Some batches of a member's shape, for the clock alone."""

    def __init__(self, member: Member, batch: int, device: torch.device):
        count = _BATCHES * batch
        index = FrameIndex(np.zeros(count, np.int64), np.arange(count))
        super().__init__(np.empty(0, np.uint8), index, device, Window(), training=True)
        shape = member.kind_of_input().shape(member.size)
        self._given = torch.rand(batch, *shape.sides, device=device)
        frame = (shape.channels, shape.size, shape.size)
        self._target = self._given if shape.kind != "sequence" else torch.rand(batch, *frame, device=device)

    def batch(self, which: Positions) -> Batch:
        return Batch(self._given, self._target)


class Estimator:
    """Seconds of training and scoring by member; each kind of network is timed once."""

    def __init__(self, device: torch.device):
        self._device = device
        self._known: dict[str, float] = {}

    def seconds(self, members: Iterable[Member], train: FrameIndex, scored: Sequence[FrameIndex]) -> float:
        """Of training on these frames for all epochs (early stopping may make it less) and scoring those, roughly."""
        total = 0.0
        for member in members:
            kind = member.kind_of_input()
            passes = len(kind.reach(train, training=True)) * member.training.epochs
            total += self._sample(member) * (passes + _SCORING * sum(len(kind.reach(index)) for index in scored))
        return total

    def _sample(self, member: Member) -> float:
        settings = {key: value for key, value in member.settings().items() if key not in ("seed", "epochs", "lr")}
        key = repr(sorted(settings.items(), key=lambda item: item[0]))
        if key not in self._known:
            self._known[key] = self._time(member)
        return self._known[key]

    def _time(self, member: Member) -> float:
        batch = min(member.training.batch_size, max(2, _PIXELS // member.size**2))
        recipe = replace(member.training, epochs=1, patience=None, batch_size=batch)
        ends: list[float] = []

        def tell(count: int, loss: Tensor) -> None:
            loss.item()  # waits for a GPU
            ends.append(time.perf_counter())

        # The first batch warms up; of the others the fastest counts, as other work on the machine only slows.
        with contextlib.suppress(Diverged):  # noise may do that, and the training itself will say so
            train(member.build(), Noise(member, batch, self._device), recipe, 0, self._device, on_batch=tell)
        return min(end - start for start, end in pairwise(ends)) / batch
