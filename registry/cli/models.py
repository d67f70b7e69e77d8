"""Commands of the registered model, from versions to predictions."""

from pathlib import Path

import click

from registry.cli.options import data_option, home


@click.command()
@click.option("--model", default="production", show_default=True, help="Alias, version number or models:/ URI.")
@data_option
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
    from registry.models.submission import submit as write
    from registry.runs.report import measured_text

    done = write(model, data, out, normalization, home(), Console())  # type: ignore[arg-type]
    click.echo(f"wrote {done.path}: {done.frames:,} frames, SHA-256 {done.sha256}")
    click.echo(f"by model version {done.version.number}; recorded as run {done.run_id}")
    if done.measured:
        click.echo(measured_text(done.measured))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--labels", required=True, metavar="PATH", help="CSV (Id,Label) or folder of N_label.mat.")
def evaluate(file: Path, labels: str) -> None:
    """Measure a predictions file: AP with interval, AUC, prevalence.

    Example: vad evaluate predictions.csv --labels labels.csv
    """
    from registry.models.submission import evaluate as measure_file
    from registry.runs.report import measured_text

    click.echo(measured_text(measure_file(file, labels, home())))


@click.command()
@click.argument("version")
def promote(version: str) -> None:
    """Make a version production, whatever the figures say; what was production becomes previous."""
    from registry.models.versions import Versions
    from registry.store.tracking import Tracking

    versions = Versions(Tracking())
    chosen = versions.resolve(version, "VERSION")
    versions.promote(chosen, "by hand")
    click.echo(f"version {chosen.number} is production")


@click.command()
def rollback() -> None:
    """Make the previous production model production again."""
    from registry.models.versions import Versions
    from registry.store.tracking import Tracking

    click.echo(f"version {Versions(Tracking()).rollback().number} is production again")
