"""The command `vad`. Exit status: 0 done, 1 our fault, 2 your input, 130 stopped.

What is heavy is imported where it is used, so that `vad --help` answers at once.
"""

import os
import signal
import sys
import time
import traceback
from types import FrameType
from typing import Any

import click

from registry.cli import doctor, entries, insight, predictions, promotion, servers, transfer
from registry.cli import run as running
from registry.cli.options import home
from vad.errors import InputError

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


_SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Run": (running.run,),
    "Before a run": (entries.check, entries.show, entries.data, insight.why),
    "Runs side by side": (insight.leaderboard, insight.compare, insight.journey, servers.ui),
    "From the registered model": (predictions.submit, servers.serve, predictions.render),
    "Predictions": (predictions.evaluate, predictions.record, predictions.explain),
    "Which version is production": (promotion.promote, promotion.rollback, promotion.history),
    "The store": (transfer.export, transfer.import_, doctor.doctor),
}


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
            if line := _your_fault(error):
                raise _Refused(line) from None
            raise click.ClickException(_our_fault(error)) from None
        finally:
            signal.signal(signal.SIGTERM, before)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Commands by what they are for."""
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(c.name or "", c.get_short_help_str(limit=80)) for c in commands])


class _Refused(click.ClickException):
    exit_code = 2


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _your_fault(error: Exception) -> str | None:
    """One line for what you can mend, as a full disk."""
    from registry.store.faults import mendable
    from registry.store.tracking import default_uri

    return mendable(error, default_uri(), home())


def _our_fault(error: Exception) -> str:
    """One line for the screen; the traceback goes to a file that the line names."""
    from registry.store.reaching import explain

    line = explain(error) or f"{type(error).__name__}: {error}"
    try:
        report = home() / "errors" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text("".join(traceback.format_exception(error)))
    except OSError:
        return line
    return f"{line}\nWhat was finished is kept. Details: {report}"


@click.group(cls=_Commands, context_settings=_CONTEXT)
@click.version_option(package_name="vad-registry")
def main() -> None:
    """An experiment registry for video anomaly detection, tracked in MLflow."""


for section in _SECTIONS.values():
    for command in section:
        main.add_command(command)
