"""Whether a registered version's variant reaches a figure on every data set of a suite: a rule of promotion."""

from dataclasses import replace
from pathlib import Path

from registry.models.versions import Version
from registry.store.tracking import Tracking
from registry.suites.cells import find_cells, fits
from registry.suites.matrix import matrix
from registry.suites.suite import open_sets, read_suite
from vad.errors import InputError


def short_of(version: Version, file: Path, least: float, tracking: Tracking, home: Path) -> str | None:
    """Why a version's worst case in a suite is not known to reach `least`; None where it does."""
    suite = read_suite(file)
    entry, variant = (version.tags.get(f"vad.{key}", "") for key in ("entry", "variant"))
    if not fits(tracking.get(version.run_id), suite):
        return f"version {version.number} was made with another profile or other overrides than suite {suite.name} has"
    suite = suite.of([next((named for named in suite.entries if Path(named).stem == entry), entry)])
    try:
        cells = find_cells(suite, open_sets(suite, home), tracking, home, under_way=True)
        found = matrix(replace(cells, declared={entry: variant}))
    except InputError as error:
        return f"the worst case in suite {suite.name} cannot be measured: {' '.join(str(error).split())}"
    if found.missing:
        sets = ", ".join(cell.on for cell in found.missing)
        return f"{entry} has no figure on {sets} of suite {suite.name}; to run: {found.missing[0].command}"
    (row,) = found.rows
    if row.variant != variant or row.worst is None:
        return f"a run of {entry} in suite {suite.name} has no variant {variant}"
    if row.worst < least:
        figure = f"{found.metric} {row.worst:.4f} on {row.worst_on}"
        return f"its worst case in suite {suite.name} is {figure}, and {least:g} is asked"
    return None
