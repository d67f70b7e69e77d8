"""`vad run`: the main job."""

from typing import Any

import click

from registry.cli.options import (
    Experiment,
    Share,
    data_option,
    first_frame_option,
    home,
    labels_option,
    set_option,
    writes,
)


@click.command()
@click.argument("experiments", type=Experiment(), metavar="EXP...", nargs=-1, required=True)
@data_option
@labels_option
@first_frame_option
@click.option(
    "--profile", metavar="NAME", help="full: the entry's own values; demo: brief training. [demo without --data]"
)
@set_option
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
    type=Share(),
    metavar="SHARE",
    help="With ray: how much of a GPU a member takes, as in 0.25. [1 where the cluster has any]",
)
@writes
def run(experiments: tuple[str, ...], **options: Any) -> None:
    """Run an experiment: train, score, fuse, track, register.

    EXP is a name in experiments/ or a path to a file. Several, or `all`, run as one queue: what they share is
    trained once, and one that fails does not stop the others (exit status 1 in the end).

    Example: vad run phase5_multiscale --data avenue --labels labels.csv
    """
    from registry.console import Console
    from registry.entries.loading import without_journey
    from registry.runs import executor, queue, result
    from registry.runs.context import Request

    experiments = without_journey(experiments)
    request = Request(experiments[0], home=home(), **options)
    if experiments == (queue.ALL,) or len(experiments) > 1:
        ended = queue.run_queue(experiments, request, Console())
        click.echo("\n" + queue.as_text(ended))
        if any(item.result is None for item in ended):
            click.get_current_context().exit(1)
    else:
        click.echo(result.as_text(executor.run(request, Console())))
