"""The command that measures scores from any source."""

import json
from pathlib import Path
from typing import Any

import click

from registry.cli import options
from vad.errors import InputError


@click.command(short_help="Measure scores against labels: AP, AUC, macro AUC, EER, and more.")
@click.argument("files", type=options.PATH, nargs=-1, required=True, metavar="FILE [FILE]")
@click.option(
    "--labels", type=options.PATH, metavar="PATH", help="Labels in any form that `vad data` reads. [those of --data]"
)
@click.option(
    "--data",
    type=options.PATH,
    metavar="FOLDER",
    help="The data set that was scored: it says how long each video is, and which labels are its own.",
)
@options.first_frame_option
@click.option(
    "--missing",
    type=click.Choice(["edge", "drop", "interpolate"]),
    help="Give labelled frames without a score that of the nearest frame, leave them out, or interpolate.",
)
@click.option(
    "--offset",
    type=click.IntRange(0),
    metavar="N",
    help="Frames of a video before its first score, where the file is a list without frame numbers.",
)
@click.option(
    "--every", type=click.IntRange(1), default=1, show_default=True, help="The list scores one in N frames of a video."
)
@click.option("--fps", type=options.Number(0, min_open=True), default=25.0, show_default=True, help="Frames a second.")
@click.option(
    "--false-alarms",
    type=options.Number(0),
    default=10.0,
    show_default=True,
    help="False alarms an hour that the detection delay allows.",
)
@click.option(
    "--maps",
    type=options.PATH,
    metavar="PATH",
    help="Anomaly maps: an .npz with an array (N, h, w) for each video, or a folder of .npy.",
)
@click.option("--masks", type=options.PATH, metavar="FOLDER", help="Pixel masks: a folder of images for each video.")
@click.option(
    "--tracks",
    type=options.PATH,
    metavar="FOLDER",
    help="NAME.txt for each video: track, frame, left, top, right, bottom, or Street Scene's NAME_gt.txt; or `values`: those of masks are tracks. [by overlap]",
)
@click.option("--plot", type=options.PATH, metavar="FILE", help="Draw curves and videos, a .png.")
@options.json_option
def evaluate(plot: str | None, as_json: bool, **asked: Any) -> None:
    """Measure scores against labels: AP with interval, AUC, macro AUC plain and padded, EER, F1, FPR, detection delay.

    FILE is a CSV (Id,Predicted), .npy, .npz, .mat, text with one value a line, or a folder of one such file a video. With two
    files, the difference in AP (second less first) comes with its interval. With --maps and --masks, RBDC, TBDC and pixel AUC are
    measured too; --tracks alone is enough for RBDC and TBDC. The protocol is printed in words.

    Example: vad evaluate predictions.csv --labels labels.csv --plot curves.png
    """
    from registry.analysis import evaluate as evaluating
    from registry.analysis.evaluate_text import as_text

    if plot and Path(plot).suffix.lower() != ".png":
        raise InputError(f"--plot {plot}: pictures are written as PNG; name a file that ends with .png")
    found = evaluating.evaluate(evaluating.Request(**asked), options.home())
    if plot:
        from registry.pictures.evaluation import evaluation_picture

        evaluation_picture(Path(plot), found)
    click.echo(json.dumps(evaluating.as_json(found), indent=2) if as_json else as_text(found))
    if plot and not as_json:
        click.echo(f"\nwrote {plot}")
