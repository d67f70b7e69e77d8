"""Options that several commands share."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def home() -> Path:
    """Where memory maps, the demo street and half-done work lie."""
    return Path(os.environ.get("VAD_HOME") or ".vad").expanduser()


# The type of a path: a shell does not expand the ~ in `--data=~/avenue`, nor make that in DATA=~/avenue.
PATH = os.path.expanduser


def experiment_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of an experiment, for a shell."""
    from registry.entries.loading import all_experiments

    names = ["all", *(path.stem for path in all_experiments())]
    return [name for name in names if name.startswith(incomplete)]


EXPERIMENT: dict[str, Any] = {"type": PATH, "shell_complete": experiment_names}


def writes(command: Callable[..., None]) -> Callable[..., None]:
    """A command that writes: its temporary files lie in a folder of its own, where the next one finds them if it is killed."""

    @functools.wraps(command)
    def working(*arguments: Any, **options: Any) -> None:
        from registry.console import libraries_silent
        from registry.store.paths import workplace

        with libraries_silent(), workplace(home()):
            command(*arguments, **options)

    return working


def share(text: str) -> float:
    """Read a number from 0 to 1, as an option's type; click tells of what is no number at all."""
    if not 0 <= float(text) <= 1:  # NaN neither
        raise click.BadParameter(f"{text} is no number from 0 to 1.")
    return float(text)


data_option = click.option(
    "--data", type=PATH, metavar="FOLDER", help="Folder with training_videos/ and testing_videos/, or a published data set."
)
labels_option = click.option(
    "--labels", type=PATH, metavar="PATH", help="CSV (Id,Label), masks, .npy, .mat, .m (see docs/data.md), or `none`."
)
first_frame_option = click.option(
    "--first-frame",
    type=click.IntRange(0, 1),
    help="The frame that a video's first mask belongs to: 1 where frames are numbered as by FFmpeg. [0]",
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value, as in train.epochs=3."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
