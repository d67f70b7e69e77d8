"""An entry resolved: the members to have, the streams and variants to compute, every default filled in."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from registry.entries.entry import BEST, PROXY, StreamSpec, VariantSpec
from registry.entries.loading import Loaded
from vad.catalog import Named
from vad.data.frame_index import FrameIndex
from vad.detectors.kinds import make_detector
from vad.detectors.member import SCORING_CODE, TRAINING_CODE, Member, digest_of, models, named_code
from vad.detectors.training.recipe import Training
from vad.errors import InputError
from vad.images.view import Region, View, sides
from vad.inputs import INPUTS
from vad.repair import REPAIRS
from vad.scoring.pipeline import Fusion, Scored, Stream, Variant, code_of_steps, run_pipeline
from vad.scoring.reductions import FrameScore, MapScore, try_out
from vad.user_code import place_of, told

# Where there is no data yet: the sides of `aspect: keep` are of a frame like this.
_USUAL_FRAME = (360, 640)
# Held out of training where there are no labels or the entry wants none, so that anomalies can be painted into unseen frames.
HOLDOUT_WITHOUT_LABELS = 0.1
_NAMED = re.compile(r'(stream|variant) "([^"]+)"')  # with which the faults of a pipeline begin


@dataclass(frozen=True)
class Plan:
    """What running an entry means, in `vad`'s terms."""

    name: str
    members: dict[str, Member]
    streams: dict[str, Stream]
    variants: dict[str, Variant]
    holdout: float
    where: Callable[..., str]  # file and line of a key of the entry, given part by part
    repair: tuple[Named, ...] = ()
    choose: str = BEST

    def sizes(self) -> list[str]:
        views = {member.view for member in self.members.values()}
        return [view.label for view in sorted(views, key=lambda view: (view.height * view.width, view.label))]

    def scores(self, member: str, *, of_train: bool = False) -> list[FrameScore]:
        """How this member's frames are scored; `of_train`: by those streams alone that need the scores of train frames too."""
        streams = self._looking_at_train() if of_train else self.streams
        return list({s.error: None for s in streams.values() if s.error and member in s.members})

    def calibrated_maps(self, member: str) -> list[str]:
        """The kinds of this member's maps that are calibrated by train frames."""
        return sorted({s.map for s in self.scores(member) if isinstance(s, MapScore) and s.calibrate})

    def needs_train_frames(self, member: str) -> bool:
        """Whether scores of test frames need this member to look at train frames once it is fitted."""
        return bool(self.calibrated_maps(member) or self.scores(member, of_train=True))

    def _looking_at_train(self) -> dict[str, Stream]:
        names = {name for v in self.variants.values() if v.looks_at_train(self.streams) for name in v.streams}
        return {name: self.streams[name] for name in sorted(names)}

    def settings(self) -> dict[str, Any]:
        """All that decides the results but the frames, as plain values; comments and spelling are gone."""
        return {
            "members": {name: member.settings() for name, member in self.members.items()},
            "streams": {
                name: {
                    "members": list(s.members),
                    "error": s.error and s.error.plain(),
                    **({"scores": Path(s.file).name} if s.file else {}),
                    "steps": [step.plain() for step in s.steps],
                }
                for name, s in self.streams.items()
            },
            "variants": {
                name: {
                    "fuse": {v.kind: dict(zip(v.streams, v.weights, strict=True)) if v.weights else list(v.streams)},
                    "steps": [step.plain() for step in v.steps],
                }
                for name, v in self.variants.items()
            },
            "holdout": self.holdout,
            **({"repair": [repair.plain() for repair in self.repair]} if self.repair else {}),
            **({"choose": self.choose} if self.choose != BEST else {}),
        }

    def digest(self, file_digests: Mapping[str, str], protocol: str) -> str:
        """Digest of all that decides the result of a run: this plan, the files that it reads, frames and labels, the code."""
        about = {
            "name": self.name,
            "plan": self.settings(),
            "files": dict(file_digests),
            "protocol": protocol,
            "code": [TRAINING_CODE, SCORING_CODE],
        }
        return digest_of(about | named_code(self.code()))

    def pretrained(self) -> bool:
        """Whether any of its inputs computes with weights that were trained on other data."""
        return any(member.kind_of_input().pretrained for member in self.members.values())

    def code(self) -> dict[str, str]:
        """The code of its blocks that its digest holds, as `Catalog.code` gives it."""
        found = code_of_steps(self.streams.values(), self.variants.values())
        for member in self.members.values():
            found |= member.code()
        for repair in self.repair:
            found |= REPAIRS.code(repair.name)
        return dict(sorted(found.items()))


def make_plan(loaded: Loaded, labelled: bool, frame: tuple[int, int] = _USUAL_FRAME) -> Plan:
    """Resolve an entry for this data: labels decide `holdout: auto`, (height, width) of a frame the sides of `aspect: keep`."""
    entry = loaded.entry
    members = {}
    for group, spec in entry.members.items():
        options = tuple(models()[spec.model].bind(spec.model, spec.model_extra or {}).items())
        region = None if spec.region is None else tuple(spec.region)
        colour = INPUTS.make(spec.input).colour
        view = View(*sides(spec.size, spec.aspect == "keep", _part(frame, region)), colour, cast(Region | None, region))
        training = None
        if spec.batch_size is not None:
            own = {name: value for name, value in spec.train if name in spec.train.model_fields_set}
            training = Training(**{**dict(entry.train), **own}, batch_size=spec.batch_size)
        seeds: list[int | None] = [*spec.seeds] if spec.seeds else [None]
        for seed in seeds:
            member = Member(group, spec.model, options, spec.input, view, seed, training, spec.init)
            members[member.name] = member
    streams = {name: _stream(spec, loaded, members) for name, spec in entry.streams.items()}
    variants = {name: _variant(spec) for name, spec in entry.variants.items()}
    painted = members and (entry.choose == PROXY or not labelled)
    holdout = entry.holdout if entry.holdout != "auto" else HOLDOUT_WITHOUT_LABELS if painted else 0.0
    return Plan(entry.name, members, streams, variants, float(holdout), loaded.where, tuple(entry.repair), entry.choose)


def _part(frame: tuple[int, int], region: tuple[float, ...] | None) -> tuple[int, int]:
    """Height and width of this part of a frame."""
    left, top, right, bottom = region or (0, 0, 1, 1)
    return round(frame[0] * (bottom - top)), round(frame[1] * (right - left))


def rehearse(plan: Plan, index: FrameIndex | None = None) -> dict[str, int]:
    """Build every kind of network, try the user's own, and run every step on made-up scores of `index`; parameters by member.

    Raises InputError where a network cannot take its size, fails or gives another shape, and where steps fail.
    """
    parameters: dict[str, int] = {}
    for group, member in {member.group: member for member in plan.members.values()}.items():
        try:
            parameters[group] = make_detector(member).try_out()
        except InputError as error:
            raise InputError(f"{plan.where('members', group)}: members.{group}: {error}") from None
    for name, stream in plan.streams.items():
        if stream.error:
            shape = plan.members[stream.members[0]].shape()
            try:
                try_out(stream.error, (shape.channels, shape.height, shape.width))
            except InputError as error:
                raise InputError(f"{plan.where('streams', name)}: streams.{name}: {error}") from None
    if index is None:
        index = FrameIndex(np.repeat([1, 2], 80), np.tile(np.arange(80), 2))
    generator = np.random.default_rng(0)
    scored = {name: member.kind_of_input().scored(index) for name, member in plan.members.items()}
    if any(REPAIRS.make(repair).drops for repair in plan.repair):
        scored = {name: known & (np.arange(len(index)) % 7 != 3) for name, known in scored.items()}
    made_up = {name: np.where(known, 100 * generator.random(len(index)), np.nan) for name, known in scored.items()}
    scores = {(m, s.error): made_up[m] for s in plan.streams.values() if s.error for m in s.members}
    files = {name: generator.random(len(index)) for name, s in plan.streams.items() if s.file}
    try:
        run_pipeline(plan.streams, plan.variants, Scored(index, scores, files), Scored(index, scores))
    except (InputError, ValueError) as error:
        named = _NAMED.match(str(error))
        key = (f"{named[1]}s", named[2]) if named else ()
        raise InputError(f"{plan.where(*key)}: {error}") from None
    except Exception as error:
        if not place_of(error):
            raise
        raise InputError(f"{plan.where()}: {told(error)}") from error
    return {name: parameters[member.group] for name, member in plan.members.items()}


def _stream(spec: StreamSpec, loaded: Loaded, members: Mapping[str, Member]) -> Stream:
    if spec.scores is not None:
        return Stream((), None, tuple(spec.steps), str((loaded.path.parent / spec.scores).resolve()))
    groups, names = loaded.entry.members, list[str]()
    for name in spec.members or ():
        wanted = spec.seeds or groups[name].seeds if name in groups else None
        names += [f"{name}-{seed}" for seed in wanted] if wanted else [name]
    error: FrameScore | None = spec.error
    if spec.reduce is not None:
        error = MapScore(spec.map or make_detector(members[names[0]]).maps[0], spec.reduce, spec.calibrate)
    return Stream(tuple(names), error, tuple(spec.steps))


def _variant(spec: VariantSpec) -> Variant:
    if spec.fuse is None:
        assert spec.stream is not None
        return Variant("single", (spec.stream,), (), tuple(spec.steps))
    kind, streams = next((kind, streams) for kind, streams in spec.fuse if streams is not None)
    weights = tuple(streams.values()) if kind == "weights" else ()
    return Variant(cast(Fusion, kind), tuple(streams), weights, tuple(spec.steps))
