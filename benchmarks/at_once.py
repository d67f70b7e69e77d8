"""Many runs at once against one new SQLite store, in one folder: do all succeed, is there one production, are statuses true?

python -m benchmarks.at_once [--count 20]

Each is a process of its own with an entry of its own; all begin at the same moment. Two entries in three share a member
with another one.
"""

import argparse
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

import cv2
import numpy as np

_ENTRY = """\
name: {name}
hypothesis: A red box does not belong here.
members:
  small: {{model: fully_conv_ae, size: 32, output: tanh, batch_size: 4, seeds: {seeds}}}
train: {{loss: mse, optimizer: adam, lr: 1.0e-3, epochs: 2, precision: fp32}}
streams: {{small: {{members: small, error: max, steps: [{{normalize: 99}}, mean]}}}}
variants: {{plain: {{stream: small, steps: [{{normalize: 100}}]}}}}
"""
LOADED = [
    "registry.models.submission",
    "registry.pictures",
    "registry.runs.queue",
    "registry.runs.result",
    "torch._dynamo",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "sklearn.metrics",
    "safetensors.torch",
]


@dataclass(frozen=True)
class Ended:
    """How one of several commands ended."""

    status: int
    seconds: float
    said: str


def forks() -> multiprocessing.context.ForkServerContext:
    """Processes that are forked from one that has imported all that a run needs, which takes seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    # It looks for modules in the folder that it is started in, which may have a `vad` of its own.
    with contextlib.chdir(Path(__file__).parents[1]):
        forkserver.ensure_running()
    return context


def start(do: Callable[[], object], folder: Path, environment: Mapping[str, str], *streams: int) -> BaseProcess:
    """Start something in such a process; `streams` are its standard output, its standard error and its standard input."""
    given = [Connection(os.dup(stream)) for stream in streams]  # what is passed on to a process
    process = forks().Process(target=_do, args=(do, folder, dict(environment), given))
    process.start()
    return process


def _do(do: Callable[[], object], folder: Path, environment: dict[str, str], streams: Sequence[Connection]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream, number in zip(streams, (1, 2, 0), strict=False):
        os.dup2(stream.fileno(), number)
    do()


def vad(arguments: Sequence[str]) -> None:
    """The command as the whole of this process."""
    from registry.cli import main

    sys.argv = ["vad", *arguments]
    main()


def at_once(
    commands: Sequence[Sequence[str]], folders: Path | Sequence[Path], logs_to: Path | None = None
) -> list[Ended]:
    """Give `vad` these commands in one folder or each in its own, each in a process that has imported what it needs before.

    What each says is written into `logs_to`, else into its folder.
    """
    folders = [folders] * len(commands) if isinstance(folders, Path) else folders
    context = forks()
    together = context.Barrier(len(commands))
    processes, logs = [], []
    for number, (command, folder) in enumerate(zip(commands, folders, strict=True)):
        logs.append((logs_to or folder) / f"{number}.log")
        process = context.Process(target=_run, args=(list(command), folder, logs[-1], dict(os.environ), together))
        process.start()
        processes.append(process)
    for process in processes:
        process.join()
    ended = []
    for process, log in zip(processes, logs, strict=True):
        said, _, seconds = log.read_text().rpartition("\n")
        ended.append(Ended(process.exitcode or 0, float(seconds), said))
    return ended


def _run(command: list[str], folder: Path, log: Path, environment: dict[str, str], together: Barrier) -> None:
    from registry.cli import main as vad

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    with log.open("w") as output, contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        together.wait()
        started = time.perf_counter()
        try:
            vad(command)
        finally:
            output.write(f"\n{time.perf_counter() - started}")


def write_entry(folder: Path, name: str, seeds: Sequence[int]) -> None:
    (folder / "experiments").mkdir(exist_ok=True)
    (folder / "experiments" / f"{name}.yaml").write_text(_ENTRY.format(name=name, seeds=list(seeds)))


def paint(root: Path) -> None:
    """Two train videos and two test videos of 10 frames; a red box stands in some of the test frames."""
    generator = np.random.default_rng(0)
    rows = ["Id,Label"]
    for half in ("training_videos", "testing_videos"):
        for video in (1, 2):
            folder = root / half / f"{video:02d}"
            folder.mkdir(parents=True)
            for frame in range(10):
                image = generator.normal(128, 10, (48, 64, 3))
                anomalous = half == "testing_videos" and 3 <= frame < 6 + video
                if anomalous:
                    image[10:34, 5 * video : 5 * video + 20] = (20, 20, 230)
                cv2.imwrite(str(folder / f"frame_{frame:05d}.jpg"), np.clip(image, 0, 255).astype(np.uint8))
                rows += [f"{video}_{frame},{int(anomalous)}"] if half == "testing_videos" else []
    (root / "labels.csv").write_text("\n".join(rows) + "\n")


def main(count: int) -> None:
    for name in ("MLFLOW_TRACKING_URI", "VAD_HOME"):
        os.environ.pop(name, None)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="vad-at-once-") as temporary:
        folder = Path(temporary)
        paint(folder / "data")
        for number in range(count):
            write_entry(folder, f"e{number}", [number, number + 1] if number % 3 else [1000 + number])
        started = time.perf_counter()
        ended = at_once([("run", f"e{number}", "--data", "data") for number in range(count)], folder)
        seconds = time.perf_counter() - started
        os.chdir(folder)
        if not _report(ended, seconds):
            sys.exit(1)


def _report(ended: Sequence[Ended], seconds: float) -> bool:
    """Print what came of it; whether all is as promised."""
    from registry.models.versions import PRODUCTION, Versions
    from registry.store.tracking import Tracking

    tracking = Tracking()
    states = ("FINISHED", "FAILED", "KILLED", "RUNNING")
    runs, members = (tracking.find(kind, statuses=states) for kind in ("experiment", "member"))
    versions = Versions(tracking)
    twice = [digest for digest, n in Counter(run.tags["vad.digest"] for run in members).items() if n > 1]
    production = [number for number, names in versions.aliases().items() if PRODUCTION in names]
    rows = [
        ("runs at once", len(ended)),
        ("that succeeded", sum(end.status == 0 for end in ended)),
        ("seconds for all", f"{seconds:.1f}"),
        ("seconds each", f"{min(end.seconds for end in ended):.1f} to {max(end.seconds for end in ended):.1f}"),
        ("runs by status", dict(Counter(run.status for run in runs))),
        ("members by status", dict(Counter(run.status for run in members))),
        ("members trained twice", len(twice)),
        ("versions", len(versions.all())),
        ("production", ", ".join(production) or "none"),
        ("waits for the store", sum(end.said.count("waiting up to") for end in ended)),
    ]
    print("\n".join(f"| {name} | {value} |" for name, value in rows))
    for number, end in enumerate(ended):
        if end.status:
            print(f"e{number}: {end.said.strip().splitlines()[-1]}", file=sys.stderr)
    finished = {run.status for run in runs + members} == {"FINISHED"}
    return finished and not twice and len(production) == 1 and not any(end.status for end in ended)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="how many [20]")
    main(parser.parse_args().count)
