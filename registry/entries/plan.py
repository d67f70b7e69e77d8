"""An entry resolved: the members to have, the streams and variants to compute, every default filled in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from registry.entries.entry import StreamSpec, VariantSpec
from registry.entries.loading import Loaded
from vad.catalog import Named
from vad.data.frame_index import FrameIndex
from vad.detectors.member import Member, Training
from vad.detectors.networks import NETWORKS, parameter_count
from vad.detectors.training.losses import weighted_loss
from vad.errors import InputError
from vad.inputs import fold_frames
from vad.scoring.pipeline import Fusion, Stream, Variant, code_of_steps, run_pipeline
from vad.user_code import place_of, told

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

    def errors(self, member: str) -> list[Named]:
        """The errors by which this member's frames are scored."""
        return list({s.error: None for s in self.streams.values() if s.error and member in s.members})

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
        }

    def code(self) -> dict[str, str]:
        """The code of its blocks that its digest holds, as `Catalog.code` gives it."""
        found = code_of_steps(self.streams.values(), self.variants.values())
        for member in self.members.values():
            found |= member.code()
        return dict(sorted(found.items()))


def make_plan(loaded: Loaded, labelled: bool) -> Plan:
    """Resolve an entry for this data: labels decide `holdout: auto`."""
    entry = loaded.entry
    members = {}
    for group, spec in entry.members.items():
        own = {name: value for name, value in spec.train if name in spec.train.model_fields_set}
        training = Training(**{**dict(entry.train), **own}, batch_size=spec.batch_size)
        options = tuple(NETWORKS.bind(spec.model, spec.model_extra or {}).items())
        for seed in spec.seeds:
            member = Member(group, spec.model, options, spec.input, spec.size, seed, training, spec.init)
            members[member.name] = member
    streams = {name: _stream(spec, loaded) for name, spec in entry.streams.items()}
    variants = {name: _variant(spec) for name, spec in entry.variants.items()}
    holdout = entry.holdout if entry.holdout != "auto" else 0.0 if labelled or not members else HOLDOUT_WITHOUT_LABELS
    return Plan(entry.name, members, streams, variants, float(holdout))


def rehearse(plan: Plan, index: FrameIndex | None = None) -> dict[str, int]:
    """Build every kind of network, try the user's own, and run every step on made-up scores of `index`; parameters by member.

    Raises InputError where a network cannot take its size, fails or gives another shape, and where steps fail.
    """
    parameters: dict[str, int] = {}
    for group, member in {member.group: member for member in plan.members.values()}.items():
        try:
            parameters[group] = _tried(member)
        except InputError as error:
            raise InputError(f"{plan.name}: members.{group}: {error}") from None
    if index is None:
        index = FrameIndex(np.repeat([1, 2], 80), np.tile(np.arange(80), 2))
    generator = np.random.default_rng(0)
    scored = {name: member.kind_of_input().scored(index) for name, member in plan.members.items()}
    made_up = {name: np.where(known, generator.random(len(index)), np.nan) for name, known in scored.items()}
    scores = {(m, s.error): made_up[m] for s in plan.streams.values() if s.error for m in s.members}
    files = {name: generator.random(len(index)) for name, s in plan.streams.items() if s.file}
    try:
        run_pipeline(plan.streams, plan.variants, scores, files, index)
    except (InputError, ValueError) as error:
        raise InputError(f"{plan.name}: {error}") from None
    except Exception as error:
        if not place_of(error):
            raise
        raise InputError(f"{plan.name}: {told(error)}") from error
    return {name: parameters[member.group] for name, member in plan.members.items()}


def _tried(member: Member) -> int:
    """Build a member's network; return how many parameters it has.

    Where a block of it is the user's own, pass one batch of two through network and loss: the project's were tried before.
    """
    network = member.build()
    if member.code():
        shape = member.kind_of_input().shape(member.size)
        given = torch.zeros(2, *shape.sides)
        target = given[:, 0] if shape.kind == "sequence" else given
        try:
            with torch.random.fork_rng(devices=[]):
                output = network(given)
                if output.shape != target.shape:
                    shapes = f"{tuple(output.shape)} for a batch of two, not {tuple(target.shape)}"
                    raise InputError(f'model "{member.model}" gives {shapes}')
                loss = weighted_loss(member.training.loss)(fold_frames(output), fold_frames(target))
                if not loss.requires_grad:
                    raise InputError(
                        f'model "{member.model}" gives what does not depend on its weights; see its forward'
                    )
        except (InputError, MemoryError):
            raise
        except Exception as error:
            raise InputError(f'model "{member.model}" fails: {told(error)}') from error
    return parameter_count(network)


def _stream(spec: StreamSpec, loaded: Loaded) -> Stream:
    if spec.scores is not None:
        return Stream((), None, tuple(spec.steps), str((loaded.path.parent / spec.scores).resolve()))
    groups, names = loaded.entry.members, list[str]()
    for name in spec.members or ():
        names += [f"{name}-{seed}" for seed in spec.seeds or groups[name].seeds] if name in groups else [name]
    return Stream(tuple(names), spec.error, tuple(spec.steps))


def _variant(spec: VariantSpec) -> Variant:
    if spec.fuse is None:
        assert spec.stream is not None
        return Variant("single", (spec.stream,), (), tuple(spec.steps))
    kind, streams = next((kind, streams) for kind, streams in spec.fuse if streams is not None)
    weights = tuple(streams.values()) if kind == "weights" else ()
    return Variant(cast(Fusion, kind), tuple(streams), weights, tuple(spec.steps))
