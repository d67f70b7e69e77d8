"""An entry's schema: what an experiment file may say. Typed, frozen, strict; no key is taken silently.

Networks, inputs, losses, errors and steps are names of `vad`'s catalogs; nothing in a file can name code.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from registry.entries.yaml_reader import Key, Problem
from vad import blocks
from vad.catalog import Catalog, Named
from vad.detectors.networks import INITS, NETWORKS
from vad.detectors.training.losses import LOSSES, Weighted
from vad.detectors.training.optimizers import OPTIMIZERS, SCHEDULES
from vad.errors import nearest
from vad.inputs import INPUTS
from vad.scoring.reconstruction_errors import ERRORS
from vad.scoring.steps import COMBINING, FITS, STEPS


def unknown(kind: str, name: Any, known: list[str]) -> str:
    """A sentence that says what is known instead."""
    return f'unknown {kind} "{name}"{nearest(str(name), known)} (known: {", ".join(map(str, known)) or "none"})'


def _known(name: str, catalog: Catalog[Any]) -> str:
    if name not in catalog:
        raise ValueError(unknown(catalog.kind, name, catalog.names()) + blocks.searched())
    return name


def _block(spec: Any, catalog: Catalog[Any]) -> Named:
    """`name`, `{name: value}` or `{name: {option: value}}` with every option filled in."""
    given: Any
    name, given = (spec, {}) if isinstance(spec, str) else (None, None)
    if isinstance(spec, Mapping) and len(spec) == 1:
        name, given = next(iter(spec.items()))
    if not isinstance(name, str):
        raise ValueError(
            "must be a name, as in `mean`, or one name with its value, as in `{gaussian: 3}`; several options go below the "
            f"name, as in `{{normalize: {{percentile: 99, scope: video}}}}`; not {spec!r}"
        )
    options = list(catalog.options(_known(name, catalog)))
    if not isinstance(given, Mapping):
        if not options:
            raise ValueError(f'{catalog.kind} "{name}" takes no value; write `{name}`')
        given = {options[0]: given}
    if faults := catalog.faults(name, given):
        raise ValueError("; ".join(fault for _, fault in faults))
    return catalog.named(name, given)


def _step(spec: Any) -> Named:
    step = _block(spec, STEPS)
    if step.name not in FITS:  # what only the step itself can know, as that one option must be below another
        STEPS[step.name](np.zeros((1, 2)), [slice(0, 2)], **dict(step.options))
    return step


def _loss(spec: str | dict[str, float]) -> str | Weighted:
    """A loss, or a sum of weighted ones; a single one of weight 1 is that loss."""
    if not spec:
        raise ValueError("must name at least one loss, as in `{mse: 1, ssim: 0.5}`")
    for name in [spec] if isinstance(spec, str) else spec:
        _known(name, LOSSES)
    if isinstance(spec, str):
        return spec
    return next(iter(spec)) if list(spec.values()) == [1] else tuple(spec.items())


def _each_once(values: list[Any]) -> list[Any]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"names {value} twice")
    return values


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$", max_length=60)]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1), AfterValidator(_each_once)]
Streams = Annotated[list[str], Field(min_length=1), AfterValidator(_each_once)]
Steps = list[Annotated[Named, PlainValidator(_step)]]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Reference(_Strict):
    """What the experiment's source reports: AP as a whole and by variant, and where that is said."""

    ap: Probability | None = None
    variants: dict[Name, Probability] = {}
    source: str | None = None


class TrainSpec(_Strict):
    """How members are trained: the fields of `Training` but for the batch size."""

    loss: Annotated[str | dict[str, Positive], AfterValidator(_loss)] = "mse"
    optimizer: Annotated[str, AfterValidator(lambda name: _known(name, OPTIMIZERS))] = "adam"
    lr: Positive = 2e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Annotated[Named, PlainValidator(lambda spec: _block(spec, SCHEDULES))] | None = None
    grad_clip: Positive | None = None
    epochs: Annotated[int, Field(ge=1)] = 25
    patience: Annotated[int, Field(ge=1)] | None = 5
    min_delta: Annotated[float, Field(ge=0)] = 1e-5
    keep: Literal["best", "last"] = "best"
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class Group(_Strict):
    """Members that differ in their seed alone. Further keys are options of the network; `train` replaces the entry's."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    model: Annotated[str, AfterValidator(lambda name: _known(name, NETWORKS))]
    input: Annotated[Named, PlainValidator(lambda spec: _block(spec, INPUTS))] = INPUTS.named("rgb", {})
    size: Annotated[int, Field(ge=8, le=2048)]
    batch_size: Annotated[int, Field(ge=1)]
    seeds: Seeds
    init: Annotated[Named, PlainValidator(lambda spec: _block(spec, INITS))] | None = None
    train: TrainSpec = TrainSpec()


class StreamSpec(_Strict):
    """One score a frame: from members under an error, or from a predictions file.

    `members` names groups, or single members as `group-seed`; `seeds` picks from the groups.
    """

    members: Annotated[Streams, BeforeValidator(lambda v: [v] if isinstance(v, str) else v)] | None = None
    seeds: Seeds | None = None
    error: Annotated[Named, PlainValidator(lambda spec: _block(spec, ERRORS))] | None = None
    scores: Annotated[str, Field(pattern=r"^[^\x00]+$")] | None = None
    steps: Steps = []

    @model_validator(mode="after")
    def _members_or_scores(self) -> Self:
        if (self.members is None) == (self.scores is None):
            raise ValueError("needs either `members` (with `error`) or `scores` (a predictions file)")
        if self.scores is not None and (self.error or self.seeds):
            raise ValueError("a stream that reads a file has no `error` and no `seeds`")
        if self.scores is None and self.error is None:
            raise ValueError(f"needs `error`, how members score a frame (known: {', '.join(ERRORS.names())})")
        if sum(step.name in COMBINING for step in self.steps) > 1:
            raise ValueError("combines its members twice; keep one of mean, median, max")
        return self


class FuseSpec(_Strict):
    """Streams to fuse: by the largest score, by the product, or by a weighted sum."""

    max: Streams | None = None
    product: Streams | None = None
    weights: Annotated[dict[str, Annotated[float, Field(ge=0)]], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len([kind for _, kind in self if kind is not None]) != 1:
            raise ValueError("must have exactly one of max, weights, product")
        if self.weights is not None and not any(self.weights.values()):
            raise ValueError("weights must not be all zero")
        return self


class VariantSpec(_Strict):
    """A way to a final score: one stream, or several fused; then steps."""

    stream: str | None = None
    fuse: FuseSpec | None = None
    steps: Steps = []

    @model_validator(mode="after")
    def _stream_or_fuse(self) -> Self:
        if (self.stream is None) == (self.fuse is None):
            raise ValueError("needs either `stream` (one) or `fuse` (several)")
        if any(step.name in COMBINING for step in self.steps):
            raise ValueError("steps: a variant has one score a frame already; combine members in a stream")
        return self


class Entry(_Strict):
    """An experiment."""

    name: Name
    hypothesis: str
    reference: Reference = Reference()
    holdout: Literal["auto"] | Annotated[float, Field(ge=0, le=0.5)] = "auto"
    members: dict[Name, Group] = {}
    train: TrainSpec = TrainSpec()
    streams: Annotated[dict[Name, StreamSpec], Field(min_length=1)]
    variants: Annotated[dict[Name, VariantSpec], Field(min_length=1)]


_COLUMNS = ("video", "frame", "label")


def check(data: Mapping[str, Any]) -> Iterator[Problem]:
    """What the schema cannot see: faults in what sections say of one another, and in the options of a group's network.

    `data` is plain and may be wrong in other ways too, so that all faults of a file are reported at once: what is not of
    the shape that a check needs is passed over, as the schema reports it.
    """
    groups, streams, variants = (_mapping(data.get(section)) for section in ("members", "streams", "variants"))
    for name, group in groups.items():
        yield from _check_network(_mapping(group), ("members", name))
    used = set()
    for name, stream in streams.items():
        used |= {_group(member, groups) for member in _names(_mapping(stream).get("members"))}
        yield from _check_members(_mapping(stream), groups, ("streams", name))
    for name in groups if streams else ():
        if name not in used:
            yield Problem(("members", name), "no stream uses these members; add one or remove them")
    for name, variant in variants.items():
        if name in _COLUMNS:
            yield Problem(("variants", name), "the table of scores has a column of this name; choose another")
        for key in ("stream", "fuse"):
            wanted = _mapping(variant).get(key)
            for stream in _names(next(iter(wanted.values()), None) if isinstance(wanted, Mapping) else wanted):
                if stream not in streams:
                    yield Problem(("variants", name, key), unknown("stream", stream, list(streams)))
    for name in _mapping(_mapping(data.get("reference")).get("variants")):
        if name not in variants:
            hint = nearest(str(name), list(variants))
            yield Problem(("reference", "variants", name), f"there is no such variant{hint}")


def _check_network(group: Mapping[str, Any], key: Key) -> Iterator[Problem]:
    model = group.get("model")
    if not isinstance(model, str) or model not in NETWORKS:
        return
    extra = {name: value for name, value in group.items() if name not in Group.model_fields}
    known = sorted({*Group.model_fields, *NETWORKS.options(model)})
    for option, fault in NETWORKS.faults(model, extra):
        if option is not None and option not in known:
            fault = f"unknown key{nearest(option, known)} (known: {', '.join(known)})"
        yield Problem((*key, option) if option else key, fault)


def _check_members(stream: Mapping[str, Any], groups: Mapping[str, Any], key: Key) -> Iterator[Problem]:
    """The members that a stream names must be there, each once, and several must be combined."""
    named, wanted = list(_names(stream.get("members"))), stream.get("seeds")
    count, countable = 0, True
    for name in named:
        group = _group(name, groups)
        seeds = _mapping(groups.get(group)).get("seeds")
        if group not in groups:
            yield Problem((*key, "members"), unknown("member group", name, list(groups)))
        elif group != name:
            if group in named:
                yield Problem((*key, "members"), f'{name} is a member of "{group}", which is there already')
            count += 1
            continue
        elif isinstance(seeds, list) and isinstance(wanted, list):
            for seed in wanted:
                if seed not in seeds:
                    yield Problem((*key, "seeds"), f'member group "{name}" has no seed {seed} (it has {seeds})')
            seeds = wanted
        if isinstance(seeds, list):
            count += len(seeds)
        else:
            countable = False
    steps = stream.get("steps")
    combined = {next(_names(step), None) for step in steps} & COMBINING if isinstance(steps, list) else ()
    if countable and count > 1 and not combined:
        yield Problem(key, f"has {count} members and no step that combines them (mean, median or max)")


def _group(name: str, groups: Mapping[str, Any]) -> str:
    """The group of a single member (`group-seed`) that exists; any other name as it is."""
    group, _, seed = name.rpartition("-")
    seeds = _mapping(groups.get(group)).get("seeds")
    return group if isinstance(seeds, list) and seed in {str(known) for known in seeds} else name


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _names(value: Any) -> Iterator[str]:
    """The names among a name, a list of names or a mapping by name."""
    for name in [value] if isinstance(value, str) else value if isinstance(value, (list, Mapping)) else ():
        if isinstance(name, str):
            yield name
