"""Commands that say which version is production."""

import json
from dataclasses import asdict

import click

from registry.cli.options import home, writes


@click.command(short_help="Make a version production by hand.")
@click.argument("version")
@writes
def promote(version: str) -> None:
    """Make a version production, whatever the figures say; what was production becomes previous."""
    from registry.models.production import Production
    from registry.models.versions import Versions
    from registry.store.tracking import Tracking

    versions = Versions(Tracking())
    chosen = versions.resolve(version, "VERSION")
    Production(versions, home()).promote(chosen, "by hand")
    click.echo(f"version {chosen.number} is production")


@click.command(short_help="Go back to the previous production model.")
@writes
def rollback() -> None:
    """Make the previous production model production again.

    Twice in a row goes forward again: what was production before the first is the previous one then.
    """
    from registry.models.production import Production
    from registry.models.versions import Versions
    from registry.store.tracking import Tracking

    click.echo(f"version {Production(Versions(Tracking()), home()).rollback().number} is production again")


@click.command(short_help="Every decision, and its reason.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def history(as_json: bool) -> None:
    """Who was production when, and why: every promotion, refusal and rollback, newest first."""
    from registry.models.history import History, as_text
    from registry.models.versions import PRODUCTION, Versions
    from registry.store.tracking import Tracking

    tracking = Tracking()
    events, production = History(tracking).events(), Versions(tracking).alias(PRODUCTION)
    if as_json:
        click.echo(json.dumps([asdict(event) for event in events], indent=2))
    else:
        click.echo(as_text(events, production.number if production else None))
