"""The cells of a suite: for each entry and data set the finished run that `vad run` would find done already, or what fills it."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from registry.console import say
from registry.data.datasets import Dataset, read_files
from registry.entries.entry import Entry
from registry.entries.loading import Loaded, load_entry
from registry.entries.plan import make_plan
from registry.store.score_table import TEST, ScoreTable, stored_table
from registry.store.tracking import Found, Tracking
from registry.suites.suite import Source, Suite
from vad.errors import InputError
from vad.frames.store import frame_size


@dataclass(frozen=True, eq=False)
class Cell:
    """An entry on a data set: the scores of a finished run, frame by frame; without one, `why` and the `command` that fills it."""

    entry: str
    source: str
    scores: ScoreTable | None
    run_id: str = ""
    why: str = ""
    command: str = ""
    pretrained: bool = False  # whether weights that were trained on other data have a part in it


@dataclass(frozen=True)
class Cells:
    """The cells of a suite, an entry after the other, and of each entry the variant that it declares to be its own."""

    suite: Suite
    sets: tuple[Dataset, ...]
    found: tuple[Cell, ...]
    declared: dict[str, str | None]


def declared_variant(entry: Entry) -> str | None:
    """The variant that an entry names before anything is measured: by `choose`, as the only one, or as that of the reference's figure."""
    if entry.choose in entry.variants:
        return entry.choose
    if len(entry.variants) == 1:
        return next(iter(entry.variants))
    stated = entry.reference.variants
    return next((name for name, ap in stated.items() if ap == entry.reference.ap and name in entry.variants), None)


def find_cells(suite: Suite, sets: Sequence[Dataset], tracking: Tracking, home: Path, under_way: bool = False) -> Cells:
    """Find the run of each entry on each data set. Trains nothing. With `under_way`, runs count as soon as they have scores.

    Raises InputError with the faults of all entries.
    """
    loaded, faults = [], []
    for entry in suite.entries:
        try:
            loaded.append(_load(entry, suite))
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError("\n".join(faults))
    runs = tracking.find("experiment", statuses=("FINISHED", "RUNNING") if under_way else ("FINISHED",))
    found = []
    for given, one in zip(suite.entries, loaded, strict=True):
        for source, data in zip(suite.sources, sets, strict=True):
            cell = _cell(one, data, runs, tracking, home)
            found.append(replace(cell, source=source.name, command=_command(given, suite, source) + cell.command))
    return Cells(suite, tuple(sets), tuple(found), {one.entry.name: declared_variant(one.entry) for one in loaded})


def entries_run(suite: Suite, sets: Iterable[Dataset], tracking: Tracking) -> tuple[str, ...]:
    """The entries that have a finished run on one of these data sets under the suite's settings; says which cannot be loaded now."""
    protocols = {data.protocol() for data in sets}
    runs = [run for run in tracking.find("experiment") if run.tags.get("vad.protocol") in protocols]
    loadable = []
    for entry in sorted({run.tags.get("vad.entry", run.name) for run in runs if fits(run, suite)}):
        try:
            _load(entry, suite)
            loadable.append(entry)
        except InputError as error:
            say(f"note: {entry} is left out: {error}")
    return tuple(loadable)


def _load(entry: str, suite: Suite) -> Loaded:
    loaded = load_entry(entry, suite.profile, suite.overrides)
    if not loaded.entry.members:
        files = "reads predictions files alone, which belong to one data set"
        raise InputError(f"{loaded.entry.name} {files}: it cannot be an entry of a suite")
    return loaded


def _cell(loaded: Loaded, data: Dataset, runs: Sequence[Found], tracking: Tracking, home: Path) -> Cell:
    """The cell of an entry on this data; `command` is what goes beyond the usual one."""
    entry = loaded.entry.name
    try:
        plan = make_plan(loaded, True, *((frame_size(data.frames.train),) if data.frames else ()))
        _, files = read_files(plan, data.index)
    except InputError as error:
        return Cell(entry, "", None, why=str(error))
    digest = plan.digest(files, data.protocol())
    same = [run for run in runs if run.tags.get("vad.digest") == digest]
    for run in same:  # newest first
        if (table := stored_table(tracking, run.run_id, TEST, home)) is not None and table.index == data.index:
            return Cell(entry, "", table, run.run_id, pretrained=plan.pretrained())
    if same:
        lost = f"the scores of run {same[0].run_id[:8]} are gone, damaged or altered"
        return Cell(entry, "", None, why=lost, command=" --force")
    return Cell(entry, "", None, why=_why_none(loaded, data, runs))


def _why_none(loaded: Loaded, data: Dataset, runs: Sequence[Found]) -> str:
    """Why no run fills a cell: there is none, or it is of another protocol and must not stand in this column."""
    on_frames = [run for run in runs if run.tags.get("vad.test_digest") == data.test_digest]
    near = next((run for run in on_frames if run.tags.get("vad.entry") == loaded.entry.name), None)
    if near is None:
        return "not run yet"
    profile, overrides = near.tags.get("vad.profile", ""), near.tags.get("vad.set", "")
    if near.tags.get("vad.protocol") != data.protocol():
        other = "by another protocol: other labels or other train frames"
    elif (profile, overrides) != (loaded.profile, " ".join(loaded.overrides)):
        other = f"by another protocol: profile {profile}, {f'set: {overrides}' if overrides else 'no overrides'}"
    else:
        other = "by an earlier form of the entry or of the code"
    return f"run {near.run_id[:8]} was made {other}"


def fits(run: Found, suite: Suite) -> bool:
    """Whether a run has a suite's profile and overrides, but for those that set an entry's key to the value that it has."""
    of_run = run.tags.get("vad.set", "")
    overrides = " ".join(override for override in suite.overrides if override in of_run)
    return (run.tags.get("vad.profile"), of_run) == (suite.profile, overrides)


def _command(entry: str, suite: Suite, source: Source) -> str:
    """What to type to have a run of this entry on this data set."""
    if suite.file is not None:
        return shlex.join(["vad", "run", entry, "--suite", str(suite.file)])
    words = ["vad", "run", entry]
    given = {"--data": source.path, "--labels": source.labels, "--first-frame": source.first_frame}
    for option, value in (given | {"--profile": suite.profile}).items():
        words += [option, str(value)] if value is not None else []
    return shlex.join([*words, *(word for override in suite.overrides for word in ("--set", override))])
