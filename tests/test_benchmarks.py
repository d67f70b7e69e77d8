"""The benchmarks run, on little: that they go on working, not how fast anything is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import bench, ceilings, parts
from benchmarks.report import as_markdown
from benchmarks.side import compare

PROJECT = Path(__file__).parents[1]
OTHERS = "mlflow click yaml pydantic sklearn pandas matplotlib safetensors rich registry filelock h5py"
BARE = f"""
import runpy, sys
sys.modules.update(dict.fromkeys("{OTHERS}".split()))
sys.argv = ["gpu", "--train", "4", "--test", "2", "--epochs", "1", "--batches", "1", "--rounds", "1", "--sizes", "64", "128",
            "--home", sys.argv[1]]
runpy.run_module("benchmarks.gpu", run_name="__main__")
"""


def test_the_benchmark_for_a_gpu_needs_no_mlflow_and_nothing_of_the_registry(tmp_path, demo_street):
    (tmp_path / "street").symlink_to(demo_street)
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(tmp_path)], capture_output=True, text=True, cwd=PROJECT, timeout=240
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert set(found["losses"]) == {"64-42", "64-123", "128-42", "128-123"}
    assert all(0 < loss < 2 for losses in found["losses"].values() for loss in losses)
    assert [scale["size"] for scale in found["scales"]] == [64, 128]
    assert all(scale["ratio"] > 0 and scale["share of the product"] > 0 for scale in found["scales"])


def test_growth_is_measured_in_a_process_of_its_own(tmp_path):
    command = [sys.executable, "-m", "benchmarks.growth", "300", str(tmp_path / "frames.npy")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=300, check=True)
    peak, seconds = map(float, done.stdout.split())
    assert 10**8 < peak < 4 * 10**9
    assert seconds > 0


class Fake:
    """A side whose work takes so many seconds for each unit, which nobody waits for."""

    def __init__(self, seconds=0.0):
        self._seconds = seconds

    def prepare(self, make, amount):
        self.amount = make(amount)

    def seconds(self):
        return self.amount, self.amount * self._seconds

    def call(self, function, *arguments):
        return 1.0


@pytest.mark.parametrize(("seconds", "amount"), [(10.0, 1), (1.0, 1), (0.1, 10), (0.001, 1000)])
def test_slow_work_is_done_once_and_fast_work_as_often_as_there_is_time_for(seconds, amount):
    ours, theirs = Fake(seconds), Fake(3 * seconds)
    found = compare((ours, int), (theirs, int), rounds=2, seconds=4)
    assert ours.amount == theirs.amount == amount
    assert found.ratios == [pytest.approx(3)] * 2


def test_a_slow_machine_goes_through_phase_5_with_fewer_seeds_and_frames():
    size = bench.Size(ends=2, end_seconds=180)
    assert bench.portion_of(size, 30) == (parts.SEEDS, 1.0)
    assert bench.portion_of(size, 90) == (parts.SEEDS[:1], 1.0)
    assert bench.portion_of(size, 180) == (parts.SEEDS[:1], 0.5)


@pytest.mark.parametrize(("native", "expected"), [(True, ["bf16", "fp32"]), (False, ["fp32"])])
def test_a_ceiling_is_measured_only_in_a_precision_that_the_processor_has(monkeypatch, native, expected):
    monkeypatch.setattr(ceilings, "computes_in_bf16", lambda device: native)
    found = bench._ceilings(Fake(), torch.device("cpu"))
    assert [name for name in found if "product" in name] == [f"{name} product, TFLOP/s" for name in expected]


def a_table(precision, **row):
    """The Markdown of figures that were measured in this precision, with one row of a part."""
    found = {
        "precision": precision,
        "rows": [row],
        "end_to_end": {
            "work": "one epoch",
            "ours": [10.0],
            "theirs": [30.0],
            "share": 0.75,
            "of": f"the {precision} product",
        },
        "seconds": {"help": 0.06},
        "tracking_share": 0.008,
        "growth": {"frames": (10, 100), "peak": (5e8, 5e8), "seconds": (1.0, 10.0), "exponent": 1.0},
        "losses": [{"size": 64, "seed": 42, "ours": 0.28, "theirs": 0.29}],
        "machine": {"processor": "one"},
        "ceilings": {"memory, GB/s": 25.0},
        "rounds": 3,
        "epochs": 10,
        "minutes": 9,
    }
    return as_markdown(found)


def test_without_bf16_the_table_says_what_the_fp32_product_allows_instead_of_what_was_asked_of_bf16():
    row = {"ours": 520.0, "theirs": 400.0, "ratios": [1.3, 1.2, 1.4], "share": 0.8, "of": "the fp32 product"}
    text = a_table("fp32", part="scoring, 64 px", **row)
    assert "| scoring, 64 px | 520 | 400 | 1.30 (1.20 to 1.40) | at most 1.62 | 80% of the fp32 product |  |" in text
    assert "one epoch | 10.0 s | 30.0 s | 3.00 (3.00 to 3.00) | at most 4.00 | 75% of the fp32 product |  |" in text
    assert "This processor has no bf16" in text
    text = a_table("fp32", part="decode", ours=700.0, theirs=100.0, ratios=[7.0], share=0.5, of="cv2.imread")
    assert "| 7.00 (7.00 to 7.00) | 2.5 | 50% of cv2.imread | 70% |" in text


def test_the_table_says_what_was_asked_beside_what_was_found():
    text = a_table("bf16", part="decode", ours=700.0, theirs=100.0, ratios=[6.0, 8.0, 7.0], share=0.5, of="cv2.imread")
    assert "no bf16" not in text
    assert "| decode | 700 | 100 | 7.00 (6.00 to 8.00) | 2.5 | 50% of cv2.imread | 70% |" in text
    assert "one epoch | 10.0 s | 30.0 s | 3.00 (3.00 to 3.00) | 2 | 75% of the bf16 product |  |" in text
    assert "| `vad --help` | 0.060 | < 0.3 |" in text
    assert "| tracking, share of a run (epochs: 10) | 0.80% | < 1 % |" in text
    assert "to the power of 1.00" in text
    assert "| 64 px, seed 42 | 0.2800 | 0.2900 |" in text
    assert "processor: one; memory, GB/s: 25.00. Medians of 3 rounds; 9 minutes." in text
