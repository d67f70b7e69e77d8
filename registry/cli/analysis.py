"""Commands that put finished runs side by side, MLflow's UI among them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from registry.cli import completion, options, suites


@click.command(short_help="List finished runs, best first; or a suite's entries by data sets.")
@click.option("--all", "everything", is_flag=True, help="Every run, not only the best of each entry and profile.")
@click.option("--json", "form", flag_value="json", help="As JSON.")
@click.option("--csv", "form", flag_value="csv", help="As CSV.")
@click.option(
    "--suite",
    type=options.PATH,
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="A matrix of entries by data sets: those of a suite's file, or of several --data.",
)
@click.option("--picture", type=options.PATH, metavar="FILE", help="With a suite: draw the matrix into this PNG, too.")
@options.several_data_option  # these are of a suite without a file
@options.several_labels_option
@options.first_frame_option
@click.option("--profile", metavar="NAME", help="With several --data: the runs of this profile. [full]")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="With several --data: the runs with these overrides."
)
def leaderboard(
    everything: bool, form: str | None, suite: str | None, picture: str | None, data: tuple[str, ...],
    labels: tuple[str, ...], **asked: Any,
) -> None:  # fmt: skip
    """List finished runs, best first within one data set and protocol, the reference's AP beside ours.

    With a suite: its entries by its data sets, with mean rank, worst case, intervals and ties. It reads finished runs
    and trains nothing; a figure that is missing comes with the command that makes it. The matrix is also written to
    MLflow, as an experiment of its own.

    Example: vad leaderboard --suite suite.yaml --picture suite.png
    """
    from registry.analysis import leaderboard as board
    from registry.store.tracking import Tracking

    if suite is not None or data:
        if everything:
            raise click.UsageError("--all lists runs; leave it out with a suite")
        suites.show(suites.asked_for(suite, data, labels, asked), form, picture)
        return
    if picture or labels or any(value not in (None, ()) for value in asked.values()):
        raise click.UsageError(
            "--picture and the options of data sets are for a suite; add --suite FILE, or several --data"
        )
    rows = board.leaderboard(Tracking(), everything)
    click.echo({"json": board.as_json, "csv": board.as_csv}.get(form or "", board.as_text)(rows))


@click.command(short_help="Compare two runs: settings, AP, videos.")
@click.argument("a", shell_complete=completion.runs)
@click.argument("b", shell_complete=completion.runs)
@options.json_option
def compare(a: str, b: str, as_json: bool) -> None:
    """Compare two runs: what differs, the difference in AP with its interval, the videos where it is won and lost.

    A and B are run ids (or their beginnings), versions (v3), aliases (production) or experiments, whose newest run
    is taken; a variant may follow, as in phase5_multiscale:max. Of the difference each video has a share, and the
    shares add up to it.

    Example: vad compare phase4_gaussian phase5_multiscale:max
    """
    from registry.analysis import compare as comparing

    found = comparing.compare(a, b, options.home())
    click.echo(json.dumps(asdict(found), indent=2) if as_json else comparing.as_text(found))


@click.command(short_help="Explain what would be trained or reused, and what changed.")
@click.argument("experiment", metavar="EXP", **options.EXPERIMENT)  # it and the options are named as in Request
@options.data_option
@options.labels_option
@options.first_frame_option
@options.profile_option
@options.set_option
@click.option("--force", is_flag=True, help="As if run with --force.")
@options.json_option
def why(as_json: bool, **asked: Any) -> None:
    """Explain what a run would train or reuse now, and which key, file or code version changed since last time.

    Trains nothing and writes nothing to the store.

    Example: vad why phase5_multiscale --data avenue --set train.epochs=30
    """
    from registry.analysis import why as reasons
    from registry.runs.context import Request

    found = reasons.why(Request(**asked, home=options.home()))
    click.echo(json.dumps(asdict(found), indent=2) if as_json else reasons.as_text(found))


@click.command(short_help="Run a recorded run again and compare.")
@click.argument("run", shell_complete=completion.runs)
@options.data_option
@options.device_option
@options.json_option
def reproduce(run: str, data: str | None, as_json: bool) -> None:
    """Run a recorded run again from its artifacts, and compare weights, scores and predictions bit for bit.

    RUN is a run's id (or its beginning), a version (v3), an alias (production) or an experiment, whose newest run is
    taken. Its entry, profile and settings are those it kept, its code that of its commit; its data must be the same to
    the last byte. All is trained again, in a temporary store. Exit status 2 where something differs.

    Example: vad reproduce production
    """
    from registry.analysis import reproduce as repeating

    found = repeating.reproduce(run, data, options.home())
    click.echo(json.dumps(asdict(found), indent=2) if as_json else repeating.as_text(found))
    if not found.same:
        raise SystemExit(2)


@click.command(short_help="Compare your runs with the reference's tables and claims.")
@options.data_option  # it and those below are named as in Request
@options.labels_option
@options.first_frame_option
@click.option("--profile", metavar="NAME", help="The runs of this profile. [full; demo without --data]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="The runs with these overrides.")
@click.option("--out", type=options.PATH, metavar="FOLDER", help="Where Markdown and picture go. [journey/<data>]")
@options.json_option
def journey(out: str | None, as_json: bool, **asked: Any) -> None:
    """Compare the reference's tables with the measurements on this data, and say which of its claims hold.

    Trains nothing: it compares the newest finished run of each experiment.

    Example: vad journey --data avenue --labels labels.csv
    """
    from registry.journey import report
    from registry.journey.retrace import retrace
    from registry.runs.context import Request

    found = retrace(Request("all", home=options.home(), **asked))
    click.echo(json.dumps(report.as_json(found), indent=2) if as_json else report.as_text(found))
    for path in report.write(found, Path(out) if out else Path("journey") / found.name):
        click.echo(f"wrote {path}", err=as_json)


@click.command(short_help="Open MLflow's UI on the leaderboard.")
@click.option("--port", type=click.IntRange(1, 65535), help="[the first free one from 5000]")
@click.option("--no-open", "browse", flag_value=False, default=True, help="Leave the browser as it is.")
def ui(port: int | None, browse: bool) -> None:
    """Open MLflow's own UI on 127.0.0.1: the leaderboard in a browser. Ctrl-C stops it.

    Example: vad ui --port 5005 --no-open
    """
    from registry.servers import serve_ui

    serve_ui(port, browse, options.home(), click.echo)
