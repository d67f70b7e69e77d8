"""The command that puts a registered model behind an address."""

import click

from registry.cli.options import home


@click.command()
@click.option("--model", default="production", show_default=True, help="Alias, version number or models:/ URI.")
@click.option("--port", type=click.IntRange(1, 65535), help="[the first free one from 5001]")
def serve(model: str, port: int | None) -> None:
    """Answer requests with the scores of a registered model, on 127.0.0.1.

    POST /invocations takes frames as JSON (video, frame, image in base64) and gives their scores. Ctrl-C stops it.

    Example: vad serve --model production --port 5001
    """
    from registry.models.serving import serve as start

    start(model, port, home(), click.echo)
