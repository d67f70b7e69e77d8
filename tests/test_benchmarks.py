"""The benchmarks run, on little: that they go on working, not how fast anything is."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.report import as_markdown

PROJECT = Path(__file__).parents[1]
OTHERS = "mlflow click yaml pydantic sklearn pandas matplotlib safetensors tqdm registry PIL"
BARE = f"""
import runpy, sys
sys.modules.update(dict.fromkeys("{OTHERS}".split()))
sys.argv = ["gpu", "--train", "8", "--test", "4", "--epochs", "1", "--batches", "1", "--rounds", "1", "--home", sys.argv[1]]
runpy.run_module("benchmarks.gpu", run_name="__main__")
"""


def test_the_benchmark_for_a_gpu_needs_only_torch_numpy_scipy_and_opencv(tmp_path, demo_street):
    (tmp_path / "street").symlink_to(demo_street)
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(tmp_path)], capture_output=True, text=True, cwd=PROJECT, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert set(found["losses"]) == {"64-42", "64-123", "128-42", "128-123", "256-42", "256-123"}
    assert all(0 < loss < 2 for losses in found["losses"].values() for loss in losses)
    assert [scale["size"] for scale in found["scales"]] == [64, 128, 256]
    assert all(scale["ratio"] > 0 and scale["share of the product"] > 0 for scale in found["scales"])


def test_growth_is_measured_in_a_process_of_its_own(tmp_path):
    command = [sys.executable, "-m", "benchmarks.growth", "300", str(tmp_path / "frames.npy")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=300, check=True)
    peak, seconds = map(float, done.stdout.split())
    assert 10**8 < peak < 4 * 10**9
    assert seconds > 0


def test_the_table_says_what_was_asked_beside_what_was_found():
    row = {
        "part": "decode",
        "ours": 700.0,
        "theirs": 100.0,
        "ratios": [6.0, 8.0, 7.0],
        "share": 0.5,
        "of": "cv2.imread",
    }
    found = {
        "rows": [row],
        "end_to_end": {"ours": [10.0], "theirs": [30.0]},
        "seconds": {"help": 0.06},
        "tracking_share": 0.008,
        "growth": {"frames": (10, 100), "peak": (5e8, 5e8), "seconds": (1.0, 10.0), "exponent": 1.0},
        "losses": [{"size": 64, "seed": 42, "ours": 0.28, "theirs": 0.29}],
        "machine": {"processor": "one"},
        "ceilings": {"memory, GB/s": 25.0},
        "rounds": 3,
        "minutes": 9,
    }
    text = as_markdown(found)
    assert "| decode | 700 | 100 | 7.00 (6.00 to 8.00) | 2.5 | 50% of cv2.imread | 70% |" in text
    assert "| phase 5 from files to scores, one epoch | 10.0 s | 30.0 s | 3.00 (3.00 to 3.00) | 2 | | |" in text
    assert "| `vad --help` | 0.060 | < 0.3 |" in text
    assert "| tracking, share of a run | 0.80% | < 1 % |" in text
    assert "to the power of 1.00" in text
    assert "| 64 px, seed 42 | 0.2800 | 0.2900 |" in text
    assert "processor: one; memory, GB/s: 25.00. Medians of 3 rounds; 9 minutes." in text
