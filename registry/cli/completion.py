"""What a shell completes: names of experiments, runs and versions. It says nothing of what fails, and makes no store."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from registry.store.address import reading, sqlite_path, sqlite_uri

# A database is asked directly: importing MLflow takes seconds.
_RUNS = """
    SELECT r.run_uuid, r.name, r.status FROM runs r JOIN tags t USING (run_uuid)
    WHERE t.key = 'vad.kind' AND t.value = 'experiment' AND r.lifecycle_stage = 'active' ORDER BY r.start_time DESC
"""
_VERSIONS = "SELECT version FROM model_versions WHERE name = 'vad-ensemble' ORDER BY version DESC"
_ALIASES = "SELECT alias, version FROM registered_model_aliases WHERE name = 'vad-ensemble' ORDER BY alias"
_DIGITS = 8  # of a run's id, as tables show it
Named = Iterable[tuple[str, str]]
"""Names, each with what helps to choose it."""


def _complete(names: Callable[[], Named]) -> Callable[..., list[CompletionItem]]:
    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        with suppress(Exception), chdir(context.find_root().params.get("directory") or "."):
            return [CompletionItem(name, help=about) for name, about in names() if name.startswith(begun)]
        return []

    return complete


def _experiments() -> Named:
    from registry.entries.loading import all_experiments

    yield "all", "every experiment"
    yield from ((path.stem, "") for path in all_experiments())


def _runs() -> Named:
    database = _database()
    if database:
        with reading(database, timeout=0.5) as ask:
            found = ask(_RUNS)
    else:
        with _tracking() as tracking:
            found = [(run.run_id, run.name, run.status) for run in tracking.find("experiment")]
    return ((run[:_DIGITS], f"{name}, {status.lower()}") for run, name, status in found)


def _versions() -> Named:
    database = _database()
    if database:
        with reading(database, timeout=0.5) as ask:
            versions, aliases = ask(_VERSIONS), ask(_ALIASES)
    else:
        from registry.models.versions import Versions

        with _tracking() as tracking:
            known = Versions(tracking)
            versions = [(version.number,) for version in known.all()]
            aliases = sorted((name, number) for number, names in known.aliases().items() for name in names)
    yield from ((name, f"version {number}") for name, number in aliases)
    yield from ((f"v{number}", "") for (number,) in versions)


def _database() -> Path | None:
    """The store's file; None where the store is no file."""
    return sqlite_path(os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(Path("mlflow.db").resolve()))


@contextmanager
def _tracking() -> Iterator[Any]:
    """A server's store, of which one neither waits nor tells that it is away."""
    from registry.console import be_quiet
    from registry.store.retries import without_retries
    from registry.store.tracking import Tracking

    be_quiet(True)
    try:
        with without_retries():
            yield Tracking(mark_stale=False)
    finally:
        be_quiet(False)


experiments = _complete(_experiments)
versions = _complete(_versions)
runs = _complete(lambda: [*_runs(), *_versions()])
"""Where a run is named, a version stands for the run that made it."""
