"""Find and remove what may go: caches, which are rebuilt when needed, and runs and versions that a person names."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from registry.analysis.choose import LEAST, PARENT, all_runs, by_id
from registry.console import table
from registry.maintenance import repair as mending
from registry.models.versions import Version, all_versions
from registry.store.address import ARTIFACTS, local_path, sqlite_path
from registry.store.record import Altered
from registry.store.tracking import Found, Tracking, default_uri
from vad.errors import InputError
from vad.frames.store import MAPS
from vad.system.files import share, twins

_DAY = 86400
# Kinds of caches by what they are called in VAD_HOME, which may be a folder that holds other files, too.
_CACHES = {
    f"frames/{MAPS}": "decoded frames",
    "fetched/[!.]*": "files fetched from a server",
    "ui/[!.]*": "logs of MLflow's UI",
    "serving/[!.]*": "logs of servers",
    "errors/[!.]*": "reports of errors",
}


@dataclass(frozen=True)
class Waste:
    """Something that can be removed: what it is, the bytes that this frees, and the steps that remove it."""

    what: str
    size: int
    steps: Sequence[Callable[[], object]]


def caches(home: Path, days: float, most: int | None) -> list[Waste]:
    """Return which caches in `home` may go: not used for `days`, or used least while there are more bytes than `most`."""
    before = time.time() - days * _DAY
    found: list[Waste] = []
    paths = [(path, what) for place, what in _CACHES.items() for path in home.glob(place)]
    by_use = sorted((last_used(path), what, path, mending.size(path)) for path, what in paths)
    total = sum(size for *_, size in by_use)
    for used, what, path, size in by_use:
        if (used < before or (most is not None and total > most)) and mending.settled(path):
            why = f"not used for {days:g} days" if used < before else "used least"
            found.append(Waste(f"{what}, {why}", size, [partial(mending.remove, path)]))
            total -= size
    database = sqlite_path(default_uri())
    if database is None or database.exists():  # else there is no way to know which members are finished
        found += _states(home, Tracking(mark_stale=False), before)
    for path in sorted((home / "locks").glob("[!.]*")):
        if path.stat().st_mtime < min(before, time.time() - _DAY) and mending.idle(path, path):
            found.append(Waste("locks that no process holds", 0, [partial(mending.remove, path, path)]))
    if database is not None:
        twice = "weights that are stored twice: one file from now on"
        weights = sorted(database.absolute().with_name(ARTIFACTS).rglob("*.safetensors"))
        found += [Waste(twice, copy.stat().st_size, [partial(share, one, copy)]) for one, copy in twins(weights)]
    return found


def _states(home: Path, tracking: Tracking, before: float) -> Iterator[Waste]:
    """Yield states of half-trained members that no run will resume: the member is finished, or no interrupted run needs it."""
    done = {run.tags.get("vad.digest") for run in tracking.find("member")}
    unfinished = tracking.find("member", statuses=("RUNNING", "KILLED", "FAILED"))
    open_ = {run.tags.get("vad.digest") for run in unfinished} - done
    for path in sorted((home / "resume").glob("[!.]*.safetensors")):
        digest, lock = path.stem, home / "locks" / path.stem
        if (digest in done or (digest not in open_ and last_used(path) < before)) and mending.idle(path, lock):
            why = "it is finished" if digest in done else "no run of this store is of it"
            what = f"the state of a half-trained member, as {why}"
            yield Waste(what, mending.size(path), [partial(mending.remove, path, lock)])


def last_used(path: Path) -> float:
    """When a file, or one in a folder, was last read or written; seconds since 1970. Systems note reading once a day."""
    seen = mending.files(path).values()
    return max((max(about.st_mtime, about.st_atime) for about in seen), default=path.lstat().st_mtime)


def freed(places: Iterable[Path]) -> int:
    """Return the bytes that removing these files and folders frees: those of a file only with the last of its hard links."""
    found = mending.files(*places).values()
    names = Counter((about.st_dev, about.st_ino) for about in found)
    whole = {(a.st_dev, a.st_ino): a.st_size for a in found if names[a.st_dev, a.st_ino] >= a.st_nlink}
    return sum(whole.values())


def by_kind(waste: Sequence[Waste]) -> list[dict[str, Any]]:
    """What would go, how many of each kind, and how many bytes; what frees most comes first."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for item in waste:
        kinds[item.what].append(item.size)
    found = [{"what": what, "count": len(sizes), "bytes": sum(sizes)} for what, sizes in kinds.items()]
    return sorted(found, key=lambda kind: -kind["bytes"])


def as_text(waste: Sequence[Waste]) -> str:
    """The same for a terminal."""
    rows = [[kind["what"], kind["count"], mending.megabytes(kind["bytes"])] for kind in by_kind(waste)]
    return table(["what", "", "size"], rows, right=(1, 2))


def remove(waste: Collection[Waste]) -> None:
    """Remove all of it, in this order. Raises InputError at the first that cannot be removed."""
    with mending.possible("remove", "make it yours"):
        for step in (step for item in waste for step in item.steps):
            step()


def choose(
    names: Sequence[str], days: float | None, tracking: Tracking, home: Path
) -> tuple[list[Waste], int, list[str]]:
    """Return what goes with the named runs (ids, experiments) and versions (`v3`), or with all runs, if older than `days`.

    In the order in which it has to go; then the bytes that are free, and what stays and why: what has an alias, with its
    run and members, members that another run uses, runs under way. Raises InputError for a name that is none.
    """
    store = _Store(tracking, home)
    runs, versions = store.named(names) if names else (store.experiments, set[str]())
    if days is not None:
        before = time.time() - days * _DAY
        runs = {run_id for run_id in runs if store.runs[run_id].started < before}
    kept = {name for name in versions if store.versions[name].aliases}
    stays = [f"{name} is {' and '.join(store.versions[name].aliases)}" for name in sorted(kept)]
    needed = {run_id: reason for run_id in sorted(runs) if (reason := store.needed(run_id))}
    stays += [f"{store.called(run_id)}: {reason}" for run_id, reason in needed.items()]
    runs = runs - needed.keys()
    # Members go with their experiment unless another uses them.
    used = {member for run_id in store.experiments - runs for member in store.members(run_id)}
    wanted = runs | {child.run_id for run_id in runs for child in store.children[run_id]}
    stays += [f"{store.called(run_id)}: another run uses it" for run_id in sorted(wanted & used)]
    gone = wanted - used
    versions = versions - kept | {version.name for version in store.versions.values() if version.run_id in gone}
    last = sorted(gone, key=lambda run_id: (run_id in store.experiments, run_id))
    return *store.waste([store.versions[name] for name in sorted(versions)], last), stays


class _Store:
    """The runs of a store by id, without decisions, which stay; and its versions by name."""

    def __init__(self, tracking: Tracking, home: Path):
        self._tracking, self._home = tracking, home
        self.runs = {run.run_id: run for run in all_runs(tracking) if run.tags["vad.kind"] != "decision"}
        self.experiments = {run.run_id for run in self.runs.values() if run.tags["vad.kind"] == "experiment"}
        self.children: dict[str, list[Found]] = defaultdict(list)
        for run in self.runs.values():
            self.children[run.tags.get(PARENT, "")].append(run)
        self.versions = {version.name: version for version in all_versions(tracking)}

    def named(self, names: Sequence[str]) -> tuple[set[str], set[str]]:
        """The runs and the versions that are named. Raises InputError for a name that is none, or more than one's."""
        runs: set[str] = set()
        versions: set[str] = set()
        for name in names:
            bare = name.removeprefix("models:/")
            fitting = [v.name for v in self.versions.values() if v.name == bare or name in (v.number, f"v{v.number}")]
            if len(fitting) > 1:
                raise InputError(f"{name}: there are {' and '.join(sorted(fitting))}; name one of them")
            if fitting:
                versions.add(fitting[0])
            elif run := by_id(name, self.runs.values()):
                runs.add(run.run_id)
            elif found := {run_id for run_id in self.experiments if self.runs[run_id].tags.get("vad.entry") == name}:
                runs |= found
            else:
                lists = "`vad leaderboard --all` lists runs, `vad history` versions"
                raise InputError(f"{name}: there is no such run, experiment or version; {lists}")
        return runs, versions

    def needed(self, run_id: str) -> str:
        """Why a run that is named stays; empty where it may go."""
        for version in self.versions.values():
            if version.aliases and (version.run_id == run_id or run_id in self.members(version.run_id)):
                return f"{version.name}, which is {' and '.join(version.aliases)}, is made of it"
        under_way = any(run.status == "RUNNING" for run in (self.runs[run_id], *self.children[run_id]))
        return "it is under way" if under_way else ""

    def members(self, run_id: str) -> set[str]:
        """The members that a run was made of, its own and those of others."""
        members = {child.run_id for child in self.children[run_id] if child.tags["vad.kind"] == "member"}
        if run_id not in self.runs:
            return members
        try:
            results = self._tracking.read_json(run_id, "results.json", self._home) or {}
            return members | set(results.get("members", {}).values())
        except (Altered, AttributeError, TypeError):
            return members

    def called(self, run_id: str) -> str:
        run = self.runs[run_id]
        return f"{run.tags['vad.kind']} {run.name} (run {run_id[:LEAST]})"

    def waste(self, versions: Collection[Version], runs: Sequence[str]) -> tuple[list[Waste], int]:
        """What goes with these versions and runs, their logged models first; and the bytes that are free then."""
        client = self._tracking.client
        waste: list[Waste] = []
        places: list[Path] = []

        def add(what: str, address: str, *steps: Callable[[], object]) -> None:  # the files go before the last step
            place = local_path(address)
            places.extend([place] if place else [])
            remove = partial(_remove, self._tracking, address)
            waste.append(Waste(what, mending.size(place) if place else 0, (*steps[:-1], remove, steps[-1])))

        models: dict[str, Version | None] = {version.model_id: version for version in versions}
        for run_id in runs:
            of_run = [self.runs[run_id].experiment_id], f"source_run_id = '{run_id}'"
            models |= {m.model_id: None for m in client.search_logged_models(*of_run) if m.model_id not in models}
        for model_id, version in models.items():
            model = client.get_logged_model(model_id)
            what = f"version {version.name}" if version else f"logged model {model.name}"
            first = [partial(client.delete_model_version, version.model, version.number)] if version else []
            add(what, model.artifact_location, *first, partial(client.delete_logged_model, model_id))
        for run_id in runs:
            add(self.called(run_id), client.get_run(run_id).info.artifact_uri, partial(client.delete_run, run_id))
        return waste, freed(places)


def _remove(tracking: Tracking, address: str) -> None:
    """Remove what is at an address, and then its folder if it is empty."""
    tracking.remove_files(address)
    if (place := local_path(address)) and place.parent.is_dir() and not any(place.parent.iterdir()):
        place.parent.rmdir()
