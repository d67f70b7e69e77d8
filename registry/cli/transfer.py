"""Commands that carry runs and models from one store to another."""

from collections.abc import Iterable
from pathlib import Path

import click

from registry.cli.options import Place, home, writes


@click.command("export", short_help="A run or a model version into a folder.")
@click.argument("folder", type=Place(Path))
@click.option("--run", metavar="RUN_ID", help="A run: its id, or the first 8 or more digits of it.")
@click.option("--model", metavar="MODEL", help="Alias, version number or models:/ URI. [production]")
def export(folder: Path, run: str | None, model: str | None) -> None:
    """Write a model version or a run into a new folder, with all that belongs to it, for another store.

    A version takes along its run, a run its members, wherever they were trained, and its submissions. The folder
    holds JSON and plain files, each with its SHA-256; `vad import` reads it.

    Example: vad export handover --model production
    """
    from registry.maintenance import exporting

    done = exporting.export(folder, run, model)
    click.echo(f"exported {done.what} to {folder}: {_runs(done.runs)}, {done.files} files, {done.size / 1e6:,.1f} MB")
    _tell(done.notes)


@click.command("import", short_help="What such a folder holds, into this store.")
@click.argument("folder", type=Place(Path))
@writes
def import_(folder: Path) -> None:
    """Make the runs and the model version of an exported folder in this store.

    Every file is checked first. What is there already is not made again, and what was cut off is taken up.
    A model becomes the candidate where it is the best of its data. `vad promote` makes it production.

    Example: vad import handover
    """
    from registry.maintenance import importing

    done = importing.import_(folder, home())
    for old, new in done.runs.items():
        click.echo(f"run    {new}, which was {old}")
    click.echo(f"{_runs(len(done.runs))} imported, {done.known} were there already")
    if done.version:
        click.echo(f"model  {done.version}")
    _tell(done.notes)


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


def _tell(notes: Iterable[str]) -> None:
    for note in notes:
        click.echo(f"  note: {note}", err=True)
