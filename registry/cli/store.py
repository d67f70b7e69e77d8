"""Commands that maintain a store: move runs and models to another, find and repair faults, free disk space."""

import json
from pathlib import Path

import click

from registry.cli import completion, options
from vad.errors import InputError


@click.command("export", short_help="Export a run or a model version into a folder.")
@click.argument("folder", type=options.PATH)
@click.option(
    "--run",
    metavar="RUN_ID",
    shell_complete=completion.runs,
    help="A run: its id, or the first 8 or more digits of it.",
)
@click.option(
    "--model",
    metavar="MODEL",
    shell_complete=completion.versions,
    help="Alias, version number or models:/ URI. [production]",
)
def export(folder: str, run: str | None, model: str | None) -> None:
    """Export a model version or a run into a new folder, with all that belongs to it, for another store.

    A version takes along its run, a run its members, wherever they were trained, and its submissions. The folder
    holds JSON and plain files, each with its SHA-256; `vad import` reads it.

    Example: vad export handover --model production
    """
    from registry.maintenance import exporting

    done, notes = exporting.export(Path(folder), run, model)
    click.echo(done)
    for note in notes:
        click.echo(f"  note: {note}", err=True)


@click.command("import", short_help="Import an exported folder into this store.")
@click.argument("folder", type=options.PATH)
@options.writes
def import_(folder: str) -> None:
    """Import the runs and the model version of an exported folder into this store.

    Every file is checked first. What the store already has is skipped, and an interrupted import is resumed.
    A model becomes the candidate where it is the best of its data. `vad promote` makes it production.

    Example: vad import handover
    """
    from registry.maintenance import importing

    done, notes = importing.import_(Path(folder), options.home())
    click.echo("\n".join(done))
    for note in notes:
        click.echo(f"  note: {note}", err=True)


@click.command(short_help="Find what is wrong with the store; --fix repairs it.")
@click.option("--fix", is_flag=True, help="Mend what can be mended. Without it nothing is changed.")
@options.json_option
def doctor(fix: bool, as_json: bool) -> None:
    """Find what is wrong with the store and its caches, and repair it with --fix.

    Folders that were moved, runs whose process is gone, half-written caches, artifacts without an owner, runs and
    versions that lost their files. Exit status 2 while a fault remains; a note is no fault.

    Example: vad doctor --fix
    """
    from registry.maintenance import doctor as examining

    report = examining.examine(options.home())
    if fix:
        report = examining.mend(report, options.home())
    click.echo(examining.as_json(report) if as_json else examining.as_text(report))
    if report.faults:
        raise InputError(examining.summary(report))


@click.command(short_help="Free space: caches, and runs that you name.")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=completion.runs)
@click.option(
    "--runs", is_flag=True, help="Remove runs and versions instead of caches: those named, or all that are older."
)
@click.option("--older-than", type=options.Number(0), metavar="DAYS", help="Remove only what is older. [30 for caches]")
@click.option(
    "--keep", type=options.Number(0), metavar="GB", help="Caches: remove the least recently used, down to this size."
)
@click.option("--dry-run", is_flag=True, help="List what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON and do not ask: remove only with --yes.")
@options.writes
def gc(
    names: tuple[str, ...],
    runs: bool,
    older_than: float | None,
    keep: float | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Free space on the disk. List what would be removed, and ask first.

    Caches are rebuilt when they are needed. With --runs, NAME is a run's id, an experiment (all its runs) or a version (v3):
    they go with their artifacts and members. Versions with an alias, such as production, stay with their runs and members, and so
    do members that another run uses.

    Example: vad gc --older-than 7 --keep 5

    Example: vad gc --runs phase2_ensemble v3 --dry-run
    """
    from registry.maintenance import gc as collecting
    from registry.maintenance.repair import megabytes
    from registry.store.tracking import Tracking

    stays: list[str] = []
    if runs:
        if not names and older_than is None:
            raise InputError("--runs: name runs, experiments or versions, or say which by --older-than DAYS")
        tracking = Tracking()
        tracking.require_in_place()
        waste, size, stays = collecting.choose(names, older_than, tracking, options.home())
    elif names:
        raise InputError(f"{names[0]}: caches have no names; for runs and versions add --runs")
    else:
        limit = None if keep is None else int(keep * 1e9)
        waste = collecting.caches(options.home(), 30 if older_than is None else older_than, limit)
        size = sum(item.size for item in waste)
    if as_json:
        removed = yes and not dry_run
        if removed:
            collecting.remove(waste)
        found = {"removed": removed, "bytes": size, "waste": collecting.by_kind(waste), "stays": stays}
        click.echo(json.dumps(found, indent=2))
        return
    for reason in stays:
        click.echo(f"stays  {reason}", err=True)
    if not waste:
        click.echo("nothing to remove")
        return
    click.echo(collecting.as_text(waste))
    click.echo(f"{megabytes(size)} in all")
    if dry_run:
        return
    try:
        agreed = yes or click.confirm("Remove it?")
    except click.Abort:
        agreed = False
    if not agreed:
        raise InputError("nothing was removed; --yes removes without a question, --dry-run only lists")
    collecting.remove(waste)
    click.echo(f"freed {megabytes(size)}")
