"""What a reference reports and claims, read from `experiments/journey.yaml`: typed, frozen, strict, as an entry is."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from registry.entries.entry import Probability
from registry.entries.yaml_reader import read_yaml, validated

Variant = Annotated[str, Field(pattern=r"^\w+:\w+$")]  # entry:variant
Range = Annotated[list[Probability], Field(min_length=2, max_length=2)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Row(_Strict):
    """A line of a table: what was tried, the AP that the reference reports of it, and why it says it failed."""

    phase: int
    approach: str
    variant: Variant
    ap: Probability | Range | None = None
    why: str | None = None

    @property
    def ends(self) -> list[float]:
        """What the reference reports: no figure, one, or the ends of a range."""
        return self.ap if isinstance(self.ap, list) else [] if self.ap is None else [self.ap]


class Table(_Strict):
    title: str
    rows: list[Row]


class Claim(_Strict):
    """That one variant is better than another, or that it is not."""

    claim: str
    better: Variant | None = None
    no_better: Variant | None = None
    than: Variant

    @model_validator(mode="after")
    def _one_relation(self) -> Self:
        if (self.better is None) == (self.no_better is None):
            raise ValueError("give one of `better` and `no_better`")
        return self

    @property
    def variant(self) -> str:
        """The variant that the claim is about."""
        return self.better or self.no_better or ""


class Reference(_Strict):
    """The reference's tables and claims, and the variant to which all others are compared."""

    source: str
    baseline: Variant
    tables: list[Table]
    claims: list[Claim]

    def rows(self) -> list[Row]:
        """The rows of all tables, each variant once, in order."""
        unique: dict[str, Row] = {}
        for row in (row for table in self.tables for row in table.rows):
            unique.setdefault(row.variant, row)
        return list(unique.values())

    def entries(self) -> dict[str, list[str]]:
        """Every entry that is named, with the names of its variants."""
        named = [self.baseline, *(row.variant for row in self.rows())]
        named += [variant for claim in self.claims for variant in (claim.variant, claim.than)]
        found: dict[str, list[str]] = {}
        for text in dict.fromkeys(named):
            entry, _, variant = text.partition(":")
            found.setdefault(entry, []).append(variant)
        return found


def read_reference(path: Path) -> Reference:
    """Raises InputError with line, key and fault of all that is wrong."""
    return validated(read_yaml(path), Reference)
