"""What was changed behind the registry's back: files that are not those that were logged, an alias that nobody decided on."""

from collections.abc import Iterator

from registry.maintenance.findings import Finding, Store, Version
from registry.models.history import DECIDING, FOLLOWED, order_of
from registry.models.packaging import FACT, faults
from registry.models.versions import NAME, PRODUCTION
from registry.store.record import recorded
from vad.system.files import sha256

_BRING_BACK = "bring it back, or run the experiment again with FORCE=1"
# Kinds of runs that are of use by their files.
_KINDS = ("experiment", "member")


def altered(store: Store) -> Iterator[Finding]:
    """Files whose SHA-256 is not the recorded one, where they lie on this disk; records that are gone; a moved alias."""
    for run in store.runs:
        known, place = recorded(run.tags), store.place(run.run_id)
        where = f"run {run.run_id} ({run.name})"
        if run.status == "FINISHED" and run.tags["vad.kind"] in _KINDS and not known:
            yield Finding(
                where, "has lost the record of its files (its tag vad.files)", "its experiment finds them anew"
            )
        files = {path: place / path for path in known} if place is not None else {}
        for path, file in files.items():
            if file.is_file() and sha256(file) != known[path]:
                yield Finding(where, f"{path} was altered", _BRING_BACK)
    for version in store.versions:
        yield from _of_version(store, version)
    yield from _alias(store)


def _of_version(store: Store, version: Version) -> Iterator[Finding]:
    where, place = f"models:/{version.name}", store.place(version.name)
    if FACT not in version.tags:
        yield Finding(where, "has lost its facts (its tag `vad`)", "run its experiment again with FORCE=1")
    elif place is not None and place.is_dir():
        for fault in faults(place, version.tags[FACT]):
            yield Finding(where, fault, _BRING_BACK)


def _alias(store: Store) -> Iterator[Finding]:
    """Where `production` is not the version that the last decision made it."""
    made = [run for run in store.runs if run.tags["vad.kind"] == "decision" and run.name.endswith(DECIDING)]
    last = max(made, key=order_of, default=None)
    decided = last.name.split()[0] if last else "none"
    for version in store.versions:
        number = version.name.removeprefix(f"{NAME}/")
        if PRODUCTION in version.aliases and version.name != number and f"v{number}" != decided:
            what = f"is production, but the last decision made {decided} production"
            if last and last.tags.get(FOLLOWED) == "no":
                yield Finding(
                    f"models:/{version.name}", f"{what} and was cut off", f"`vad promote {decided}` completes it"
                )
            else:
                remedy = f"`vad promote v{number}` records that it shall be so; `vad history` tells who was"
                yield Finding(f"models:/{version.name}", what, remedy)
