"""The command `vad`. Exit status: 0 done, 1 our fault, 2 your input, 130 stopped.

What is heavy is imported where it is used, so that `vad --help` answers at once.
"""

import os
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

import click

from vad.errors import InputError

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def _home() -> Path:
    """Where memory maps, the demo street and half-done work lie."""
    return Path(os.environ.get("VAD_HOME") or ".vad")


class _Commands(click.Group):
    """Turns every error into one message and a status; a traceback goes to a file, not to the screen."""

    def invoke(self, context: click.Context) -> Any:
        before = signal.signal(signal.SIGTERM, _stop)
        try:
            return super().invoke(context)
        except InputError as error:
            raise _Refused(str(error)) from None
        except KeyboardInterrupt:
            click.echo("\nstopped; what was finished is kept, and the same command goes on from here", err=True)
            context.exit(130)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # the reader left; nothing more to say
            context.exit(0)
        except Exception as error:
            raise click.ClickException(_our_fault(error)) from None
        finally:
            signal.signal(signal.SIGTERM, before)


class _Refused(click.ClickException):
    exit_code = 2


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _our_fault(error: Exception) -> str:
    """One line for the screen; the traceback goes to a file that the line names."""
    from registry.tracking import explain

    line = explain(error) or f"{type(error).__name__}: {error}"
    try:
        report = _home() / "errors" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text("".join(traceback.format_exception(error)))
    except OSError:
        return line
    return f"{line}\nWhat was finished is kept. Details: {report}"


@click.group(cls=_Commands, context_settings=_CONTEXT)
@click.version_option(package_name="vad-registry")
def main() -> None:
    """An experiment registry for video anomaly detection, tracked in MLflow."""


_data = click.option("--data", metavar="FOLDER", help="Folder that contains training_videos/ and testing_videos/.")
_labels = click.option("--labels", metavar="PATH", help="CSV (Id,Label), folder of N_label.mat, or `none`.")


@main.command()
@click.argument("experiments", metavar="EXP...", nargs=-1, required=True)
@_data
@_labels
@click.option(
    "--profile", metavar="NAME", help="full: the entry's own values; demo: brief training. [demo without --data]"
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value, as in train.epochs=3.")
@click.option("--force", is_flag=True, help="Train and score anew, whatever is there already.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Train in this process, or on a Ray cluster: that of RAY_ADDRESS, else one on this machine.",
)
@click.option(
    "--gpu-share",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="With ray: how much of a GPU a member takes, as in 0.25. [1 where the cluster has any]",
)
def run(
    experiments: tuple[str, ...],
    data: str | None,
    labels: str | None,
    profile: str | None,
    overrides: tuple[str, ...],
    force: bool,
    engine: str,
    gpu_share: float | None,
) -> None:
    """Run an experiment: train, score, fuse, track, register.

    EXP is a name in experiments/ or a path to a file. Several, or `all`, run as one queue: what they share is
    trained once, and one that fails does not stop the others (exit status 1 in the end).

    Example: vad run phase5_multiscale --data avenue --labels labels.csv
    """
    from registry import queue, report
    from registry.console import Console
    from registry.executor import run as execute
    from registry.work import Request

    request = Request(experiments[0], data, labels, profile, overrides, force, _home(), engine, gpu_share)
    if experiments == (queue.ALL,) or len(experiments) > 1:
        ended = queue.run_queue(experiments, request, Console())
        click.echo("\n" + queue.as_text(ended))
        if any(item.result is None for item in ended):
            click.get_current_context().exit(1)
    else:
        click.echo(report.as_text(execute(request, Console())))


@main.command()
@click.option("--model", default="production", show_default=True, help="Alias, version number or models:/ URI.")
@_data
@click.option("--out", metavar="FILE", help="Where to write. [submissions/<data>-v<version>.csv]")
@click.option(
    "--normalization",
    type=click.Choice(["stored", "own"]),
    default="stored",
    show_default=True,
    help="Percentiles of the run that made the model, or of these test frames.",
)
def submit(model: str, data: str | None, out: str | None, normalization: str) -> None:
    """Write a predictions file (Id,Predicted) by a registered model.

    Example: vad submit --model production --data avenue --out predictions.csv
    """
    from registry.console import Console
    from registry.report import measured_text
    from registry.submission import submit as write

    done = write(model, data, out, normalization, _home(), Console())  # type: ignore[arg-type]
    click.echo(f"wrote {done.path}: {done.frames:,} frames, SHA-256 {done.sha256}")
    click.echo(f"by model version {done.version.number}; recorded as run {done.run_id}")
    if done.measured:
        click.echo(measured_text(done.measured))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--labels", required=True, metavar="PATH", help="CSV (Id,Label) or folder of N_label.mat.")
def evaluate(file: Path, labels: str) -> None:
    """Measure a predictions file: AP with interval, AUC, prevalence.

    Example: vad evaluate predictions.csv --labels labels.csv
    """
    from registry.report import measured_text
    from registry.submission import evaluate as measure_file

    click.echo(measured_text(measure_file(file, labels, _home())))


@main.command()
@click.argument("experiments", nargs=-1, metavar="[EXP]...")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value, as in train.epochs=3.")
def check(experiments: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Validate experiments and build what they name, without training. All of them by default.

    Example: vad check phase5_multiscale
    """
    import torch

    from registry.loading import all_experiments, experiments_folder, load_entry
    from registry.plan import make_plan, rehearse

    wanted = experiments or tuple(str(path) for path in all_experiments())
    if not wanted:
        raise InputError(f"there is no experiment in {experiments_folder()}")
    faults = []
    for experiment in wanted:
        try:
            loaded = load_entry(experiment, overrides=overrides)
            plan = make_plan(loaded, torch.device("cpu"), labelled=True)
            parameters = rehearse(plan)
        except InputError as error:
            faults.append(str(error))
            continue
        size = f"{sum(parameters.values()):,} parameters" if parameters else "files only"
        click.echo(f"{plan.name:<24} {len(plan.members)} members, {size}, {len(plan.variants)} variants")
    if faults:
        raise InputError("\n".join(faults))


@main.command()
@click.argument("experiment", metavar="EXP")
@click.option("--profile", default="full", show_default=True, metavar="NAME")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value, as in train.epochs=3.")
def show(experiment: str, profile: str, overrides: tuple[str, ...]) -> None:
    """Print an experiment as it would run: every default filled in, every member spelt out.

    Example: vad show phase2_max_error --set train.epochs=3
    """
    import torch
    import yaml

    from registry.loading import load_entry
    from registry.plan import make_plan

    plan = make_plan(load_entry(experiment, profile, overrides), torch.device("cpu"), labelled=True)
    click.echo(yaml.safe_dump({"name": plan.name, **plan.settings()}, sort_keys=False, width=100), nl=False)


@main.command()
@click.argument("data", required=False, metavar="[FOLDER]")
@click.option("--labels", metavar="PATH", help="CSV (Id,Label), folder of N_label.mat, or `none`.")
def data(data: str | None, labels: str | None) -> None:
    """Inspect a data folder before training: videos, frames, gaps, sizes, unreadable files, likely flips.

    Without a folder, the demo street is made and inspected.
    """
    from registry.console import Console
    from registry.inspection import inspect

    text, sound = inspect(data, labels, _home(), Console())
    click.echo(text)
    if not sound:
        raise InputError("this data cannot be used as it is; see the faults above")


@main.command()
@click.option("--all", "everything", is_flag=True, help="Every run, not only the best of each entry and profile.")
@click.option("--json", "form", flag_value="json", help="As JSON.")
@click.option("--csv", "form", flag_value="csv", help="As CSV.")
def leaderboard(everything: bool, form: str | None) -> None:
    """Finished runs, best first within one data set and protocol, the reference's AP beside ours."""
    from registry import leaderboard as boards
    from registry.tracking import Tracking

    rows = boards.leaderboard(Tracking(), everything)
    click.echo({"json": boards.as_json, "csv": boards.as_csv}.get(form or "", boards.as_text)(rows))


@main.command()
@_data
@_labels
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
    from registry.journey import Asked, retrace
    from registry.journey_report import as_text, write

    found = retrace(Asked(data, labels, profile, overrides), _home())
    click.echo(as_text(found))
    for path in write(found, Path(out) if out else Path("journey") / found.name):
        click.echo(f"wrote {path}")


@main.command()
@click.argument("version")
def promote(version: str) -> None:
    """Make a version production, whatever the figures say; what was production becomes previous."""
    from registry.tracking import Tracking
    from registry.versions import Versions

    versions = Versions(Tracking())
    chosen = versions.resolve(version, "VERSION")
    versions.promote(chosen, "by hand")
    click.echo(f"version {chosen.number} is production")


@main.command()
def rollback() -> None:
    """Make the previous production model production again."""
    from registry.tracking import Tracking
    from registry.versions import Versions

    click.echo(f"version {Versions(Tracking()).rollback().number} is production again")


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), help="[the first free one from 5000]")
def ui(port: int | None) -> None:
    """Open MLflow's own UI on 127.0.0.1: the leaderboard in a browser."""
    from registry.ui import serve

    serve(port)


if __name__ == "__main__":
    main()
