"""What can go wrong in a store and in its caches: found, and told with what would mend it. Looking changes nothing.

A SQLite store is read by SQL, for MLflow's client makes and migrates what it opens. Any other store is asked through
the client; what needs the disk of its server is left out.
"""

import os
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from registry.maintenance import repair as mending
from registry.maintenance.altered import altered
from registry.maintenance.findings import Finding, Store, Version
from registry.models.versions import NAME, facts_of_version
from registry.store import mlflow_private
from registry.store.address import sqlite_path
from registry.store.connection import require_schema
from registry.store.mlflow_private import Ask, reading
from registry.store.processes import ALIVE, process_gone
from registry.store.processes import here as this_machine
from registry.store.tracking import Found, Kind, Tracking
from vad.errors import InputError

# Days after which a run on another host is doubted.
_LONG = 7
_STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
# What a finished run of each kind is of no use without, and what makes it anew; the fields are tags.
_ESSENTIAL = {
    "experiment": ("results.json", "`vad run {entry}` makes it anew"),
    "member": ("{checkpoint}/weights.safetensors", "`vad run {entry} --force` trains it anew"),
    "submission": ("sha256.txt", "`vad submit --model {version}` writes the same file"),
}
_MADE_ANEW = "made anew since: nothing to do"
# Its frames are drawn anew wherever they are missed.
_DEMO = "demo-street"


@dataclass(frozen=True)
class Report:
    """All findings, and how large the store is. `left_out` names what could not be looked at."""

    findings: list[Finding]
    runs: int
    versions: int
    artifact_bytes: int
    cache_bytes: int
    left_out: tuple[str, ...] = ()

    @property
    def faults(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.note]


def examine(uri: str, home: Path) -> Report:
    """Look at the store at `uri` and at the caches in `home`.

    Raises InputError where there is no store, and for what cannot be read.
    """
    try:
        if (database := sqlite_path(uri)) is None:
            store = _ask(Tracking(uri, mark_stale=False))
            whole = _whole(store)
            findings = [*_running(store.runs, uri), *_lost(store, whole), *altered(store), *_caches(home, store, whole)]
            left_out = ("moved addresses", "altered and orphaned artifacts", "data that is gone")
            return Report(findings, len(store.runs), len(store.versions), 0, mending.size(home), left_out)
        database = database.resolve()
        artifacts = database.with_name(mending.ARTIFACTS)
        folders = list(
            mending.run_folders(artifacts)
        )  # before the database, which knows a run before its folder is made
        store = _read(database, artifacts)
        whole = _whole(store)
        findings = [
            *_moved(store, database, artifacts),
            *_running(store.runs, uri),
            *_lost(store, whole),
            *altered(store),
        ]
        findings += [*_orphans(store, folders, artifacts), *_caches(home, store, whole), *_data(store)]
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}; make it readable, and try again") from None
    return Report(findings, len(store.runs), len(store.versions), mending.size(artifacts), mending.size(home))


def mend(report: Report) -> dict[Finding, str]:
    """Mend what can be mended, and say for each finding what was done, with the file that was made of it.

    Raises InputError for what cannot be written; what came before it stays mended.
    """
    done = {}
    try:
        for finding in report.findings:
            if finding.mend:
                made = finding.mend()
                done[finding] = f"{finding.remedy}: {made}" if isinstance(made, Path) else finding.remedy
    except OSError as error:
        raise InputError(f"cannot change {error.filename}: {error.strerror}; make it yours, and try again") from None
    return done


def _read(database: Path, artifacts: Path) -> Store:
    """What a SQLite store knows, without a byte of it being changed."""
    if not database.is_file():
        raise InputError(f"there is no {database}; run an experiment first, or name a store with MLFLOW_TRACKING_URI")
    try:
        require_schema(database)
        with reading(database) as ask:
            return _of_tables(ask, artifacts)
    except sqlite3.Error as error:
        half = database.with_name(f"{database.name}-journal").exists()
        hint = "a write to it was cut off: `vad leaderboard` takes that back" if half else "is it MLflow's database?"
        raise InputError(f"{database} cannot be read: {error}; {hint}") from None


def _of_tables(ask: Ask, artifacts: Path) -> Store:
    moved = mending.find_moved(mlflow_private.addresses(ask), artifacts)
    place: dict[str, str] = {}
    tags, aliases = mlflow_private.tags(ask), mlflow_private.aliases(ask)
    runs = []
    for run_id, name, experiment, status, start, place[run_id] in mlflow_private.runs(ask):
        about = tags.get(run_id, {})
        if "vad.kind" in about:
            runs.append(Found(run_id, name, str(experiment), "", status, (start or 0) / 1000, {}, {}, about))
    versions = []
    for name, place[name] in mlflow_private.versions(ask):
        facts = facts_of_version(tags.get(name, {}))
        if "vad.entry" in facts or name.startswith(f"{NAME}/"):
            versions.append(Version(name, tuple(aliases.get(name, ())), facts))

    def folder(owner: str) -> Path | None:
        return mending.local(moved.get(place[owner], place[owner]))

    def has(owner: str, path: str) -> bool:
        there = folder(owner)
        return there is None or (there / path).is_file()  # None: on a server, which nobody sees from here

    return Store(runs, versions, mlflow_private.ids(ask), has, folder, moved)


def _ask(tracking: Tracking) -> Store:
    """What a server knows."""
    client = tracking.client
    runs = [run for kind in get_args(Kind) for run in tracking.find(kind, statuses=_STATUSES)]
    found = {f"{version.name}/{version.version}": version for version in client.search_model_versions()}
    aliases: dict[str, list[str]] = {}
    for model in client.search_registered_models():
        for alias, number in sorted(model.aliases.items()):
            aliases.setdefault(f"{model.name}/{number}", []).append(alias)
    versions = [
        Version(name, tuple(aliases.get(name, ())), facts)
        for name, version in found.items()
        if "vad.entry" in (facts := facts_of_version(version.tags)) or version.name == NAME
    ]

    def has(owner: str, path: str) -> bool:
        if owner in found:
            listed = client.list_logged_model_artifacts(found[owner].source.removeprefix("models:/"))
        else:
            listed = client.list_artifacts(owner, os.path.dirname(path) or None)
        return path in {item.path for item in listed}

    return Store(runs, versions, {run.run_id for run in runs}, has)


def _moved(store: Store, database: Path, artifacts: Path) -> Iterator[Finding]:
    """Addresses that were right before somebody moved or copied the folder."""
    if store.moved:
        roots = ", ".join(sorted({str(mending.root(address)) for address in store.moved}))
        yield Finding(
            str(database),
            f"{len(store.moved)} addresses lead to {roots}, but the files lie in {artifacts}",
            "set right, after a copy of the database beside it",
            partial(mending.set_right, database, store.moved),
        )


def _running(runs: Sequence[Found], uri: str) -> Iterator[Finding]:
    """Runs that say RUNNING though nobody runs them."""
    here = this_machine()
    unfinished = [run for run in runs if run.status == "RUNNING"]
    if gone := [run for run in unfinished if process_gone(run.tags)]:
        yield Finding(
            ", ".join(map(_named, gone)),
            "RUNNING, but the process is gone",
            "marked KILLED; the command that began it goes on from there",
            partial(Tracking, uri),  # which marks them on opening
        )
    for run in unfinished:
        host, days = run.tags.get("vad.host"), (time.time() - run.started) / 86400
        if host not in (None, here) and ALIVE not in run.tags and days > _LONG:
            yield Finding(
                _named(run), f"RUNNING on {host} for {days:.0f} days", f"if it died, any `vad` on {host} says so"
            )


def _whole(store: Store) -> set[str]:
    """Finished runs, by id, and versions, by name, that have the file without which they are of no use."""
    files = {run.run_id: _essential(run)[0] for run in store.runs if run.status == "FINISHED" and _essential(run)[0]}
    files |= {version.name: "MLmodel" for version in store.versions}
    return {owner for owner, path in files.items() if store.has(owner, path)}


def _essential(run: Found) -> tuple[str, str]:
    """The artifact without which a finished run is of no use, empty if there is none, and how it is made anew."""
    kind, about = run.tags["vad.kind"], defaultdict(str, {k.removeprefix("vad."): v for k, v in run.tags.items()})
    path, remedy = _ESSENTIAL.get(kind, ("", ""))
    return path.format_map(about), remedy.format_map(about)


def _lost(store: Store, whole: set[str]) -> Iterator[Finding]:
    """Finished runs and versions without their files; what was made anew since is no fault."""
    made = {run.tags.get("vad.digest") for run in store.runs if run.run_id in whole}
    for run in store.runs:
        path, remedy = _essential(run)
        if run.status == "FINISHED" and path and run.run_id not in whole:
            anew = run.tags.get("vad.digest") in made
            note = anew or run.tags["vad.kind"] == "submission"
            yield Finding(_named(run), f"its {path} is gone", _MADE_ANEW if anew else remedy, note=note)
    registered = {_recipe(version): version.name for version in store.versions if version.name in whole}
    for version in store.versions:
        if version.name not in whole:
            other, entry = registered.get(_recipe(version)), version.tags.get("vad.entry", "EXP")
            remedy = f"made anew as {other}" if other else f"`vad run {entry} --force` registers it anew"
            note = other is not None and not {*version.aliases} - {"previous"}
            if version.aliases and not note:
                remedy += f"; then `vad promote` that, for this one is {' and '.join(version.aliases)}"
            yield Finding(f"models:/{version.name}", "its files are gone", remedy, note=note)


def _recipe(version: Version) -> tuple[str | None, str | None]:
    return version.tags.get("vad.ensemble"), version.tags.get("vad.protocol")


def _orphans(store: Store, folders: Sequence[Path], artifacts: Path) -> Iterator[Finding]:
    """Artifacts of runs and logged models that the database does not know."""
    when = time.strftime("%Y%m%d-%H%M%S")
    for folder in sorted(folders):
        if folder.name not in store.ids and mending.settled(folder):
            yield Finding(
                str(folder),
                f"{mending.megabytes(mending.size(folder))} of artifacts that no run of this database owns",
                f"moved to {artifacts / mending.ASIDE}",
                partial(mending.set_aside, folder, artifacts, when),
            )


def _caches(home: Path, store: Store, whole: set[str]) -> Iterator[Finding]:
    """Files in `home` that are half-written or of no use any more."""
    finished = {run.tags.get("vad.digest", "") for run in store.runs if run.run_id in whole}
    for path, what in mending.useless(home, store.ids, finished):
        lock = home / "locks" / path.stem
        with mending.free(lock) as nobody:
            if nobody and mending.settled(path):
                yield Finding(str(path), what, "removed", partial(mending.remove, path, lock))


def _data(store: Store) -> Iterator[Finding]:
    """Data and labels that runs and versions name, and that are not there any more. The store is sound without them."""
    named = Counter(
        place
        for tags in (*(run.tags for run in store.runs), *(version.tags for version in store.versions))
        for key in ("vad.data", "vad.labels")
        if (place := tags.get(key, "")).startswith("/") and _DEMO not in Path(place).parts
    )
    for place, count in sorted(named.items()):
        if not Path(place).exists():
            yield Finding(place, f"gone; {count} runs and versions name it", "give DATA= where you need it", note=True)


def _named(run: Found) -> str:
    return f"run {run.run_id} ({run.name})"
