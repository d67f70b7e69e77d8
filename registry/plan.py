"""An entry resolved: the members to have, the streams and variants to compute, every default filled in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from registry.checks import named_options
from registry.entry import Entry, StepSpec, StreamSpec, TrainSpec, VariantSpec
from registry.loading import Loaded
from vad.errors import InputError
from vad.member import Member, Training, digest_of
from vad.models import NETWORKS, parameter_count
from vad.optim import SCHEDULES
from vad.pipeline import Fusion, Step, Stream, Variant, run_pipeline
from vad.precision import resolve
from vad.scores import FrameIndex
from vad.steps import STEPS

# Held out of training where there are no labels, so that anomalies can be painted into unseen frames.
HOLDOUT_WITHOUT_LABELS = 0.1


@dataclass(frozen=True)
class Plan:
    """What running an entry means, in `vad`'s terms."""

    name: str
    members: dict[str, Member]
    streams: dict[str, Stream]
    variants: dict[str, Variant]
    holdout: float

    def sizes(self) -> list[int]:
        return sorted({member.size for member in self.members.values()})

    def errors(self, member: str) -> list[str]:
        """The errors by which this member's frames are scored."""
        return sorted({s.error for s in self.streams.values() if s.error and member in s.members})

    def settings(self) -> dict[str, Any]:
        """All that decides the results but the frames, as plain values; comments and spelling are gone."""
        return {
            "members": {name: member.settings() for name, member in self.members.items()},
            "streams": {
                name: {
                    "members": list(s.members),
                    "error": s.error,
                    **({"scores": Path(s.file).name} if s.file else {}),
                    "steps": _plain(s.steps),
                }
                for name, s in self.streams.items()
            },
            "variants": {
                name: {
                    "fuse": {v.kind: dict(zip(v.streams, v.weights, strict=True)) if v.weights else list(v.streams)},
                    "steps": _plain(v.steps),
                }
                for name, v in self.variants.items()
            },
            "holdout": self.holdout,
        }

    def digest(self) -> str:
        return digest_of(self.settings())


def make_plan(loaded: Loaded, device: torch.device, labelled: bool) -> Plan:
    """Resolve an entry for this device (which decides `precision: auto`) and this data (labels decide `holdout: auto`)."""
    entry = loaded.entry
    members = {}
    for group, spec in entry.members.items():
        train = TrainSpec.model_validate({**entry.train.model_dump(), **spec.train})
        for seed in spec.seeds:
            training = _training(train, spec.batch_size, device)
            options = tuple(NETWORKS.bind(spec.model, spec.model_extra or {}).items())
            member = Member(group, spec.model, options, spec.input, spec.size, seed, training)
            members[member.name] = member
    streams = {name: _stream(spec, entry, loaded) for name, spec in entry.streams.items()}
    variants = {name: _variant(spec) for name, spec in entry.variants.items()}
    holdout = entry.holdout if entry.holdout != "auto" else 0.0 if labelled or not members else HOLDOUT_WITHOUT_LABELS
    return Plan(entry.name, members, streams, variants, float(holdout))


def rehearse(plan: Plan) -> dict[str, int]:
    """Build every network and run every step on made-up scores; parameters by member. Raises InputError."""
    parameters = {}
    for name, member in plan.members.items():
        try:
            parameters[name] = parameter_count(member.build())
        except InputError as error:
            raise InputError(f"{plan.name}: members.{member.group}: {error}") from None
    index = FrameIndex(np.repeat([1, 2], 40), np.tile(np.arange(40), 2))
    generator = np.random.default_rng(0)
    scores = {(m, s.error or ""): generator.random(80) for s in plan.streams.values() for m in s.members}
    files = {name: generator.random(80) for name, s in plan.streams.items() if s.file}
    for name, variant in plan.variants.items():
        try:
            run_pipeline(plan.streams, {name: variant}, scores, files, index)
        except ValueError as error:
            raise InputError(f"{plan.name}: variants.{name}: {error}") from None
    return parameters


def _training(train: TrainSpec, batch_size: int, device: torch.device) -> Training:
    schedule = None
    if train.schedule is not None:
        name, options = _pair(train.schedule, SCHEDULES)
        schedule = (name, tuple(SCHEDULES.bind(name, options).items()))
    return Training(
        loss=train.loss,
        optimizer=train.optimizer,
        lr=float(train.lr),
        weight_decay=float(train.weight_decay),
        schedule=schedule,
        epochs=train.epochs,
        patience=train.patience,
        min_delta=float(train.min_delta),
        keep=train.keep,
        precision=resolve(train.precision, device),
        batch_size=batch_size,
    )


def _stream(spec: StreamSpec, entry: Entry, loaded: Loaded) -> Stream:
    steps = tuple(_step(step) for step in spec.steps)
    if spec.scores is not None:
        return Stream((), None, steps, str((loaded.path.parent / spec.scores).resolve()))
    groups = [spec.members] if isinstance(spec.members, str) else spec.members or []
    names = tuple(f"{group}-{seed}" for group in groups for seed in spec.seeds or entry.members[group].seeds)
    return Stream(names, spec.error, steps)


def _variant(spec: VariantSpec) -> Variant:
    steps = tuple(_step(step) for step in spec.steps)
    if spec.stream is not None:
        return Variant("single", (spec.stream,), (), steps)
    kind, streams = next(iter((spec.fuse or {}).items()))
    weights = tuple(float(weight) for weight in streams.values()) if isinstance(streams, Mapping) else ()
    return Variant(cast(Fusion, kind), tuple(streams), weights, steps)


def _step(spec: StepSpec) -> Step:
    name, options = _pair(spec, STEPS)
    return Step(name, tuple(STEPS.bind(name, options).items()))


def _pair(spec: Any, catalog: Any) -> tuple[str, dict[str, Any]]:
    parsed = named_options(spec, catalog)
    if isinstance(parsed, str):
        raise InputError(parsed)
    return parsed


def _plain(steps: tuple[Step, ...]) -> list[Any]:
    return [{step.name: dict(step.options)} if step.options else step.name for step in steps]
