"""Check a store and the caches in VAD_HOME: each check yields its findings and changes nothing."""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from registry.analysis.choose import all_runs
from registry.maintenance import repair as mending
from registry.models.history import DECIDING, FOLLOWED, order_of
from registry.models.packaging import FACT, faults
from registry.models.versions import ALL, DEMO, NAME, PRODUCTION, Version, all_versions
from registry.store.address import ARTIFACTS, local_path
from registry.store.processes import ALIVE, process_gone
from registry.store.processes import here as this_machine
from registry.store.record import TAG, recorded
from registry.store.tags import stored
from registry.store.tracking import Found, Tracking
from vad.frames import maps
from vad.frames.store import MAPS
from vad.system.files import left_behind, sha256

_LONG = 7  # days after which a run on another host is doubted
# The file that a finished run of each kind must have, and how to make it again; the fields are tags.
_ESSENTIAL = {
    "experiment": ("results.json", "`vad run {entry}` makes it again"),
    "member": ("{checkpoint}/weights.safetensors", "`vad run {entry} --force` trains it again"),
    "submission": ("sha256.txt", "`vad submit --model {version}` writes the same file"),
}
_BRING_BACK = "bring it back, or run the experiment again with FORCE=1"


@dataclass(frozen=True)
class Finding:
    """What is wrong where, and the remedy, which `mend` does if it is given. A note is no fault."""

    where: str
    what: str
    remedy: str
    mend: Callable[[], object] | None = field(default=None, compare=False)
    note: bool = False


@dataclass(frozen=True)
class Store:
    """What a store knows; an owner of files is a run (by id) or a version (by name). All but `tracking` of a SQLite store only."""

    tracking: Tracking
    places: Mapping[str, str] = field(default_factory=dict)  # the address of each owner's files, and of deleted ones
    database: Path | None = None
    moved: Mapping[str, str] = field(default_factory=dict)  # the right address for each wrong one
    folders: Sequence[Path] = ()  # of artifacts, as they were before the database was read

    @cached_property
    def runs(self) -> list[Found]:
        return all_runs(self.tracking)

    @cached_property
    def versions(self) -> list[Version]:
        return all_versions(self.tracking)

    @property
    def artifacts(self) -> Path:
        return self.database.with_name(ARTIFACTS) if self.database else Path()

    def place(self, owner: str) -> Path | None:
        """Return the folder of an owner's files, if it is on this disk."""
        return local_path(self.places.get(owner, ""))

    def has(self, owner: str, path: str) -> bool:
        """Return whether an owner has a file, or may have it: an artifact server next to a SQLite store is not checked."""
        if self.database:
            there = self.place(owner)
            return there is None or (there / path).is_file()
        client, models = self.tracking.client, {version.name: version.model_id for version in self.versions}
        listed: Callable[..., Any] = client.list_logged_model_artifacts if owner in models else client.list_artifacts
        return path in {item.path for item in listed(models.get(owner, owner), os.path.dirname(path) or None)}

    @cached_property
    def whole(self) -> set[str]:
        """Finished runs, by id, and versions, by name, that have the file that they must have."""
        files = {run.run_id: path for run in self.runs if run.status == "FINISHED" and (path := _essential(run)[0])}
        files |= {version.name: "MLmodel" for version in self.versions}
        return {owner for owner, path in files.items() if self.has(owner, path)}


def check(store: Store, home: Path) -> list[Finding]:
    """All that is wrong with a store and with the caches in `home`."""
    found = [*_moved(store), *_running(store), *_lost(store), *_altered(store)]
    return [*found, *_orphans(store), *_caches(store, home), *_data(store)]


def _moved(store: Store) -> Iterator[Finding]:
    """Find addresses that became wrong when the folder was moved or copied."""
    if store.database and store.moved:
        roots = ", ".join(sorted({str(parts[0]) for address in store.moved if (parts := mending.cut(address))}))
        what = f"{len(store.moved)} addresses lead to {roots}, but the files lie in {store.artifacts}"
        mend = partial(mending.set_right, store.database, store.moved)
        yield Finding(str(store.database), what, "corrected; a copy of the old database is next to it", mend)


def _running(store: Store) -> Iterator[Finding]:
    """Runs with the status RUNNING whose process is gone."""
    here = this_machine()
    unfinished = [run for run in store.runs if run.status == "RUNNING"]
    if gone := [run for run in unfinished if process_gone(run.tags)]:
        remedy = "marked KILLED; the command that started it resumes there"
        # Opening the store marks them.
        yield Finding(", ".join(map(_named, gone)), "RUNNING, but the process is gone", remedy, Tracking)
    for run in unfinished:
        host, days = run.tags.get("vad.host"), (time.time() - run.started) / 86400
        if host not in (None, here) and ALIVE not in run.tags and days > _LONG:
            what = f"RUNNING on {host} for {days:.0f} days"
            yield Finding(_named(run), what, f"if it died, any `vad` on {host} says so")


def _essential(run: Found) -> tuple[str, str]:
    """Return the artifact that a finished run must have, empty if there is none, and how to make it again."""
    about = defaultdict(str, {key.removeprefix("vad."): value for key, value in run.tags.items()})
    path, remedy = _ESSENTIAL.get(run.tags["vad.kind"], ("", ""))
    return path.format_map(about), remedy.format_map(about)


def _lost(store: Store) -> Iterator[Finding]:
    """Find finished runs and versions without their files; what was made again since is not a fault."""
    made = {run.tags.get("vad.digest") for run in store.runs if run.run_id in store.whole}
    for run in store.runs:
        path, remedy = _essential(run)
        if run.status == "FINISHED" and path and run.run_id not in store.whole:
            again = run.tags.get("vad.digest") in made
            note = again or run.tags["vad.kind"] == "submission"
            remedy = "made again since: nothing to do" if again else remedy
            yield Finding(_named(run), f"its {path} is gone", remedy, note=note)
    registered = {_recipe(version): version.name for version in store.versions if version.name in store.whole}
    for version in store.versions:
        if version.name not in store.whole:
            other, entry = registered.get(_recipe(version)), version.tags.get("vad.entry", "EXP")
            remedy = f"made again as {other}" if other else f"`vad run {entry} --force` registers it again"
            note = other is not None and not {*version.aliases} - {"previous"}
            if version.aliases and not note:
                remedy += f"; then `vad promote` that, for this one is {' and '.join(version.aliases)}"
            yield Finding(version.uri, "its files are gone", remedy, note=note)


def _recipe(version: Version) -> tuple[str | None, str | None]:
    return version.tags.get("vad.ensemble"), version.tags.get("vad.protocol")


def _altered(store: Store) -> Iterator[Finding]:
    """Files that are not those that were logged, where they lie on this disk; records that are gone; a moved alias."""
    for run in store.runs:
        known, place = recorded(run.tags), store.place(run.run_id)
        if run.status == "FINISHED" and run.tags["vad.kind"] in ("experiment", "member") and not known:
            what = f"has lost the record of its files (its tag {stored(TAG)})"
            yield Finding(_named(run), what, "its experiment computes them again")
        for path, digest in known.items():
            if place and (place / path).is_file() and sha256(place / path) != digest:
                yield Finding(_named(run), f"{path} was altered", _BRING_BACK)
    for version in store.versions:
        where, place = version.uri, store.place(version.name)
        if FACT not in version.tags:
            yield Finding(where, f"has lost its facts (its tag {ALL})", "run its experiment again with FORCE=1")
        elif place is not None and place.is_dir():
            yield from (Finding(where, fault, _BRING_BACK) for fault in faults(place, version.tags[FACT]))
    yield from _alias(store)


def _alias(store: Store) -> Iterator[Finding]:
    """Where `production` is not the version that the last decision made it."""
    made = [run for run in store.runs if run.tags["vad.kind"] == "decision" and run.name.endswith(DECIDING)]
    last = max(made, key=order_of, default=None)
    decided = last.name.split()[0] if last else "none"
    cut_off = last is not None and last.tags.get(FOLLOWED) == "no"
    for version in store.versions:
        if PRODUCTION in version.aliases and version.model == NAME and f"v{version.number}" != decided:
            what = f"is production, but the last decision made {decided} production"
            remedy = f"`vad promote v{version.number}` records that it shall be so; `vad history` shows who was"
            if cut_off:
                what, remedy = f"{what} and was cut off", f"`vad promote {decided}` completes it"
            yield Finding(version.uri, what, remedy)


def _orphans(store: Store) -> Iterator[Finding]:
    """Artifacts of runs and logged models that the database does not know."""
    when = time.strftime("%Y%m%d-%H%M%S")
    for folder in sorted(store.folders):
        if folder.name not in store.places and mending.settled(folder):
            what = f"{mending.megabytes(mending.size(folder))} of artifacts that no run of this database owns"
            aside = partial(mending.set_aside, folder, store.artifacts, when)
            yield Finding(str(folder), what, f"moved to {store.artifacts / mending.ASIDE}", aside)


def _caches(store: Store, home: Path) -> Iterator[Finding]:
    """Files in `home` that are half-written or of no use any more."""
    ids = {run.run_id for run in store.runs}
    finished = {run.tags.get("vad.digest", "") for run in store.runs if run.run_id in store.whole}
    kinds: tuple[tuple[str, Callable[[Path], bool], str], ...] = (
        ("**/.*.part", left_behind, "half-written; its writer is gone"),
        ("resume/*.safetensors", lambda path: path.stem in finished, "the state of a training that is finished"),
        # Another store than one on this disk may know the run.
        ("fetched/*", lambda path: not store.database and path.name not in ids, "fetched from a run that is gone"),
        ("index/*.json", lambda path: not mending.is_json(path), "unreadable"),
    )
    for path in sorted(home.glob(f"frames/{MAPS}.npy")):
        # It got its name when it was complete, so nobody is writing it.
        if maps.state(path) == "damaged":
            yield Finding(str(path), "its content is not what was written", "removed", partial(path.unlink, True))
    for pattern, is_useless, why in kinds:
        for path in sorted(home.glob(pattern)):
            lock = home / "locks" / path.stem
            if is_useless(path) and mending.idle(path, lock):
                yield Finding(str(path), why, "removed", partial(mending.remove, path, lock))


def _data(store: Store) -> Iterator[Finding]:
    """Data and labels on this disk that runs and versions name, and that are gone. The store is sound without them."""
    tags = [*(run.tags for run in store.runs), *(version.tags for version in store.versions)] if store.database else []
    named = Counter(about[key] for about in tags for key in ("vad.data", "vad.labels") if key in about)
    for place, count in sorted(named.items()):
        # The demo street is drawn again when it is needed.
        if place.startswith("/") and DEMO not in Path(place).parts and not Path(place).exists():
            yield Finding(place, f"gone; {count} runs and versions name it", "give DATA= where you need it", note=True)


def _named(run: Found) -> str:
    return f"run {run.run_id} ({run.name})"
