"""An entry's schema: what an experiment file may say. Typed, frozen, strict; no key is taken silently.

Names of networks, inputs, losses, errors and steps are looked up in `vad`'s catalogs by
`registry.checks`; nothing in a file can name code.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$", max_length=60)]
Probability = Annotated[float, Field(ge=0, le=1)]
# A block by name, `{name: value}` or `{name: {option: value}}`.
Block = str | dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Reference(_Strict):
    """What the experiment's source reports: AP as a whole and by variant, and where that is said."""

    ap: Probability | None = None
    variants: dict[Name, Probability] = {}
    source: str | None = None


class TrainSpec(_Strict):
    """How members are trained."""

    loss: str | dict[str, Annotated[float, Field(gt=0)]] = "mse"
    optimizer: str = "adam"
    lr: Annotated[float, Field(gt=0)] = 2e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Block | None = None
    grad_clip: Annotated[float, Field(gt=0)] | None = None
    epochs: Annotated[int, Field(ge=1)] = 25
    patience: Annotated[int, Field(ge=1)] | None = 5
    min_delta: Annotated[float, Field(ge=0)] = 1e-5
    keep: Literal["best", "last"] = "best"
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class Group(_Strict):
    """Members that differ in their seed alone. Further keys are options of the network."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    model: str
    input: Block = "rgb"
    size: Annotated[int, Field(ge=8, le=2048)]
    batch_size: Annotated[int, Field(ge=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]
    init: Block | None = None
    train: dict[str, Any] = {}


class StreamSpec(_Strict):
    """One score a frame: from members under an error, or from a predictions file.

    `members` names groups, or single members as `group-seed`; `seeds` picks from the groups.
    """

    members: str | list[str] | None = None
    seeds: list[int] | None = None
    error: Block | None = None
    scores: Annotated[str, Field(pattern=r"^[^\x00]+$")] | None = None
    steps: list[Block] = []


class VariantSpec(_Strict):
    """A way to a final score: one stream, or several fused; then steps."""

    stream: str | None = None
    fuse: dict[str, Any] | None = None
    steps: list[Block] = []


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
