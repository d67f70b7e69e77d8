"""What the registry itself costs: post-processing, skipping what is done, tracking, the command line, the leaderboard."""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from registry.analysis.leaderboard import as_text, leaderboard
from registry.entries.loading import load_entry
from registry.entries.plan import make_plan
from registry.runs.context import Request, prepare
from registry.runs.executor import finished, run
from registry.store.runlog import RunLog
from registry.store.tracking import Tracking
from vad.data.frame_index import FrameIndex
from vad.scoring.pipeline import Scored, run_pipeline

ROUNDS = 5

# Frames of the competition's 21 test videos.
VIDEOS = (499, 1211, 737, 947, 1007, 627, 588, 36, 359, 722, 472, 735, 528, 496, 732, 740, 417, 275, 229, 273, 76)


def median_seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Of a few runs, after one that warms up."""
    times = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def post_processing() -> float:
    """Seconds from member scores of 11,706 frames to all variants of phase 4's two experiments."""
    index = FrameIndex(np.repeat(np.arange(1, 22), VIDEOS), np.concatenate([np.arange(count) for count in VIDEOS]))
    generator = np.random.default_rng(0)
    plans = [make_plan(load_entry(name), labelled=True) for name in ("phase4_gaussian", "phase4_alternative")]
    scores = {
        (member, stream.error): generator.random(len(index))
        for plan in plans
        for stream in plan.streams.values()
        for member in stream.members
        if stream.error
    }

    def all_variants() -> None:
        for plan in plans:
            run_pipeline(plan.streams, plan.variants, Scored(index, scores))

    return median_seconds(all_variants)


@contextlib.contextmanager
def store(folder: Path) -> Iterator[None]:
    """A tracking store of its own, in an empty folder."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    try:
        yield
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI")
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


def phase2_epochs(train_frames: int, frames_a_second: float, seconds: float) -> int:
    """How many epochs of phase2_max_error, ten at most, are trained in about so many seconds."""
    members = make_plan(load_entry("phase2_max_error"), labelled=True).members
    return max(1, min(10, round(seconds * frames_a_second / (len(members) * train_frames))))


def phase2(home: Path, epochs: int) -> Request:
    """phase2_max_error on the demo street."""
    return Request("phase2_max_error", profile="full", overrides=(f"train.epochs={epochs}",), home=home)


def run_and_skip(request: Request) -> dict[str, float]:
    """Run an experiment, and again: share of the time in tracking, seconds of the decision to skip."""
    spent = 0.0

    inside = False

    def timed(method: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal spent, inside
            # What one call makes of others counts once; curves are sent by a thread beside the training.
            if inside or threading.current_thread() is not threading.main_thread():
                return method(*arguments, **options)
            started, inside = time.perf_counter(), True
            try:
                return method(*arguments, **options)
            finally:
                spent, inside = spent + time.perf_counter() - started, False

        return call

    names = {RunLog: ("log", "curve", "steps", "artifact", "artifacts", "end"),
             Tracking: ("__init__", "experiment", "open_run", "begin_model", "model_metrics", "reopen", "find", "get", "fetch")}  # fmt: skip
    originals = {(kind, name): getattr(kind, name) for kind, methods in names.items() for name in methods}
    with contextlib.redirect_stderr(io.StringIO()):
        Tracking(new=True)  # a new database takes seconds to make, once
        for (kind, name), method in originals.items():
            setattr(kind, name, timed(method))
        try:
            started = time.perf_counter()
            run(request)
            whole = time.perf_counter() - started
        finally:
            for (kind, name), method in originals.items():
                setattr(kind, name, method)

        def skip() -> None:
            assert finished(prepare(request), Tracking()) is not None

        return {"tracking_share": spent / whole, "run_seconds": whole, "skip_seconds": median_seconds(skip)}


def help_seconds() -> float:
    """Seconds of `vad --help`, a process each."""
    command = [sys.executable, "-m", "registry.cli", "--help"]
    return median_seconds(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True))


def leaderboard_seconds(runs: int = 1000) -> float:
    """Seconds of the leaderboard over so many finished runs, in a process that has imported what it needs."""
    tracking = Tracking(new=True)
    experiment = tracking.experiment("bench ap", {"vad.figure": "ap"})
    for number in range(runs):
        tags = {
            "vad.entry": f"entry{number % 50}",
            "vad.profile": "full",
            "vad.set": f"train.lr={number}",
            "vad.figure": "ap",
        }
        log = tracking.open_run(experiment, "experiment", f"digest{number}", f"entry{number % 50}", tags)
        figures = {"ap": number / runs, "ap_low": 0.1, "ap_high": 0.9, "auc": 0.5, "prevalence": 0.3}
        figures |= {f"ap.variant{v}": 0.5 for v in range(10)}
        log.log(figures, {"entry": "x", "members": 3, "best_variant": "max"})
        log.end("FINISHED")
    return median_seconds(lambda: as_text(leaderboard(Tracking())), 3)
