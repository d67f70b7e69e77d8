"""How a person names a finished run: by id, by the version it made, or by its experiment."""

import re
from typing import get_args

from registry.models.versions import NAME, Versions
from registry.store.tracking import Found, Kind, Tracking
from vad.errors import InputError, nearest

LEAST = 8
"""So many digits of a run's id name it; tables show as many."""
_ENDED_BADLY = ("RUNNING", "FAILED", "KILLED")


def choose_run(text: str, tracking: Tracking) -> tuple[Found, str]:
    """The run and the variant that `text` names, as in `phase5_multiscale`, `phase5_multiscale:max`, `3fa9c1`, `v3`, `production`.

    An experiment's name stands for its newest finished run, a version for the run that made it; without a variant
    the best one is meant, of a version its own. Raises InputError that says what there is.
    """
    if text.startswith("models:/") or text.startswith(f"{NAME}"):
        name, variant = text, ""
    else:
        name, _, variant = text.partition(":")
    runs = tracking.find("experiment")
    if not runs:
        raise InputError("there is no finished run yet; start with: make run EXP=phase5_multiscale")
    run, own = _find(name, runs, tracking)
    variants = {key.partition(".")[2] for key in run.metrics if key.startswith(f"{run.tags.get('vad.figure', 'ap')}.")}
    if variant and variant not in variants:
        raise InputError(
            f"run {run.run_id[:8]} of {run.tags.get('vad.entry')} has no variant {variant}{nearest(variant, sorted(variants))}"
            f" ({', '.join(sorted(variants)) or 'none was measured'})"
        )
    return run, variant or own or run.params.get("best_variant", "")


def _find(name: str, runs: list[Found], tracking: Tracking) -> tuple[Found, str]:
    """The run, newest first where several fit, and the variant of the version by which it was named."""
    entries = list(dict.fromkeys(run.tags.get("vad.entry", "") for run in runs))
    if name in entries:
        return next(run for run in runs if run.tags.get("vad.entry") == name), ""
    if not name:
        raise InputError(f"a run's name is empty; give {_ways(entries)}")
    if len(name) >= LEAST:
        fitting = [run for run in runs if run.run_id.startswith(name)]
        if len(fitting) > 1:
            raise InputError(f"{name} begins the ids of {len(fitting)} runs; give more of it")
        if fitting:
            return fitting[0], ""
    versions = Versions(tracking)
    if versions.find(name):
        version = versions.resolve(name)
        return tracking.get(version.run_id), version.tags.get("vad.variant", "")
    if re.fullmatch(r"v\d+|\d{1,6}|models:.*", name):
        versions.resolve(name, "VERSION")  # which says what versions there are
    said = nearest(name, entries)
    if not said and re.fullmatch("[0-9a-f]{1,32}", name):
        said = _unfit(name, tracking) if len(name) >= LEAST else "; it is too short for a run's id"
    raise InputError(f"{name} is no finished run{said} (give {_ways(entries)})")


def _ways(entries: list[str]) -> str:
    return (
        f"a run's id or the first {LEAST} or more digits of it, a version as in v3, an alias as in production, or an "
        f"experiment that was run: {', '.join(sorted(entries))}"
    )


def _unfit(name: str, tracking: Tracking) -> str:
    """What the run of this id is, where it is not a finished one of an experiment."""
    for run in tracking.find("experiment", statuses=_ENDED_BADLY):
        if run.run_id.startswith(name):
            return f": the run of {run.tags.get('vad.entry')} is {run.status}"
    for kind in get_args(Kind):
        for run in tracking.find(kind, statuses=("FINISHED", *_ENDED_BADLY)):
            if run.run_id.startswith(name):
                of = run.tags.get("mlflow.parentRunId", "")[:LEAST]
                return f": it is a {kind}, {run.name}{f', of run {of}' if of else ''}; compare the runs of experiments"
    return ""
