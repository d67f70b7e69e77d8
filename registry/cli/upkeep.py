"""Commands of the store itself."""

import click


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="[the first free one from 5000]")
def ui(port: int | None) -> None:
    """Open MLflow's own UI on 127.0.0.1: the leaderboard in a browser."""
    from registry.store.ui import serve

    serve(port)
