"""Every experiment of phase 6 on data sets of yours, and on the same under the competition's corruption.

    .venv/bin/python -m benchmarks.detectors FOLDER [FOLDER ...] [--labels PATH] [--entries phase6_fused phase6_flow_bank]
        [--set KEY=VALUE ...] [--clean]

Prints a table in Markdown: for each data set and variant AP, its interval and AUC, the one that the entry registers marked by *; for
each entry the seconds of the whole run, the milliseconds of processors for each frame, and the MB of all members. Each data set is
also corrupted by the project's own law with a fixed seed (`--clean` leaves that out): a detector is worth what it keeps under noise.
Frames that are flipped or noisy already stay so. Everything is run in a new store.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks import ceilings
from registry.data.conversion import convert
from registry.data.datasets import Dataset, open_frames_of
from registry.runs.context import Request
from registry.runs.executor import run
from registry.store.tracking import Tracking
from vad.data.layouts import TEST
from vad.errors import InputError
from vad.images.decode import read_image
from vad.synthetic.corruption import as_jpeg, corrupt, draw_kinds
from vad.system.threads import available

_SEED = 7
_ENTRIES = ("phase6_fused", "phase6_flow_bank", "phase6_residual_bank", "phase6_clip_ae")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--labels")
    parser.add_argument("--entries", nargs="+", default=_ENTRIES)
    parser.add_argument("--set", nargs="+", default=(), dest="overrides")
    parser.add_argument("--clean", action="store_true")
    given = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    print(f"{ceilings.machine()}, commit {commit.strip() or 'unknown'}\n")
    print(
        "| data | entry | variant | AP | 95 % interval | AUC | s | CPU ms a frame | MB |\n|---|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as work:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{work}/mlflow.db"
        home, folders = Path(work) / ".vad", [(folder, given.labels) for folder in given.folders]
        if not given.clean:
            folders += [(str(_corrupted(folder, given.labels, Path(work))), None) for folder in given.folders]
        for folder, labels in folders:
            for entry in given.entries:
                request = Request(entry, folder, labels, "full", tuple(given.overrides), home=home)
                try:
                    for row in _rows(request):
                        print(row, flush=True)
                except InputError as error:  # the others count all the same
                    print(f"{entry} on {folder}: {error}", file=sys.stderr)


def _corrupted(folder: str, labels: str | None, work: Path) -> Path:
    """Write the data set in the competition's form, its test frames corrupted by the law; return its folder."""
    dataset: Dataset = open_frames_of(folder, labels, work / ".vad")
    out = convert(dataset, work / f"{dataset.name}-corrupted", "jpg").path
    generator = np.random.default_rng(_SEED)
    frames = sorted((out / TEST).rglob("*.jpg"))
    draws = zip(frames, draw_kinds(len(frames), generator), generator.integers(0, 2**31, len(frames)), strict=True)

    def damage(draw: tuple[Path, str, int]) -> None:
        path, kind, seed = draw
        if kind != "clean":
            path.write_bytes(as_jpeg(corrupt(read_image(path), kind, np.random.default_rng(seed))))  # type: ignore[arg-type]

    with ThreadPoolExecutor(available()) as pool:
        list(pool.map(damage, draws))
    return out


def _rows(request: Request) -> list[str]:
    started, busy = time.perf_counter(), time.process_time()
    result = run(request)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    frames = open_frames_of(request.data, request.labels, request.home).frames
    a_frame = 1000 * busy / (len(frames.train) + len(frames.test)) if frames else 0.0
    megabytes = Tracking().get(result.run_id).metrics.get("megabytes", 0.0)
    costs = f"{seconds:.0f} | {a_frame:.1f} | {megabytes:.1f}"
    rows = []
    for variant, measured in result.variants.items():
        if measured is not None:
            interval = f"{measured.low:.3f} to {measured.high:.3f}" if measured.has_interval else "-"
            name = f"{variant} *" if variant == result.best else variant
            figures = f"{measured.ap:.4f} | {interval} | {measured.auc:.4f} | {costs}"
            rows.append(f"| {result.data} | {request.experiment} | {name} | {figures} |")
    return rows


if __name__ == "__main__":
    main()
