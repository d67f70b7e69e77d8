"""Commands that serve until they are stopped."""

import click

from registry.cli.options import home, writes


@click.command(short_help="Open MLflow's UI on the leaderboard.")
@click.option("--port", type=click.IntRange(1, 65535), help="[the first free one from 5000]")
@click.option("--no-open", "browse", flag_value=False, default=True, help="Leave the browser as it is.")
def ui(port: int | None, browse: bool) -> None:
    """Open MLflow's own UI on 127.0.0.1: the leaderboard in a browser. Ctrl-C stops it.

    Example: vad ui --port 5005 --no-open
    """
    from registry.servers import serve_ui

    serve_ui(port, browse, home(), click.echo)


@click.command(short_help="Answer HTTP requests with scores.")
@click.option("--model", default="production", show_default=True, help="Alias, version number or models:/ URI.")
@click.option("--port", type=click.IntRange(1, 65535), help="[the first free one from 5001]")
@writes
def serve(model: str, port: int | None) -> None:
    """Answer requests with the scores of a registered model, on 127.0.0.1.

    POST /invocations takes frames as JSON (video, frame, image in base64) and gives their scores. Ctrl-C stops it.

    Example: vad serve --model production --port 5001
    """
    from registry.servers import serve_model

    serve_model(model, port, home(), click.echo)
