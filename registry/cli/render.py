"""The command that shows a test video as a registered model sees it."""

import click

from registry.cli.options import data_option, home


@click.command()
@click.argument("video")
@click.option("--model", default="production", show_default=True, help="Alias, version number or models:/ URI.")
@data_option
@click.option("--out", metavar="FILE", help="Where to write, an .mp4. [renders/<data>-<video>-v<version>.mp4]")
@click.option("--fps", type=click.IntRange(1, 240), default=25, show_default=True, help="Frames a second.")
def render(video: str, model: str, data: str | None, out: str | None, fps: int) -> None:
    """Write a test video with the error as a heat map and the score below it, to be played in a browser.

    VIDEO is the id of a test video, with or without zeros in front. The heat map is that of the
    model's largest network; hot is what it could not reconstruct. Labelled spans are shaded.

    Example: vad render 8 --model production --data avenue
    """
    from registry.console import Console
    from registry.models.rendering import render as write
    from vad.render import IN_BROWSERS

    done = write(model, video, data, out, fps, home(), Console())
    where = "plays in browsers" if done.codec in IN_BROWSERS else "browsers do not play it; a player does"
    width, height = done.size
    click.echo(f"wrote {done.path}: {done.frames:,} frames, {width} x {height}, {done.codec} ({where})")
    click.echo(f"by model version {done.version.number}, {done.variant}; the heat map is the error of {done.member}")
