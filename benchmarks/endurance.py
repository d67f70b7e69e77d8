"""Many runs one after the other, in one process and in as many processes: does anything grow that should not?

python -m benchmarks.endurance [--count 200]

Each run trains one small network on a few frames, scores, fuses, logs pictures and takes a model through the gate. Prints
memory, open files and threads of the process, the size of the database, and how long the leaderboard takes, as runs add up.
"""

import argparse
import gc
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
class Sample:
    """After so many runs: of the process MB of memory, open files and threads; MB of database; seconds of a leaderboard;
    files that lie in the caches and in the system's temporary folder."""

    runs: int
    memory: float
    files: int
    threads: int
    database: float
    leaderboard: float
    kept: int
    temporary: int


def look(runs: int, folder: Path, temporary: Path) -> Sample:
    """A sample of this process and of the store in `folder`."""
    from registry.insight.leaderboard import leaderboard
    from registry.store.tracking import Tracking

    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    opened, threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    tracking, seconds = Tracking(), []
    for _ in range(_LOOKS):
        started = time.perf_counter()
        leaderboard(tracking, everything=True)
        seconds.append(time.perf_counter() - started)
    caches = [path for path in (folder / ".vad").rglob("*") if path.is_file()]
    return Sample(
        runs,
        int(status["VmRSS"].split()[0]) / 1000,
        opened,
        threads,
        (folder / "mlflow.db").stat().st_size / 1e6,
        min(seconds),
        len(caches),
        len(list(temporary.iterdir())),
    )


def in_one_process(count: int, every: int, folder: Path, temporary: Path) -> Iterator[Sample]:
    """Runs in this process."""
    from click.testing import CliRunner

    from registry.cli import main as vad

    def once() -> None:
        result = CliRunner().invoke(vad, list(_RUN))
        assert result.exit_code == 0, result.output

    return _repeat(once, count, every, folder, temporary)


def in_processes(count: int, every: int, folder: Path, temporary: Path) -> Iterator[Sample]:
    """Each run in a process of its own."""

    def once() -> None:
        subprocess.run([sys.executable, "-m", "registry.cli", *_RUN], check=True, capture_output=True)

    return _repeat(once, count, every, folder, temporary)


def _repeat(once: Callable[[], None], count: int, every: int, folder: Path, temporary: Path) -> Iterator[Sample]:
    for number in range(1, count + 1):
        once()
        if number % every == 0 or number == 1:
            yield look(number, folder, temporary)


def main(count: int) -> None:
    for name in ("MLFLOW_TRACKING_URI", "VAD_HOME"):
        os.environ.pop(name, None)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    here = Path.cwd()
    for title, way in (("one process", in_one_process), (f"{count} processes", in_processes)):
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
            for s in way(count, max(1, count // 10), folder, temporary):
                print(
                    f"| {s.runs} | {s.memory:.0f} | {s.files} | {s.threads} | {s.database:.2f} | {s.leaderboard:.3f} "
                    f"| {s.kept} | {s.temporary} |",
                    flush=True,
                )
            tempfile.tempdir = None
            del os.environ["TMPDIR"]
            os.chdir(here)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="runs of each kind [200]")
    main(parser.parse_args().count)
