"""Commands that look at experiments and data before anything is trained."""

import json

import click

from registry.cli.options import (
    Experiment,
    Place,
    data_option,
    first_frame_option,
    home,
    json_option,
    labels_option,
    set_option,
)
from vad.errors import InputError


@click.command(short_help="Validate experiments, without training.")
@click.argument("experiments", type=Experiment(), nargs=-1, metavar="[EXP]...")
@set_option
@json_option
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
@click.argument("experiment", type=Experiment(), metavar="EXP")
@data_option
@click.option("--profile", metavar="NAME", help="full or demo. [demo without --data, as `vad run` takes it]")
@set_option
def show(experiment: str, data: str | None, profile: str | None, overrides: tuple[str, ...]) -> None:
    """Print an experiment as `vad run` would run it with the same options: every default filled in, every member spelt out.

    Example: vad show phase2_max_error --set train.epochs=3
    """
    import yaml

    from registry.entries.loading import default_profile, load_entry
    from registry.entries.plan import make_plan

    plan = make_plan(load_entry(experiment, profile or default_profile(data), overrides), labelled=True)
    click.echo(yaml.safe_dump({"name": plan.name, **plan.settings()}, sort_keys=False, width=100), nl=False)


@click.command(short_help="Inspect a data folder before training on it.")
@click.argument("data", type=Place(), required=False, metavar="[FOLDER]")
@labels_option
@first_frame_option
@json_option
def data(data: str | None, labels: str | None, first_frame: int | None, as_json: bool) -> None:
    """Inspect a data folder before training: videos, frames, gaps, sizes, unreadable files, likely flips.

    Without a folder, the demo street is made and inspected.
    """
    from registry.console import Console, libraries_silent
    from registry.data import inspection

    with libraries_silent():
        found = inspection.inspect(data, labels, home(), Console(), first_frame)
    click.echo(inspection.as_json(found) if as_json else inspection.as_text(found))
    if found.faults:
        raise InputError("this data cannot be used as it is; see the faults above")
