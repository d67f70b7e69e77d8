"""Options that several commands share."""

import functools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


def home() -> Path:
    """Where memory maps, the demo street and half-done work lie."""
    return Path(os.environ.get("VAD_HOME") or ".vad").expanduser()


class Place(click.ParamType[Any]):
    """A path, as text or as a Path. A shell does not expand the ~ in `--data=~/avenue`, nor make that in DATA=~/avenue."""

    name = "path"

    def __init__(self, kind: Callable[[str], Any] = str):
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return self._kind(os.path.expanduser(value))


class Experiment(Place):
    """An experiment by its name or file; shells complete the names."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from registry.entries.loading import all_experiments

        names = ["all", *(path.stem for path in all_experiments())]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def writes(command: Callable[..., None]) -> Callable[..., None]:
    """A command that writes: its temporary files lie in a folder of its own, where the next one finds them if it is killed."""

    @functools.wraps(command)
    def working(*arguments: Any, **options: Any) -> None:
        from registry.console import libraries_silent
        from registry.store.paths import workplace

        with libraries_silent(), workplace(home()):
            command(*arguments, **options)

    return working


class Share(click.FloatRange):
    """A number from 0 to 1; NaN, which no comparison catches, is none."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number from 0 to 1.", param, ctx)
        return number


data_option = click.option(
    "--data", type=Place(), metavar="FOLDER", help="Folder that contains training_videos/ and testing_videos/."
)
labels_option = click.option(
    "--labels", type=Place(), metavar="PATH", help="CSV (Id,Label), folder of N_label.mat, or `none`."
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
