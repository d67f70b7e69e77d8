"""Commands of the store itself."""

import click

from registry.cli.options import home


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="[the first free one from 5000]")
@click.option("--no-open", "browse", flag_value=False, default=True, help="Leave the browser as it is.")
def ui(port: int | None, browse: bool) -> None:
    """Open MLflow's own UI on 127.0.0.1: the leaderboard in a browser. Ctrl-C stops it.

    Example: vad ui --port 5005 --no-open
    """
    from registry.store.ui import serve

    serve(port, browse, home(), click.echo)
