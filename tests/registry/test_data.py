"""`vad data`, as a person sees it: the report on standard output, how far it is on standard error, and nothing else."""

import subprocess
import sys


def test_a_data_set_is_reported_and_the_decoder_says_nothing(workspace):
    command = [sys.executable, "-m", "registry.cli", "data", "data"]
    done = subprocess.run(command, cwd=workspace.folder, capture_output=True, text=True, check=True)
    (progress,) = done.stderr.splitlines()
    assert progress.split()[:3] == ["inspect", "50", "frames"]
    report = done.stdout.splitlines()
    assert report[0] == "data (data)"
    assert "train: 2 videos, 20 frames" in report
    assert "test: 3 videos, 30 frames" in report
    assert "labels: data/labels.csv: 9 of 30 test frames anomalous (30.00%)" in report
    assert report[-1] == "every file can be read"
