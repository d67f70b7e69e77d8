"""How a person names a finished run: by id, by the version it made, or by its experiment."""

from registry.models.versions import NAME, Versions
from registry.store.tracking import Found, Tracking
from vad.errors import InputError, nearest

_LEAST = 4


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
    if len(name) >= _LEAST:
        fitting = [run for run in runs if run.run_id.startswith(name)]
        if len(fitting) > 1:
            raise InputError(f"{name} begins the ids of {len(fitting)} runs; give more of it")
        if fitting:
            return fitting[0], ""
    versions = Versions(tracking)
    if versions.known(name):
        version = versions.resolve(name)
        return tracking.get(version.run_id), version.tags.get("vad.variant", "")
    raise InputError(
        f"{name} is no finished run{nearest(name, entries)} (give a run's id or the first {_LEAST} or more digits of it, a "
        f"version as in v3, an alias as in production, or an experiment that was run: {', '.join(sorted(entries))})"
    )
