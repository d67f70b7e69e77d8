"""A model that an earlier version of this project registered scores as it did there. That version needs tqdm, for its progress bars."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EARLIER = "693a1cd"
RUN_AND_SUBMIT = """
from registry.cli import main
for command in (["run", "tiny"], ["submit", "--model", "v1", "--out", "then.csv"]):
    main([*command, "--data", "data"], standalone_mode=False)
"""


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """The project as it was at that commit, out of the checkout's history."""
    done = subprocess.run(["git", "-C", str(ROOT), "archive", EARLIER, "vad", "registry"], capture_output=True)
    if done.returncode:
        pytest.skip(f"commit {EARLIER} is not in the history of this checkout")
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.timeout(600)
def test_submit_scores_as_the_version_that_registered_it(workspace, edit, earlier):
    edit("seeds: [1, 2]", "seeds: [1]")
    edit("size: 64, output: tanh", "size: 16, output: tanh")
    done = subprocess.run(
        [sys.executable, "-c", RUN_AND_SUBMIT], env={**os.environ, "PYTHONPATH": str(earlier)}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    workspace.done("submit", "--model", "v1", "--data", "data", "--out", "now.csv")
    assert Path("now.csv").read_bytes() == Path("then.csv").read_bytes()
    assert "not altered" in workspace.done("explain", "then.csv")
    # A movie by the model's own code, in its own process: its scores are those of the submission.
    said = workspace.done("render", "1", "--model", "v1", "--data", "data", "--out", "movie.mp4")
    assert "10 frames" in said and Path("movie.mp4").stat().st_size > 1000
