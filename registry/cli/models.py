"""Commands on the registered model: to predictions and back, and which version is production."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from registry.cli import completion, options
from vad.errors import InputError

_MODEL: dict[str, Any] = {"default": "production", "show_default": True, "shell_complete": completion.versions}
_model_option = click.option(
    "--model",
    **_MODEL,
    help="Alias, version number, models:/ URI, or best: the best one made on DATA, or without DATA on the demo street.",
)


@click.command(short_help="Write a predictions file (Id,Predicted).")
@_model_option
@options.data_option
@options.first_frame_option
@options.device_option
@click.option("--out", type=options.PATH, metavar="FILE", help="Where to write. [submissions/<data>-v<version>.csv]")
@click.option(
    "--normalization",
    type=click.Choice(["stored", "own"]),
    default="stored",
    show_default=True,
    help="Normalize by the percentiles of the model's run (stored), or by those of these test frames (own).",
)
@click.option("--kaggle", metavar="COMPETITION", help="Hand the file to the `kaggle` command, and record its reply.")
@click.option(
    "--message", metavar="TEXT", help="With --kaggle: what to call the submission. [version, variant, experiment]"
)
@options.writes
def submit(normalization: Any, kaggle: str | None, message: str | None, **asked: Any) -> None:
    """Write a predictions file (Id,Predicted) by a registered model.

    Example: vad submit --model production --data avenue --out predictions.csv
    """
    from registry.console import measured_text
    from registry.models import submission

    program = submission.require_kaggle() if kaggle else ""
    done = submission.submit(submission.Request(**asked), normalization, options.home())
    click.echo(f"wrote {done.path}: {done.frames:,} frames, SHA-256 {done.sha256}")
    click.echo(f"by model version {done.version.number}; recorded as run {done.run_id}")
    if done.measured:
        click.echo(measured_text(done.measured))
    if kaggle:
        tags = done.version.tags
        called = message or f"v{done.version.number} {tags.get('vad.variant', '')} of {tags.get('vad.entry', '')}"
        click.echo(submission.upload(program, kaggle, done, called))
        click.echo(f"its score, once you know it: vad record {done.path} --score S --board public")


@click.command(short_help="Answer HTTP requests with scores.")
@click.option("--model", **_MODEL, help="Alias, version number or models:/ URI.")
@options.device_option
@click.option("--port", type=click.IntRange(1, 65535), help="[the first free one from 5001]")
@options.writes
def serve(model: str, port: int | None) -> None:
    """Answer requests with the scores of a registered model, on 127.0.0.1.

    POST /invocations takes frames as JSON (video, frame, image in base64) and gives their scores. Ctrl-C stops it.

    Example: vad serve --model production --port 5001
    """
    from registry.servers import serve_model

    serve_model(model, port, options.home(), click.echo)


@click.command(short_help="Render a test video with heat map and score.")
@click.argument("video")
@_model_option
@options.data_option
@options.first_frame_option
@options.device_option
@click.option(
    "--out", type=options.PATH, metavar="FILE", help="Where to write, an .mp4. [renders/<data>-<video>-v<version>.mp4]"
)
@click.option("--fps", type=click.IntRange(1, 240), default=25, show_default=True, help="Frames a second.")
@options.writes
def render(video: str, fps: int, **asked: Any) -> None:
    """Render a test video with the error as a heat map and the score below it, to be played in a browser.

    VIDEO is the id of a test video, with or without zeros in front. The heat map is the mean of the anomaly maps of all
    members, each scaled from its median to its hottest values in this video. Labelled spans are shaded.

    Example: vad render 8 --model production --data avenue
    """
    from registry.models import rendering, submission
    from vad.scoring.render import IN_BROWSERS

    done = rendering.render(submission.Request(**asked), video, fps, options.home())
    where = "plays in browsers" if done.codec in IN_BROWSERS else "browsers cannot play it; use a video player"
    width, height = done.size
    click.echo(f"wrote {done.path}: {done.frames:,} frames, {width} x {height}, {done.codec} ({where})")
    click.echo(
        f"by model version {done.version.number}, {done.variant}; the heat map is that of {', '.join(done.members)}"
    )


@click.command(short_help="Record a board's score on its run and version.")
@click.argument("file", type=options.PATH)
@click.option("--score", type=options.share, required=True, help="What the board says, from 0 to 1.")
@click.option("--board", type=click.Choice(["public", "private"]), default="public", show_default=True)
def record(file: str, score: float, board: str) -> None:
    """Record the score of a competition's board on the run and the model version that the file came from.

    Example: vad record submissions/avenue-v3.csv --score 0.631 --board public
    """
    from registry.models import lineage

    run, version = lineage.record(Path(file), score, board)
    on = f"version {version.number} and " if version else ""
    click.echo(f"{board} board {score:g}: recorded on {on}run {run.run_id} ({run.tags.get('vad.entry', '')})")


@click.command(short_help="Trace a file or version back to entry, data, commit.")
@click.argument("what", type=options.PATH, metavar="FILE|MODEL")
@options.json_option
def explain(what: str, as_json: bool) -> None:
    """Trace a predictions file or a model version back to run, variant, members, experiment, data and commit.

    Says so where a file was altered (SHA-256); the exit status is then 2.

    Example: vad explain submissions/avenue-v3.csv

    Example: vad explain models:/vad-ensemble@production
    """
    from registry.models import lineage

    found = lineage.explain(what, options.home())
    click.echo(json.dumps(asdict(found), indent=2) if as_json else lineage.as_text(found))
    if not found.sound:
        raise InputError(f"{what} differs from what was recorded, or a part of its lineage is missing; see above")


@click.command(short_help="Make a version production by hand.")
@click.argument("version", shell_complete=completion.versions)
@options.writes
def promote(version: str) -> None:
    """Make a version production, whatever the metrics say; what was production becomes previous."""
    from registry.models.production import Production
    from registry.models.versions import Versions
    from registry.store.tracking import Tracking

    versions = Versions(Tracking())
    chosen = versions.resolve(version, "VERSION")
    Production(versions, options.home()).promote(chosen, "by hand")
    click.echo(f"version {chosen.number} is production")


@click.command(short_help="Go back to the previous production model.")
@options.writes
def rollback() -> None:
    """Make the previous production model production again.

    A second rollback undoes the first, as the two versions change places.
    """
    from registry.models.production import Production
    from registry.models.versions import Versions
    from registry.store.tracking import Tracking

    click.echo(f"version {Production(Versions(Tracking()), options.home()).rollback().number} is production again")


@click.command(short_help="List every decision and its reason.")
@options.json_option
def history(as_json: bool) -> None:
    """List which version was production when, and why: every promotion, refusal and rollback, newest first."""
    from registry.models.history import History, as_text
    from registry.models.versions import PRODUCTION, Versions
    from registry.store.tracking import Tracking

    tracking = Tracking()
    events, production = History(tracking).events(), Versions(tracking).alias(PRODUCTION)
    number = production.number if production else None
    click.echo(json.dumps([asdict(event) for event in events], indent=2) if as_json else as_text(events, number))
