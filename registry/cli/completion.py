"""What a shell completes: names of experiments, runs and versions. It says nothing of what fails, and makes no store."""

import os
from collections.abc import Callable, Iterable
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from registry.store.address import reading, sqlite_path, sqlite_uri

# A database is asked directly: importing MLflow takes seconds.
_RUNS = """
    SELECT substr(r.run_uuid, 1, 8), r.name || ', ' || lower(r.status) FROM runs r JOIN tags t USING (run_uuid)
    WHERE t.key = 'vad.kind' AND t.value = 'experiment' AND r.lifecycle_stage = 'active' ORDER BY r.start_time DESC
"""
_VERSIONS = """
    SELECT known, about FROM (
        SELECT alias AS known, 'version ' || version AS about, NULL AS place FROM registered_model_aliases
        WHERE name = 'vad-ensemble'
        UNION ALL
        SELECT 'v' || version, '', -version FROM model_versions WHERE name = 'vad-ensemble'
    ) ORDER BY place, known
"""
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
    return _asked(_RUNS, _runs_of)


def _runs_of(tracking: Any) -> Named:
    return [(run.run_id[:8], f"{run.name}, {run.status.lower()}") for run in tracking.find("experiment")]


def _versions() -> Named:
    return _asked(_VERSIONS, _versions_of)


def _versions_of(tracking: Any) -> Named:
    from registry.models.versions import Versions

    known = Versions(tracking)
    aliases = sorted((name, f"version {number}") for number, names in known.aliases().items() for name in names)
    return [*aliases, *((f"v{version.number}", "") for version in known.all())]


def _asked(query: str, of_server: Callable[[Any], Named]) -> Named:
    """What the store's file answers to the query; else `of_server`, of which one neither waits nor tells that it is away."""
    if database := sqlite_path(os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(Path("mlflow.db").resolve())):
        with reading(database, timeout=0.5) as ask:
            return ask(query)
    from registry.console import be_quiet
    from registry.store.retries import without_retries
    from registry.store.tracking import Tracking

    be_quiet(True)
    try:
        with without_retries():
            return of_server(Tracking(mark_stale=False))
    finally:
        be_quiet(False)


experiments = _complete(_experiments)
versions = _complete(_versions)
runs = _complete(lambda: [*_runs(), *_versions()])
"""Where a run is named, a version stands for the run that made it."""
