"""What `vad` draws on a terminal, and leaves out where there is none or where a person asks for less."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from benchmarks.at_once import start, vad
from registry import console
from registry.console import Bar, detail, say, table, whole

_COLOUR = re.compile(r"\x1b\[[\d;]*3\d[\d;]*m")
_CONTROL = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What `vad` writes on a terminal of 60 columns."""
    return written(partial(vad, arguments), **environment)


def written(do: Callable[[], object], **environment: str) -> str:
    """What a process of its own writes on a terminal of 60 columns."""
    given = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLORTERM")}
    given |= {"TERM": "xterm-256color", "COLUMNS": "60", "LINES": "40", **environment}
    ours, theirs = pty.openpty()
    process = start(partial(_draw, do), Path.cwd(), given, theirs, theirs, theirs)
    os.close(theirs)
    parts = []
    with suppress(OSError):  # Linux says so where nobody has the terminal open any more
        while part := os.read(ours, 65536):
            parts.append(part)
    process.join()
    os.close(ours)
    text = b"".join(parts).decode()
    assert process.exitcode == 0, text
    return text


def test_the_whole_run_and_its_step_have_a_bar_each(workspace):
    text = on_a_terminal("run", "tiny", "--data", "data")
    assert _COLOUR.search(text)
    plain = _CONTROL.sub("", text)
    assert re.search(r"tiny +\d+% .*\n\r?.*train small-1 +\d+% ", plain)
    assert re.search(r"tiny +\d+% .*\n\r?.*score large-1 +\d+% ", plain)
    assert re.search(r"  train small-1 +40 frames in [\d.]+ s, ", plain), "a line stays of each step"
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0, "the cursor is shown again"


@pytest.mark.parametrize(("name", "value", "bars"), [("NO_COLOR", "1", True), ("TERM", "dumb", False)])
def test_a_terminal_without_colour(finished, name, value, bars):
    """What is decoded already has no bar; other frames have."""
    text = on_a_terminal("data", "data", **{name: value, "VAD_HOME": f"home-{name}"})
    assert not _COLOUR.search(text)
    assert bool(re.search(r"inspect +\d+%", _CONTROL.sub("", text))) == bars
    assert bars or "\x1b" not in text


def test_a_table_is_as_wide_as_the_terminal(blends):
    text = _CONTROL.sub("", on_a_terminal("leaderboard"))
    (board,) = re.findall(r"#.*?\r\n\r\n", text, re.DOTALL)
    lines = board.split("\r\n")
    assert max(map(len, lines)) <= 60 < max(map(len, blends.done("leaderboard").splitlines()))
    assert "good" in text and "close" in text


def test_a_table_keeps_every_character():
    text = table(["", "what", "#"], [["*", "a [b] :smile:", "1 "], ["", "ä", "10="]], right=(2,))
    assert text.splitlines() == [
        "   what             #",
        "-  -------------  ---",
        "*  a [b] :smile:   1",
        "   ä              10=",
    ]


def _draw(do: Callable[[], object]) -> None:
    console._screen = console._Screen()  # it was imported where there is no terminal
    do()


def some_steps():
    steps = [("train a", 3.0), ("train a", 1.0), ("score a", 4.0)]
    with whole("2 experiments", steps):
        for name, share in (("train a", 10), ("train a", 5), ("score a", 10)):
            with Bar(name, 10) as bar:
                bar.advance(share)
            say(f"after {name}")


def test_the_whole_advances_by_the_seconds_of_its_steps_also_where_one_stops_early():
    text = _CONTROL.sub("", written(some_steps))
    shown = [int(percent) for percent in re.findall(r"2 experiments +(\d+)%", text)]
    assert shown == sorted(shown) and set(shown) >= {0, 38, 50}
    assert [part in text for part in ("after train a", "after score a")] == [True, True]


def test_without_a_terminal_the_whole_says_nothing(capsys):
    with whole("all", [("train a", 1.0)]), Bar("train a", 2) as bar:
        bar.advance(2)
    assert re.fullmatch(r"  train a +2 frames in \d+\.\d s, [\d,]+/s\n", capsys.readouterr().err)


def test_details_come_on_request_alone(workspace):
    plain = workspace.vad("run", "tiny", "--data", "data").stderr
    assert "device " not in plain
    entry = workspace.folder / "experiments" / "tiny.yaml"
    entry.write_text(entry.read_text().replace("gaussian: 1", "gaussian: 2"))
    said = workspace.vad("-v", "run", "tiny", "--data", "data").stderr
    assert re.search(r"\[ +\d+\.\d s\] device (cpu|cuda), engine local", said)
    (run,) = (run for run in workspace.runs("member") if run.name == "large-1")
    assert f"large-1: 1 of 1 score of the test frames reused from run {run.run_id}" in said
    assert re.search(r"test: 30 frames in 2 views reused, as decoded before", said)
    assert "metrics, scores and pictures logged" in said
    detail("over")
    assert "device " not in workspace.vad("run", "tiny", "--data", "data").stderr


def test_less_and_more_at_once_is_refused(workspace):
    assert "-q prints less, -v prints more; give one of them" in workspace.refused("-q", "-v", "leaderboard")


def test_help_answers_without_what_is_heavy():
    loaded = "import sys, registry.cli; print([n for n in ('rich', 'mlflow', 'torch', 'pydantic') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True).stdout.strip() == "[]"
