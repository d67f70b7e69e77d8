"""Options that several commands share."""

import functools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from registry.cli import completion


def expand(path: str) -> str:
    """Put in the home directory for ~, and variables: a shell does neither in `--data=~/avenue`, nor make in DATA='$HOME/x'."""
    return os.path.expanduser(os.path.expandvars(path))


def home() -> Path:
    """Where memory maps, the demo street and half-done work lie."""
    return Path(expand(os.environ.get("VAD_HOME") or ".vad"))


class Number(click.FloatRange):
    """A number within limits; click's own lets NaN and infinity pass."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        number = super().convert(value, parameter, context)
        return number if math.isfinite(number) else self.fail(f"{value} is not a finite number.", parameter, context)


class _Path(click.Path):
    """A path, expanded; a shell completes it."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        return super().convert(expand(value), parameter, context)


PATH = _Path(readable=False)  # an unreadable file is reported where it is read
FOLDER = _Path(exists=True, file_okay=False)
EXPERIMENT: dict[str, Any] = {"type": PATH, "shell_complete": completion.experiments}


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
    """Read a number from 0 to 1, as an option's type; click rejects what is not a number."""
    if not 0 <= float(text) <= 1:  # NaN neither
        raise click.BadParameter(f"{text} is not a number from 0 to 1.")
    return float(text)


def _use_device(context: click.Context, parameter: click.Parameter, asked: str | None) -> None:
    if asked:
        from vad.system.devices import computing_on

        context.with_resource(computing_on(asked))


device_option = click.option(
    "--device",
    metavar="DEVICE",
    envvar="VAD_DEVICE",
    expose_value=False,
    callback=_use_device,
    help="Compute on cpu, cuda or cuda:N. [VAD_DEVICE, else cuda where there is a GPU]",
)
_DATA = "Folder with training_videos/ and testing_videos/, or a published data set"
_LABELS = "CSV (Id,Label), masks, .npy, .mat, .m (see docs/data.md), or `none`"
_several_data = f"{_DATA}; several times for several data sets."
_several_labels = f"{_LABELS}; of several data sets once for all, or once for each."
data_option = click.option("--data", type=PATH, metavar="FOLDER", help=f"{_DATA}.")
labels_option = click.option("--labels", type=PATH, metavar="PATH", help=f"{_LABELS}.")
several_data_option = click.option("--data", type=PATH, metavar="FOLDER", multiple=True, help=_several_data)
several_labels_option = click.option("--labels", type=PATH, metavar="PATH", multiple=True, help=_several_labels)
first_frame_option = click.option(
    "--first-frame",
    type=click.IntRange(0, 1),
    help="The frame that a video's first mask belongs to: 1 where frames are numbered as by FFmpeg. [0]",
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value, as in train.epochs=3."
)
profile_option = click.option(
    "--profile", metavar="NAME", help="full: the entry's own values; demo: brief training. [demo without --data]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
