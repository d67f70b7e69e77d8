"""Runs and versions that a person names and that nobody needs: removed with their artifacts, and nothing that others are made of."""

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from registry.analysis.choose import LEAST
from registry.maintenance import repair as mending
from registry.maintenance.gc import Waste, freed
from registry.models.versions import facts_of_version
from registry.store.record import Altered
from registry.store.tracking import Found, Kind, Tracking
from vad.errors import InputError

_STATUSES = ("FINISHED", "FAILED", "KILLED", "RUNNING")
_PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class _Version:
    """A version: its name as in `vad-ensemble/3`, its aliases, run and logged model."""

    name: str
    aliases: tuple[str, ...]
    run_id: str
    model_id: str


@dataclass(frozen=True)
class Chosen:
    """What goes, in the order in which it has to go, the bytes that are free then, and what was named and stays, with the reason."""

    waste: list[Waste]
    size: int
    stays: list[str]


def choose(names: Sequence[str], days: float | None, tracking: Tracking, home: Path) -> Chosen:
    """Return what goes with the runs and versions that are named, or with all that are older than `days`; of both, what is either named and older.

    A run is named by its id, or 8 digits of it, or its experiment, which stands for all its runs; a version as in `v3`.
    Whatever has an alias stays, as production has, with its run and that run's members; so do members that another run uses, and
    runs that are under way. Raises InputError for a name that is none.
    """
    return _Choice(tracking, home).made(names, days)


class _Choice:
    def __init__(self, tracking: Tracking, home: Path):
        self._tracking, self._home = tracking, home
        kinds = [kind for kind in get_args(Kind) if kind != "decision"]  # what was decided stays known
        self._runs = {run.run_id: run for kind in kinds for run in tracking.find(kind, statuses=_STATUSES)}
        self._children: dict[str, list[Found]] = {}
        for run in self._runs.values():
            self._children.setdefault(run.tags.get(_PARENT, ""), []).append(run)
        aliases: dict[str, list[str]] = {}
        for model in tracking.client.search_registered_models():
            for alias, number in sorted(model.aliases.items()):
                aliases.setdefault(f"{model.name}/{number}", []).append(alias)
        self._versions = {
            name: _Version(
                name, tuple(aliases.get(name, ())), found.run_id or "", found.source.removeprefix("models:/")
            )
            for found in tracking.client.search_model_versions()
            if "vad.entry" in facts_of_version(found.tags) and (name := f"{found.name}/{found.version}")
        }

    def made(self, names: Sequence[str], days: float | None) -> Chosen:
        runs, versions = self._named(names) if names else ({r for r in self._runs if self._is_top(r)}, set[str]())
        if days is not None:
            before = time.time() - days * 86400
            runs = {run_id for run_id in runs if self._runs[run_id].started < before}
        stays = []
        for version in [self._versions[name] for name in sorted(versions) if self._versions[name].aliases]:
            stays.append(f"{version.name} is {' and '.join(version.aliases)}")
            versions.discard(version.name)
        for run_id in sorted(runs):
            if reason := self._needed(run_id):
                stays.append(f"{self._called(run_id)}: {reason}")
                runs.discard(run_id)
        # Members go with their experiment unless another uses them.
        used = {
            member
            for run_id in self._runs
            if self._runs[run_id].tags["vad.kind"] == "experiment" and run_id not in runs
            for member in self._members(run_id)
        }
        below = {child.run_id for run_id in runs for child in self._children.get(run_id, ())}
        for run_id in sorted(runs | below):
            if run_id in used:
                stays.append(f"{self._called(run_id)}: another run uses it")
        gone = (runs | below) - used
        versions |= {version.name for version in self._versions.values() if version.run_id in gone}
        return self._chosen(versions, sorted(gone, key=lambda r: self._runs[r].tags["vad.kind"] == "experiment"), stays)

    def _is_top(self, run_id: str) -> bool:
        return self._runs[run_id].tags["vad.kind"] == "experiment"

    def _named(self, names: Sequence[str]) -> tuple[set[str], set[str]]:
        runs: set[str] = set()
        versions: set[str] = set()
        for name in names:
            bare = name.removeprefix("models:/")
            if fitting := [v for v in self._versions if v == bare or re.fullmatch(rf"v?{v.rpartition('/')[2]}", name)]:
                if len(fitting) > 1:
                    raise InputError(f"{name}: there are {' and '.join(sorted(fitting))}; name one of them")
                versions.add(fitting[0])
                continue
            found = {run_id for run_id in self._runs if len(name) >= LEAST and run_id.startswith(name)}
            if len(found) > 1:
                raise InputError(f"{name} begins the ids of {len(found)} runs; give more of it")
            found = found or {
                run_id for run_id in self._runs if self._is_top(run_id) and self._runs[run_id].name == name
            }
            if not found:
                raise InputError(
                    f"{name}: there is no such run, experiment or version; `vad leaderboard --all` lists runs, `vad history` versions"
                )
            runs |= found
        return runs, versions

    def _needed(self, run_id: str) -> str:
        """Why a run that is named stays; empty where it may go."""
        for version in self._versions.values():
            if version.aliases and (version.run_id == run_id or run_id in self._members(version.run_id)):
                return f"{version.name}, which is {' and '.join(version.aliases)}, is made of it"
        if any(run.status == "RUNNING" for run in (self._runs[run_id], *self._children.get(run_id, ()))):
            return "it is under way"
        return ""

    def _members(self, run_id: str) -> set[str]:
        """The members that a run was made of, its own and those of others."""
        members = {child.run_id for child in self._children.get(run_id, ()) if child.tags["vad.kind"] == "member"}
        try:
            path = (
                self._tracking.fetch(run_id, "results.json", self._home / "fetched" / run_id)
                if run_id in self._runs
                else None
            )
            return members | set(json.loads(path.read_text())["members"].values() if path else ())
        except (Altered, ValueError, KeyError, AttributeError, TypeError):
            return members

    def _called(self, run_id: str) -> str:
        run = self._runs[run_id]
        return f"{run.tags['vad.kind']} {run.name} (run {run_id[:LEAST]})"

    def _chosen(self, versions: set[str], runs: Sequence[str], stays: list[str]) -> Chosen:
        client, waste, places = self._tracking.client, [], []

        def add(
            what: str, address: str, then: Callable[[], object], first: Callable[[], object] = lambda: None
        ) -> None:
            place = mending.local(address)
            places.extend([place] if place else [])
            waste.append(
                Waste(what, mending.size(place) if place else 0, partial(_remove, self._tracking, address, first, then))
            )

        models: dict[str, _Version | None] = {
            self._versions[name].model_id: self._versions[name] for name in sorted(versions)
        }
        for run_id in runs:
            experiment = self._runs[run_id].experiment_id
            for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
                models.setdefault(model.model_id, None)
        for model_id, version in models.items():
            model = client.get_logged_model(model_id)
            first: Any = partial(_drop, client, version.name) if version else lambda: None
            what = f"version {version.name}" if version else f"logged model {model.name}"
            add(what, model.artifact_location, partial(client.delete_logged_model, model_id), first)
        for run_id in runs:
            add(self._called(run_id), client.get_run(run_id).info.artifact_uri, partial(client.delete_run, run_id))
        return Chosen(waste, freed(places), stays)


def _drop(client: Any, name: str) -> None:
    client.delete_model_version(*name.rpartition("/")[::2])


def _remove(tracking: Tracking, address: str, first: Callable[[], object], then: Callable[[], object]) -> None:
    """Remove what lies at an address. A run that is cut off here is named again, and goes on from here."""
    first()
    tracking.remove_files(address)
    if (place := mending.local(address)) and place.parent.is_dir() and not any(place.parent.iterdir()):
        place.parent.rmdir()
    then()
