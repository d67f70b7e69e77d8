"""What `vad run` and `vad leaderboard` have in common of suites: which one is meant, and its matrix."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.cli import options
from vad.errors import InputError

if TYPE_CHECKING:  # it would load NumPy
    from registry.data.datasets import Dataset
    from registry.suites.suite import Suite


def asked_for(file: str | None, data: tuple[str, ...], labels: tuple[str, ...], asked: Mapping[str, Any]) -> "Suite":
    """The suite of a file, or of the data sets of the command line."""
    from registry.suites.suite import read_suite, suite_of

    of_data = {"--data": data, "--labels": labels, "--first-frame": asked["first_frame"]}
    of_data |= {"--profile": asked["profile"], "--set": asked["overrides"]}
    if file:
        if given := [option for option, value in of_data.items() if value not in (None, ())]:
            raise click.UsageError(f"{file} says data and settings; leave out {' and '.join(given)}")
        return read_suite(Path(file))
    if not data:
        raise click.UsageError("--suite takes a file, as in `--suite suite.yaml`; without one give several --data")
    return suite_of(data, labels, asked["first_frame"], asked["profile"], asked["overrides"])


def one(labels: tuple[str, ...]) -> str | None:
    """The labels of the only data set."""
    if len(labels) > 1:
        raise click.UsageError("--labels is given several times for one data set; give it once")
    return next(iter(labels), None)


def opened(suite: "Suite") -> "list[Dataset]":
    """The data sets of a suite."""
    from registry.console import libraries_silent
    from registry.suites.suite import open_sets

    with libraries_silent():
        return open_sets(suite, options.home())


def show(suite: "Suite", form: str | None = None, picture: str | None = None) -> None:
    """Print a suite's matrix of finished runs, draw it, and write it to MLflow where that can be written."""
    from registry.console import say
    from registry.store.retries import mendable
    from registry.store.tracking import Tracking
    from registry.suites import report
    from registry.suites.cells import entries_run, find_cells
    from registry.suites.matrix import matrix
    from registry.suites.record import record

    tracking, home, sets = Tracking(), options.home(), opened(suite)
    if not suite.entries:
        suite = suite.of(entries_run(suite, sets, tracking))
    found = matrix(find_cells(suite, sets, tracking, home))
    click.echo({"json": report.as_json, "csv": report.as_csv}.get(form or "", report.as_text)(found))
    if picture:
        from registry.suites.picture import draw

        draw(Path(picture), found)
        say(f"wrote {picture}")
    try:
        record(found, tracking)
    except Exception as error:
        why = str(error) if isinstance(error, InputError) else mendable(error, tracking.uri, home)
        if why is None:
            raise
        say(f"note: the matrix is not in MLflow: {why}")
