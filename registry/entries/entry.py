"""An entry's schema: what an experiment file may say. Typed, frozen, strict; no key is taken silently.

Networks, inputs, losses, errors and steps are names of `vad`'s catalogs; nothing in a file can name code.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from registry.entries.yaml_reader import Strict
from vad import blocks
from vad.catalog import Catalog, Named
from vad.detectors.member import models
from vad.detectors.networks import ERRORS, INITS
from vad.detectors.training.losses import LOSSES, Weighted
from vad.detectors.training.optimizers import OPTIMIZERS, SCHEDULES
from vad.errors import nearest
from vad.inputs import INPUTS
from vad.repair import REPAIRS
from vad.scoring.reductions import REDUCTIONS
from vad.scoring.steps import COMBINING, FITS, STEPS, TRAIN_FITS

CHOICES = BEST, PROXY = "best", "proxy"


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
    # Some faults only the step itself knows, as that one option must be below another.
    if step.name not in {*FITS, *TRAIN_FITS}:
        STEPS[step.name](np.zeros((1, 2)), [slice(0, 2)], **dict(step.options))
    return step


def _model(name: str) -> str:
    if name not in models():
        raise ValueError(unknown("model", name, sorted(models())) + blocks.searched())
    return name


def _region(sides: list[float]) -> list[float]:
    if len(sides) != 4 or sides[2] - sides[0] < _LEAST_SHARE or sides[3] - sides[1] < _LEAST_SHARE:
        raise ValueError(
            f"must be left, top, right, bottom in shares of the frame, each side at least {_LEAST_SHARE:g} of it, as in `[0, 0.5, 1, 1]` for its lower half"
        )
    return sides


def _loss(spec: str | dict[str, float]) -> str | Weighted:
    """A loss, or a sum of weighted ones; a single one of weight 1 is that loss."""
    if not spec:
        raise ValueError("must name at least one loss, as in `{mse: 1, ssim: 0.5}`")
    for name in [spec] if isinstance(spec, str) else spec:
        _known(name, LOSSES)
    if isinstance(spec, str):
        return spec
    return next(iter(spec)) if list(spec.values()) == [1] else tuple(spec.items())


def each_once(values: list[Any]) -> list[Any]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"names {value} twice")
    return values


def _repairs_once(repairs: list[Named]) -> list[Named]:
    each_once([repair.name for repair in repairs])
    return repairs


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


_LEAST_SHARE = 0.02  # of a frame's side, that a region shows
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$", max_length=60)]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1), AfterValidator(each_once)]
Streams = Annotated[list[str], Field(min_length=1), AfterValidator(each_once)]
Steps = list[Annotated[Named, PlainValidator(_step)]]


class Reference(Strict):
    """What the experiment's source reports: AP as a whole and by variant, and where that is said."""

    ap: Probability | None = None
    variants: dict[Name, Probability] = Field(default={})
    source: str | None = None


class TrainSpec(Strict):
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


class Group(Strict):
    """Members that differ in their seed alone. Further keys are options of the model; `train` replaces the entry's.

    A network needs `batch_size` and `seeds`; a bank has neither, and is one member.
    """

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, AfterValidator(_model)]
    input: Annotated[Named, PlainValidator(lambda spec: _block(spec, INPUTS))] = INPUTS.named("rgb", {})
    size: Annotated[int, Field(ge=8, le=2048)]
    aspect: Literal["square", "keep"] = "square"
    region: Annotated[list[Probability], AfterValidator(_region)] | None = None
    batch_size: Annotated[int, Field(ge=1)] | None = None
    seeds: Seeds | None = None
    init: Annotated[Named, PlainValidator(lambda spec: _block(spec, INITS))] | None = None
    train: TrainSpec = TrainSpec()


class StreamSpec(Strict):
    """One score a frame: from members, or from a predictions file.

    `members` names groups, or single members as `group-seed`; `seeds` picks from the groups. A frame's score is an `error` of
    the catalog, or its anomaly map (`map`, by default the detector's first), calibrated or not, under a reduction (`reduce`).
    """

    members: Annotated[Streams, BeforeValidator(lambda v: [v] if isinstance(v, str) else v)] | None = None
    seeds: Seeds | None = None
    error: Annotated[Named, PlainValidator(lambda spec: _block(spec, ERRORS))] | None = None
    map: str | None = None
    calibrate: bool = False
    reduce: Annotated[Named, PlainValidator(lambda spec: _block(spec, REDUCTIONS))] | None = None
    scores: Annotated[str, Field(pattern=r"^[^\x00]+$")] | None = None
    steps: Steps = Field(default=[])

    @model_validator(mode="after")
    def _members_or_scores(self) -> Self:
        if (self.members is None) == (self.scores is None):
            raise ValueError("needs either `members` (with `error` or `reduce`) or `scores` (a predictions file)")
        if self.scores is not None and (self.error or self.reduce or self.seeds):
            raise ValueError("a stream that reads a file has no `error`, no `reduce` and no `seeds`")
        if self.scores is None and (self.error is None) == (self.reduce is None):
            raise ValueError(
                f"needs either `error`, how networks score a frame (known: {', '.join(ERRORS.names())}), or `reduce`, how "
                f"anomaly maps become one number (known: {', '.join(REDUCTIONS.names())})"
            )
        if self.reduce is None and (self.map or self.calibrate):
            raise ValueError("`map` and `calibrate` go with `reduce`; an `error` is map and reduction in one")
        if sum(step.name in COMBINING for step in self.steps) > 1:
            raise ValueError("combines its members twice; keep one of mean, median, max")
        return self


class FuseSpec(Strict):
    """Streams to fuse: by the largest score, the mean, the product, a weighted sum, or as probabilities by the noisy or."""

    max: Streams | None = None
    mean: Streams | None = None
    product: Streams | None = None
    noisy_or: Streams | None = None
    weights: Annotated[dict[str, Annotated[float, Field(ge=0)]], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len([kind for _, kind in self if kind is not None]) != 1:
            raise ValueError("must have exactly one of max, mean, product, noisy_or, weights")
        if self.weights is not None and not any(self.weights.values()):
            raise ValueError("weights must not be all zero")
        return self


class VariantSpec(Strict):
    """A way to a final score: one stream, or several fused; then steps."""

    stream: str | None = None
    fuse: FuseSpec | None = None
    steps: Steps = Field(default=[])

    @model_validator(mode="after")
    def _stream_or_fuse(self) -> Self:
        if (self.stream is None) == (self.fuse is None):
            raise ValueError("needs either `stream` (one) or `fuse` (several)")
        if any(step.name in COMBINING for step in self.steps):
            raise ValueError("steps: a variant has one score a frame already; combine members in a stream")
        return self


class Entry(Strict):
    """An experiment."""

    name: Name
    hypothesis: str
    reference: Reference = Reference()
    holdout: Literal["auto"] | Annotated[float, Field(ge=0, le=0.5)] = "auto"
    repair: Annotated[
        list[Annotated[Named, PlainValidator(lambda spec: _block(spec, REPAIRS))]],
        BeforeValidator(_listed),
        AfterValidator(_repairs_once),
    ] = Field(default=[])
    members: dict[Name, Group] = Field(default={})
    train: TrainSpec = TrainSpec()
    streams: Annotated[dict[Name, StreamSpec], Field(min_length=1)]
    variants: Annotated[dict[Name, VariantSpec], Field(min_length=1)]
    choose: str = CHOICES[0]
    """The variant to register: a name, or `best`: highest AP, or `proxy`: highest AP on painted anomalies, labels or not."""
