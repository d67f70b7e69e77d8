"""Commands on experiments and data: look at them before anything is trained, and run them."""

import json
from typing import TYPE_CHECKING, Any

import click

from registry.cli import options, suites
from vad.errors import InputError

if TYPE_CHECKING:  # it would load NumPy
    from registry.suites.suite import Suite


@click.command(short_help="Validate experiments, without training.")
@click.argument("experiments", nargs=-1, metavar="[EXP]...", **options.EXPERIMENT)
@options.set_option
@options.json_option
def check(experiments: tuple[str, ...], overrides: tuple[str, ...], as_json: bool) -> None:
    """Validate experiments and build what they name, without training. All of them by default.

    Example: vad check phase5_multiscale
    """
    from registry.console import plural
    from registry.entries.loading import all_experiments, experiments_folder, load_entry, without_journey
    from registry.entries.plan import make_plan, rehearse

    wanted = without_journey(experiments) or tuple(str(path) for path in all_experiments())
    if not wanted:
        raise InputError(f"there is no experiment in {experiments_folder()}")
    faults, rows = [], []
    for experiment in wanted:
        try:
            loaded = load_entry(experiment, overrides=overrides)
            plan = make_plan(loaded, labelled=True)
            parameters = rehearse(plan)
        except InputError as error:
            faults.append(str(error))
            continue
        rows.append({"name": plan.name, "members": parameters, "variants": list(plan.variants)})
        size = f"{sum(parameters.values()):,} parameters" if parameters else "files only"
        members, variants = plural(len(plan.members), "member"), plural(len(plan.variants), "variant")
        if not as_json:
            click.echo(f"{plan.name:<24} {members}, {size}, {variants}")
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    if faults:
        raise InputError("\n".join(faults))


@click.command(short_help="Print an experiment with every default filled in.")
@click.argument("experiment", metavar="EXP", **options.EXPERIMENT)
@options.data_option
@options.profile_option
@options.set_option
def show(experiment: str, data: str | None, profile: str | None, overrides: tuple[str, ...]) -> None:
    """Print an experiment as `vad run` would run it with the same options: every default filled in, every member listed.

    Example: vad show phase2_max_error --set train.epochs=3
    """
    import yaml

    from registry.entries.loading import default_profile, load_entry
    from registry.entries.plan import make_plan

    plan = make_plan(load_entry(experiment, profile or default_profile(data), overrides), labelled=True)
    click.echo(yaml.safe_dump({"name": plan.name, **plan.settings()}, sort_keys=False, width=100), nl=False)


@click.command(short_help="Inspect a data folder before training on it.")
@click.argument("folder", type=options.PATH, required=False, metavar="[FOLDER]")
@options.data_option
@options.labels_option
@options.first_frame_option
@options.json_option
def data(folder: str | None, data: str | None, labels: str | None, first_frame: int | None, as_json: bool) -> None:
    """Inspect a data folder before training: videos, frames, gaps, sizes, unreadable files, likely flips, labels.

    Name it as FOLDER or by --data. Without either, the demo street is made and inspected.
    """
    from registry.console import libraries_silent
    from registry.data import inspection

    if folder and data:
        raise InputError(f"the data folder is named twice, {folder} and --data {data}; leave one out")
    with libraries_silent():
        found = inspection.inspect(folder or data, labels, options.home(), first_frame)
    click.echo(inspection.as_json(found) if as_json else inspection.as_text(found))
    if found.faults:
        raise InputError("this data cannot be used as it is; see the faults above")


@click.command(short_help="Write a data set in the competition's form.")
@click.argument("data", type=options.PATH, metavar="DATA")
@click.argument("out", type=options.PATH, metavar="OUT")
@options.labels_option
@options.first_frame_option
@click.option(
    "--format",
    "ending",
    type=click.Choice(["jpg", "png"]),
    default="jpg",
    show_default=True,
    help="Images of this kind are copied, others are converted: png keeps every bit.",
)
def convert(data: str, out: str, labels: str | None, first_frame: int | None, ending: str) -> None:
    """Write a data set that is read here, UCSD or ShanghaiTech as published for example, in the competition's form.

    OUT gets training_videos/NN/frame_XXXXX.jpg, testing_videos/, labels.csv, and videos.csv with the names of videos that have some.

    Example: vad convert UCSDped2 ped2
    """
    from pathlib import Path

    from registry.console import libraries_silent, plural
    from registry.data.conversion import convert
    from registry.data.datasets import open_frames_of

    with libraries_silent():
        dataset = open_frames_of(data, labels, options.home(), first_frame)
        done = convert(dataset, Path(out), ending)
    for note in dataset.notes:
        click.echo(f"note: {note}", err=True)
    converted = f", {done.frames - done.copied:,} of them converted to {ending}" if done.copied < done.frames else ""
    names = "; videos.csv has their names" if done.named else ""
    click.echo(
        f"{done.path}: {plural(done.frames, 'frame')}{converted}, {'with' if done.labelled else 'without'} labels{names}"
    )


@click.command()
@click.argument("experiments", metavar="[EXP]...", nargs=-1, **options.EXPERIMENT)
@options.several_data_option
@options.several_labels_option
@options.first_frame_option
@click.option("--suite", type=options.PATH, metavar="FILE", help="Run a suite's entries, or EXP, on its data sets.")
@options.profile_option
@options.set_option
@options.device_option
@click.option("--force", is_flag=True, help="Train and score again, even if results exist.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Train in this process, or on a Ray cluster: that of RAY_ADDRESS, else one on this machine.",
)
@click.option(
    "--gpu-share",
    type=options.share,
    metavar="SHARE",
    help="With ray: how much of a GPU a member takes, as in 0.25. [1 where the cluster has any]",
)
@options.writes
def run(
    experiments: tuple[str, ...], data: tuple[str, ...], labels: tuple[str, ...], suite: str | None, **asked: Any
) -> None:
    """Run an experiment: train, score, fuse, track, register.

    EXP is a name in experiments/ or a path to a file. Several, or `all`, run as one queue: what they share is
    trained once, and one that fails does not stop the others (exit status 1 in the end). Several --data, or a suite
    (see docs/suites.md), run each of them on each data set and end with a matrix of entries by data sets.

    Example: vad run phase5_multiscale --data avenue --labels labels.csv
    """
    from registry.entries.loading import without_journey
    from registry.runs import executor, queue, result
    from registry.runs.context import Request

    experiments = without_journey(experiments)
    if suite or len(data) > 1:
        _run_suite(suites.asked_for(suite, data, labels, asked), experiments, asked)
        return
    if not experiments:
        raise click.UsageError("name an experiment, as in `vad run phase5_multiscale`, or give --suite FILE")
    given, known = next(iter(data), None), suites.one(labels)
    request = Request(experiments[0], data=given, labels=known, home=options.home(), **asked)
    if experiments == (queue.ALL,) or len(experiments) > 1:
        ended = queue.run_queue(experiments, request)
        click.echo("\n" + queue.as_text(ended))
        if any(item.result is None for item in ended):
            click.get_current_context().exit(1)
    else:
        click.echo(result.as_text(executor.run(request)))


def _run_suite(suite: "Suite", experiments: tuple[str, ...], asked: dict[str, Any]) -> None:
    """Run entries on all data sets as one queue, then print and record their matrix."""
    from registry.console import say
    from registry.runs import queue
    from registry.runs.context import Request

    entries = experiments or suite.entries
    if not entries:
        raise click.UsageError("name an experiment, as in `vad run phase5_multiscale --data a --data b`")
    home = options.home()
    if suite.file:
        suites.opened(suite)  # what is wrong is said before the work
    asked |= {"profile": suite.profile, "overrides": suite.overrides}
    of_sets = [{"data": s.path, "labels": s.labels, "first_frame": s.first_frame} for s in suite.sources]
    ended = queue.run_queue(entries, *(Request(entries[0], home=home, **(asked | of_set)) for of_set in of_sets))
    click.echo("\n" + queue.as_text(ended) + "\n")
    names = tuple(dict.fromkeys(item.name for item in ended))
    try:
        suites.show(suite if suite.file and not experiments else suite.of(names))
    except InputError as error:
        if suite.file:
            raise
        say(f"no matrix: {error}")
    if any(item.result is None for item in ended):
        click.get_current_context().exit(1)
