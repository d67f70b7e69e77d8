"""The runs that a store contains, and the one that a person names."""

import re
from collections.abc import Iterable, Mapping
from typing import get_args

from registry.models.versions import NAME, Versions
from registry.store.tracking import Found, Kind, Tracking
from vad.errors import InputError, nearest

LEAST = 8  # digits of a run's id that identify it; tables show as many
PARENT = "mlflow.parentRunId"
STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")  # those that MLflow knows


def all_runs(tracking: Tracking, tags: Mapping[str, str] | None = None) -> list[Found]:
    """Runs of every kind, whatever their status, that have these tags."""
    return [run for kind in get_args(Kind) for run in tracking.find(kind, statuses=STATUSES, tags=tags)]


def choose_run(text: str, tracking: Tracking) -> tuple[Found, str]:
    """Return the run and the variant that `text` names, as in `phase5_multiscale:max`, `3fa9c1ab`, `v3`, `production`.

    An experiment means its newest finished run, no variant the best one (of a version, its own). Raises InputError.
    """
    name, _, variant = (text, "", "") if text.startswith(("models:/", NAME)) else text.partition(":")
    runs = tracking.find("experiment")
    if not runs:
        raise InputError("there is no finished run yet; start with: make run EXP=phase5_multiscale")
    run, own = _find(name, runs, tracking)
    known = sorted(k.partition(".")[2] for k in run.metrics if k.startswith(f"{run.tags.get('vad.figure', 'ap')}."))
    if variant and variant not in known:
        lacks = f"run {run.run_id[:8]} of {run.tags.get('vad.entry')} has no variant {variant}"
        raise InputError(f"{lacks}{nearest(variant, known)} ({', '.join(known) or 'none was measured'})")
    return run, variant or own or run.params.get("best_variant", "")


def _find(name: str, runs: list[Found], tracking: Tracking) -> tuple[Found, str]:
    """The run, newest first where several fit, and the variant of the version by which it was named."""
    entries = list(dict.fromkeys(run.tags.get("vad.entry", "") for run in runs))
    ways = f"a run's id or the first {LEAST} or more digits of it, a version as in v3, an alias as in production"
    ways += f", or an experiment that was run: {', '.join(sorted(entries))}"
    if name in entries:
        return next(run for run in runs if run.tags.get("vad.entry") == name), ""
    if not name:
        raise InputError(f"a run's name is empty; give {ways}")
    if run := by_id(name, runs):
        return run, ""
    versions = Versions(tracking)
    if versions.find(name):
        version = versions.resolve(name)
        return tracking.get(version.run_id), version.tags.get("vad.variant", "")
    if re.fullmatch(r"v\d+|\d{1,6}|models:.*", name):
        versions.resolve(name, "VERSION")  # which says what versions there are
    said = nearest(name, entries)
    if not said and re.fullmatch("[0-9a-f]{1,32}", name):
        said = _unfit(name, tracking) if len(name) >= LEAST else "; it is too short for a run's id"
    raise InputError(f"{name} is not a finished run{said} (give {ways})")


def by_id(text: str, runs: Iterable[Found]) -> Found | None:
    """Return the run with this id, or with an id that begins with these 8 or more digits. Raises InputError where there are several."""
    fitting = [run for run in runs if len(text) >= LEAST and run.run_id.startswith(text)]
    if len(fitting) > 1:
        raise InputError(f"{text} begins the ids of {len(fitting)} runs; give more of it")
    return fitting[0] if fitting else None


def _unfit(name: str, tracking: Tracking) -> str:
    """What the run of this id is, where it is not a finished one of an experiment."""
    run = by_id(name, all_runs(tracking))
    if run is None:
        return ""
    kind, of = run.tags["vad.kind"], run.tags.get(PARENT, "")[:LEAST]
    if kind == "experiment":
        return f": the run of {run.tags.get('vad.entry')} is {run.status}"
    return f": it is a {kind}, {run.name}{f', of run {of}' if of else ''}; compare the runs of experiments"
