"""The command `vad`. Exit status: 0 done, 1 our fault, 2 your input, 130 stopped.

What is heavy is imported where it is used, so that `vad --help` answers at once.
"""

import logging
import os
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

import click

from registry import signals as stopping
from registry.cli import analysis as insight
from registry.cli import entries, models, store
from registry.cli import evaluate as measuring
from registry.cli.options import FOLDER, home
from vad.errors import InputError
from vad.system.files import abandon

_SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Run": (entries.run,),
    "Before a run": (entries.check, entries.show, entries.data, entries.convert, insight.why),
    "Runs side by side": (insight.leaderboard, insight.compare, insight.reproduce, insight.journey, insight.ui),
    "From the registered model": (models.submit, models.serve, models.render),
    "Predictions": (measuring.evaluate, models.record, models.explain),
    "Which version is production": (models.promote, models.rollback, models.history),
    "The store": (store.export, store.import_, store.doctor, store.gc),
}


class _Commands(click.Group):
    """Turns every error into one message and a status; a traceback goes to a file, not to the screen."""

    own_process = False

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        self.own_process = args is None  # else another program calls it and continues
        if self.own_process:
            _settle()
        try:
            return super().main(args, *rest, **options)
        except SystemExit as end:
            if self.own_process:
                stopping.exit_if_stopped(end.code)
            raise

    def invoke(self, context: click.Context) -> Any:
        with stopping.stop_on_signals(self.own_process):
            try:
                return super().invoke(context)
            except (click.ClickException, click.exceptions.Exit, click.Abort):
                raise
            except BrokenPipeError:
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # the reader left; nothing more to say
                context.exit(0)
            except (Exception, KeyboardInterrupt) as error:
                if stopping.was_stopped(error):
                    stopping.ignore_further_signals()
                    abandon()
                    with suppress(OSError):  # a terminal that is closed
                        click.echo(f"\n{stopping.STOPPED}", err=True)
                    context.exit(stopping.STATUS)
                if line := _your_fault(error):
                    raise click.UsageError(line) from None  # exit status 2
                raise click.ClickException(_our_fault(error)) from None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Commands by what they are for."""
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(c.name or "", c.get_short_help_str(limit=80)) for c in commands])


def _settle() -> None:
    """Let MLflow leave waiting and telling to us, and let caches that want a home have one: not in a program that calls us."""
    # MLflow would retry for minutes, silently, and not know what a lost attempt had made.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)  # it raises what it would print, with a traceback
    if not os.access(Path.home(), os.W_OK):
        os.environ.setdefault("MPLCONFIGDIR", str(home().resolve() / "matplotlib"))
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(home().resolve() / "torch"))


def _your_fault(error: BaseException) -> str | None:
    """Return one line for what a user can fix, such as an input, a full disk or a block of their own."""
    if isinstance(error, InputError):
        return str(error)
    from registry.store.retries import mendable
    from registry.store.tracking import default_uri
    from vad.user_code import place_of, told

    with suppress(InputError):
        return mendable(error, default_uri(), home()) or (told(error) if place_of(error) else None)
    return None


def _our_fault(error: BaseException) -> str:
    """One line for the screen; the traceback goes to a file that the line names."""
    from registry.store.connection import explain

    of_ours = type(error).__module__.partition(".")[0] in ("registry", "vad")
    line = explain(error) or (str(error) if of_ours else f"{type(error).__name__}: {error}")
    try:
        report = home() / "errors" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text("".join(traceback.format_exception(error)))
    except OSError:
        return line
    return f"{line}\nWhat was finished is kept. Details: {report}"


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="vad-registry")
@click.option("-C", "--directory", type=FOLDER, help="Work in this folder.")
@click.option("--blocks", type=FOLDER, help="Folder with blocks of your own. [blocks]")
@click.option("-q", "--quiet", is_flag=True, help="Print results and errors, no messages and no progress.")
@click.option("-v", "--verbose", is_flag=True, help="Print also what is reused, when each step ended, and every retry.")
@click.pass_context
def main(context: click.Context, directory: str | None, blocks: str | None, quiet: bool, verbose: bool) -> None:
    """An experiment registry for video anomaly detection, tracked in MLflow."""
    if quiet and verbose:
        raise click.UsageError("-q prints less, -v prints more; give one of them")
    if quiet or verbose:
        from registry import console

        set_ = console.be_quiet if quiet else console.be_verbose
        set_(True)
        context.call_on_close(lambda: set_(False))
    if blocks:
        os.environ["VAD_BLOCKS"] = os.path.abspath(blocks)
        context.call_on_close(lambda: os.environ.pop("VAD_BLOCKS", None))
    if directory:
        context.with_resource(chdir(directory))


for section in _SECTIONS.values():
    for command in section:
        main.add_command(command)
