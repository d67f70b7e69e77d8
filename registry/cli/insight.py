"""Commands that put finished runs side by side."""

from pathlib import Path

import click

from registry.cli.options import data_option, home, labels_option


@click.command()
@click.option("--all", "everything", is_flag=True, help="Every run, not only the best of each entry and profile.")
@click.option("--json", "form", flag_value="json", help="As JSON.")
@click.option("--csv", "form", flag_value="csv", help="As CSV.")
def leaderboard(everything: bool, form: str | None) -> None:
    """Finished runs, best first within one data set and protocol, the reference's AP beside ours."""
    from registry.insight import leaderboard as boards
    from registry.store.tracking import Tracking

    rows = boards.leaderboard(Tracking(), everything)
    click.echo({"json": boards.as_json, "csv": boards.as_csv}.get(form or "", boards.as_text)(rows))


@click.command()
@data_option
@labels_option
@click.option("--profile", metavar="NAME", help="The runs of this profile. [full; demo without --data]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="The runs with these overrides.")
@click.option("--out", metavar="FOLDER", help="Where Markdown and picture go. [journey/<data>]")
def journey(
    data: str | None, labels: str | None, profile: str | None, overrides: tuple[str, ...], out: str | None
) -> None:
    """The reference's tables beside what was measured on this data, and which of its claims hold.

    Trains nothing: it compares the newest finished run of each experiment.

    Example: vad journey --data avenue --labels labels.csv
    """
    from registry.journey.report import as_text, write
    from registry.journey.retrace import Asked, retrace

    found = retrace(Asked(data, labels, profile, overrides), home())
    click.echo(as_text(found))
    for path in write(found, Path(out) if out else Path("journey") / found.name):
        click.echo(f"wrote {path}")
