"""`vad data`, as a person sees it: the report on standard output, how far it is on standard error, and nothing else."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np


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


def test_what_is_wrong_with_every_frame_of_a_folder_is_one_line(workspace):
    folder = Path("data/Dataset/training_videos/01")
    for path in folder.iterdir():
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    lines = [line for line in workspace.vad("data", "data").output.splitlines() if "git lfs pull" in line]
    assert len(lines) == 1
    assert lines[0].strip().startswith(f"{folder}: 10 files as this one: {folder}/frame_00000.jpg")


def test_a_damaged_movie_is_told_in_our_words_alone(workspace):
    """By a command that only reads, too: FFmpeg has hundreds of lines to say."""
    path = workspace.folder / "data" / "Dataset" / "training_videos" / "03.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (160, 120))
    generator = np.random.default_rng(0)
    for _ in range(40):
        writer.write(generator.integers(0, 256, (120, 160, 3), np.uint8))
    writer.release()
    content = path.read_bytes()
    at, count = len(content) // 2, len(content) // 8
    path.write_bytes(content[:at] + bytes(count) + content[at + count :])
    command = [sys.executable, "-m", "registry.cli", "why", "tiny", "--data", "data"]
    done = subprocess.run(command, cwd=workspace.folder, capture_output=True, text=True)
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert said.startswith("Error: data/Dataset/training_videos/03.mp4 gave ")
