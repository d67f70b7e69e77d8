"""What a store contains: runs of every kind, and the versions of its registered models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from registry.models.versions import NAME, facts_of_version
from registry.store.tracking import Found, Kind, Tracking

PARENT = "mlflow.parentRunId"
STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
"""Those that MLflow knows."""


@dataclass(frozen=True)
class Version:
    """A version of a registered model; its name is as in `vad-ensemble/1`, `tags` are what its run says of it."""

    name: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    run_id: str = ""
    model_id: str = ""


def all_runs(tracking: Tracking, tags: Mapping[str, str] | None = None) -> list[Found]:
    """Runs of every kind, whatever their status, that have these tags."""
    return [run for kind in get_args(Kind) for run in tracking.find(kind, statuses=STATUSES, tags=tags)]


def is_ours(name: str, tags: Mapping[str, str]) -> bool:
    """Whether a version was registered by `vad`."""
    return "vad.entry" in tags or name.startswith(f"{NAME}/")


def all_versions(tracking: Tracking) -> list[Version]:
    """Every version that was registered by `vad`, as the store's client tells of it."""
    aliases: dict[str, list[str]] = {}
    for model in tracking.client.search_registered_models():
        for alias, number in sorted(model.aliases.items()):
            aliases.setdefault(f"{model.name}/{number}", []).append(alias)
    versions = []
    for found in tracking.client.search_model_versions():
        name, tags = f"{found.name}/{found.version}", facts_of_version(found.tags)
        if is_ours(name, tags):
            model_id = found.source.removeprefix("models:/")
            versions.append(Version(name, tuple(aliases.get(name, ())), tags, found.run_id or "", model_id))
    return versions
