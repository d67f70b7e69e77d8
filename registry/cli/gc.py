"""`vad gc`: room on the disk, from caches, and from runs that nobody needs."""

from typing import TYPE_CHECKING

import click

from registry.cli.options import home, writes
from vad.errors import InputError

if TYPE_CHECKING:  # what is heavy is imported where it is used
    from registry.maintenance.gc import Waste


@click.command(short_help="Free room: caches, and runs that you name.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--runs", is_flag=True, help="Runs and versions instead of caches: those named, or all that are older.")
@click.option("--older-than", type=click.FloatRange(0), metavar="DAYS", help="[caches: 30]")
@click.option(
    "--keep", type=click.FloatRange(0), metavar="GB", help="Caches: remove what was used least, down to this size."
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and leave it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@writes
def gc(
    names: tuple[str, ...], runs: bool, older_than: float | None, keep: float | None, dry_run: bool, yes: bool
) -> None:
    """Free room on the disk; what would go is said first, and you are asked.

    Caches are made anew when they are missed. With --runs, NAME is a run's id, an experiment (all its runs) or a version (v3):
    they go with their artifacts and members. What has an alias, as production has, stays with all that it is made of, and so do
    members that another run uses.

    Example: vad gc --older-than 7 --keep 5

    Example: vad gc --runs phase2_ensemble v3 --dry-run
    """
    from registry.maintenance import gc as collecting
    from registry.maintenance.gc_runs import choose
    from registry.maintenance.repair import megabytes
    from registry.store.tracking import Tracking, default_uri

    if runs:
        if not names and older_than is None:
            raise InputError("--runs: name runs, experiments or versions, or say which by --older-than DAYS")
        chosen = choose(names, older_than, Tracking(), home())
        waste, size = chosen.waste, chosen.size
        for reason in chosen.stays:
            click.echo(f"stays  {reason}", err=True)
    elif names:
        raise InputError(f"{names[0]}: caches have no names; for runs and versions add --runs")
    else:
        limit = None if keep is None else int(keep * 1e9)
        waste = collecting.caches(home(), default_uri(), 30 if older_than is None else older_than, limit)
        size = sum(item.size for item in waste)
    if not waste:
        click.echo("nothing to remove")
        return
    click.echo(_as_text(waste))
    click.echo(f"{megabytes(size)} in all")
    if dry_run:
        return
    if not yes and not _agreed():
        raise InputError("nothing was removed; --yes removes it without a question, --dry-run asks none either")
    collecting.let_go(waste)
    click.echo(f"freed {megabytes(size)}")


def _agreed() -> bool:
    try:
        return click.confirm("Remove it?")
    except click.Abort:
        return False


def _as_text(waste: list["Waste"]) -> str:
    from registry.console import table
    from registry.maintenance.gc import summary
    from registry.maintenance.repair import megabytes

    return table(
        ["what", "", "size"], [[what, count, megabytes(size)] for what, count, size in summary(waste)], right=(1, 2)
    )
