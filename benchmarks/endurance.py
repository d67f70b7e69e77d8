"""Many runs one after the other, in one process and in as many processes: does anything grow that should not?

python -m benchmarks.endurance [--count 200]

Each run trains one small network on a few frames, scores, fuses, logs pictures and takes a model through the gate. Prints
memory, open files and threads of the last run's process, the size of the database, and how long the leaderboard takes, as runs add up.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.at_once import paint, write_entry

_RUN = ("run", "e", "--data", "data", "--force")
_LOOKS = 3  # how often the leaderboard is timed; the quickest counts


@dataclass(frozen=True)
class Usage:
    """Of a process that has just ended a run: MB of memory, open files, threads."""

    memory: float
    files: int
    threads: int


@dataclass(frozen=True)
class Sample:
    """After so many runs: the last one's process; MB of database; seconds of a leaderboard; files that lie in the
    caches and in the system's temporary folder."""

    runs: int
    usage: Usage
    database: float
    leaderboard: float
    kept: int
    temporary: int


def run() -> Usage:
    """One run in this process."""
    from click.testing import CliRunner

    from registry.cli import main as vad

    result = CliRunner().invoke(vad, list(_RUN))
    assert result.exit_code == 0, result.output
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    memory = int(status["VmRSS"].split()[0]) / 1000
    return Usage(memory, len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")))


def run_elsewhere() -> Usage:
    """One run in a process of its own, which tells of itself before it ends."""
    tell = "import json; from dataclasses import asdict; from benchmarks.endurance import run; print(json.dumps(asdict(run())))"
    done = subprocess.run([sys.executable, "-c", tell], check=True, capture_output=True, text=True)
    return Usage(**json.loads(done.stdout.splitlines()[-1]))


def look(runs: int, usage: Usage, folder: Path, temporary: Path) -> Sample:
    """A sample of a run's process and of the store in `folder`."""
    from registry.analysis.leaderboard import leaderboard
    from registry.store.tracking import Tracking

    tracking, seconds = Tracking(), []
    for _ in range(_LOOKS):
        started = time.perf_counter()
        leaderboard(tracking, everything=True)
        seconds.append(time.perf_counter() - started)
    caches = [path for path in (folder / ".vad").rglob("*") if path.is_file()]
    database = (folder / "mlflow.db").stat().st_size / 1e6
    return Sample(runs, usage, database, min(seconds), len(caches), len(list(temporary.iterdir())))


def samples(once: Callable[[], Usage], count: int, folder: Path, temporary: Path) -> Iterator[Sample]:
    """So many runs; a sample after the first and after each tenth of them."""
    for number in range(1, count + 1):
        usage = once()
        if number % max(1, count // 10) == 0 or number == 1:
            yield look(number, usage, folder, temporary)


def main(count: int) -> None:
    for name in ("MLFLOW_TRACKING_URI", "VAD_HOME"):
        os.environ.pop(name, None)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    here = Path.cwd()
    for title, once in (("one process", run), (f"{count} processes", run_elsewhere)):
        with tempfile.TemporaryDirectory(prefix="vad-endurance-") as name:
            folder, temporary = Path(name) / "work", Path(name) / "tmp"
            temporary.mkdir()
            paint(folder / "data")
            write_entry(folder, "e", [1])
            tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
            os.chdir(folder)
            print(f"\n{count} runs in {title}\n")
            print(
                "| runs | memory, MB | open files | threads | database, MB | leaderboard, s | files in .vad | in /tmp |"
            )
            print("|---|---|---|---|---|---|---|---|")
            for s in samples(once, count, folder, temporary):
                print(
                    f"| {s.runs} | {s.usage.memory:.0f} | {s.usage.files} | {s.usage.threads} | {s.database:.2f} "
                    f"| {s.leaderboard:.3f} | {s.kept} | {s.temporary} |",
                    flush=True,
                )
            tempfile.tempdir = None
            del os.environ["TMPDIR"]
            os.chdir(here)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="runs of each kind [200]")
    main(parser.parse_args().count)
