"""A reference's tables and claims, from `experiments/journey.yaml`, and what was measured of each variant on one data set."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from registry.data.datasets import open_frames_of
from registry.entries.entry import Probability
from registry.entries.loading import default_profile, journey_file
from registry.entries.yaml_reader import Strict, read_yaml, validated
from registry.runs.context import Request
from registry.store.score_table import TEST, ScoreTable, stored_table
from registry.store.tracking import Found, Tracking
from vad.errors import InputError
from vad.measures.metrics import Difference, Measured, Sampled, difference, sample

Variant = Annotated[str, Field(pattern=r"^\w+:\w+$")]  # entry:variant
Range = Annotated[list[Probability], Field(min_length=2, max_length=2)]
Verdict = Literal["holds", "does not hold", "undecided", "not run"]


class Row(Strict):
    """A line of a table: what was tried, the AP that the reference reports of it, and why it says it failed."""

    phase: int
    approach: str
    variant: Variant
    ap: Probability | Range | None = None
    why: str | None = None

    @property
    def ends(self) -> list[float]:
        """What the reference reports: no AP, one, or the ends of a range."""
        return self.ap if isinstance(self.ap, list) else [] if self.ap is None else [self.ap]


class Table(Strict):
    title: str
    rows: list[Row]


class Claim(Strict):
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


class Reference(Strict):
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


@dataclass(frozen=True, eq=False)
class Result:
    """A variant that was measured, and the run that made its scores."""

    sampled: Sampled
    run_id: str


@dataclass(eq=False)
class Journey:
    """The reference, and the results on one data set by `entry:variant`; `missing` are entries without a run."""

    reference: Reference
    name: str
    asked: Request  # runs on this data, under this profile, with these overrides count
    results: dict[str, Result] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def settings(self) -> tuple[str, str]:
        """Profile and overrides as a run's tags have them; the profile's default is that of `vad run`."""
        return self.asked.profile or default_profile(self.asked.data), " ".join(self.asked.overrides)

    def command(self, *entries: str) -> str:
        """What to type to have such a run of each entry."""
        asked = self.asked
        given = {"EXP": " ".join(entries), "DATA": asked.data, "LABELS": asked.labels, "PROFILE": asked.profile}
        return f"make run {spelt(**given, FIRST_FRAME=asked.first_frame, SET=' '.join(asked.overrides))}"

    @property
    def about(self) -> Measured:
        """Any of the metrics; frames, videos and prevalence are the same in all."""
        return next(iter(self.results.values())).sampled.measured

    def measure(self, run: Found, table: ScoreTable, labels: NDArray[np.bool_], variants: Sequence[str]) -> None:
        """Measure these variants of a run; a note names each that it lacks."""
        entry = run.tags["vad.entry"]
        for variant in variants:
            if variant in table.variants:
                sampled = sample(table.variants[variant], labels, table.index)
                self.results[f"{entry}:{variant}"] = Result(sampled, run.run_id)
            else:
                self.notes.append(f"run {run.run_id[:8]} of {entry} has no variant {variant}")

    def difference(self, variant: str, other: str) -> Difference | None:
        """How much better a variant is than another; None where either was not run."""
        one, two = self.results.get(variant), self.results.get(other)
        return difference(one.sampled, two.sampled) if one and two else None

    def verdict(self, claim: Claim) -> tuple[Verdict, Difference | None]:
        """Return whether a claim holds, by the interval of the difference in AP between its two variants.

        "Better" holds where all of it lies above 0, and does not where none does; "no better" is the reverse.
        """
        found = self.difference(claim.variant, claim.than)
        if found is None:
            return "not run", None
        if found.videos == 1 or found.low <= 0 < found.high:
            return "undecided", found
        better = found.low > 0
        return "holds" if better == (claim.better is not None) else "does not hold", found


def retrace(asked: Request) -> Journey:
    """Measure every variant that the reference names, by its entry's newest finished run. Raises InputError for none."""
    tracking = Tracking()
    data = open_frames_of(asked.data, asked.labels, asked.home, asked.first_frame)
    if data.labels is None:
        no_ap = f"{data.name} has no labels, and without them there is no AP to set beside the reference's"
        raise InputError(f"{no_ap}; give LABELS=path (a CSV with Id,Label or a folder of N_label.mat)")
    journey = Journey(validated(read_yaml(journey_file()), Reference), data.name, asked)
    runs = tracking.find("experiment", tags={"vad.protocol": data.protocol()})
    elsewhere: dict[tuple[str, str], list[str]] = {}
    for entry, variants in journey.reference.entries().items():
        of_entry = [run for run in runs if run.tags.get("vad.entry") == entry]
        for run in (run for run in of_entry if _settings(run) == journey.settings):  # newest first
            table = stored_table(tracking, run.run_id, TEST, asked.home)
            if table is not None and table.index == data.index:
                journey.measure(run, table, data.labels.values, variants)
                break
            lost = "its scores.csv is gone, damaged or altered (FORCE=1 runs it anew)"
            journey.notes.append(f"run {run.run_id[:8]} of {entry} is passed over: {lost}")
        else:
            journey.missing.append(entry)
            for settings in {_settings(run): None for run in of_entry if _settings(run) != journey.settings}:
                elsewhere.setdefault(settings, []).append(entry)
    for (profile, overrides), entries in elsewhere.items():
        journey.notes.append(f"there are runs with {spelt(PROFILE=profile, SET=overrides)}: {', '.join(entries)}")
    if not journey.results:
        profile, overrides = journey.settings
        first = f"no experiment of the journey was run on {data.name} with {spelt(PROFILE=profile, SET=overrides)}"
        raise InputError("\n".join([first, *journey.notes, f"run them all with: {journey.command('all')}"]))
    return journey


def _settings(run: Found) -> tuple[str, str]:
    return run.tags.get("vad.profile", ""), run.tags.get("vad.set", "")


def spelt(**given: object) -> str:
    """What is given of make's variables, as one types them."""
    return " ".join(f"{name}={shlex.quote(str(value))}" for name, value in given.items() if value not in (None, ""))
