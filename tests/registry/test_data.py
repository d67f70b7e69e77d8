"""`vad data`, as a person sees it: the report on standard output, how far it is on standard error, and nothing else."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.registry.apart import apart
from vad.data.frameset import Labels
from vad.data.labels import version_of

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "ped2"


def test_a_data_set_is_reported_and_the_decoder_says_nothing(workspace):
    done = apart(workspace.folder, "data", "data")
    assert done.returncode == 0, done.stderr
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
    done = apart(workspace.folder, "why", "tiny", "--data", "data")
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert said.startswith("Error: data/Dataset/training_videos/03.mp4 gave ")


def test_a_test_movie_that_cannot_be_read_moves_no_labels_to_another_video(workspace):
    Path("data/Dataset/testing_videos/00.avi").write_text("no movie")
    report = workspace.vad("data", "data")
    assert "00.avi is not a video that can be decoded" in report.output
    rows = {line.split()[1]: line.split("  ")[-1].strip() for line in report.stdout.splitlines() if line[:5] == "test "}
    assert rows == {"0": "0", "1": "4 (3 to 6)", "2": "5 (3 to 7)", "3": "0"}
    videos = json.loads(workspace.vad("data", "data", "--json").stdout)["videos"]
    assert [video["anomalous"] for video in videos[2:]] == [None, [4, 3, 6], [5, 3, 7], None]


@pytest.mark.parametrize("name", ["labels.csv", "labels.npy", "labels.mat", "labels.txt", "masks/1_label.mat"])
def test_labels_that_git_lfs_did_not_fetch_are_called_that(workspace, name):
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    labels = name.split("/")[0]
    if labels == "masks":
        for video in ("2", "3"):
            Path(f"masks/{video}_label.mat").write_bytes(path.read_bytes())
    told = f"{path} is a Git LFS pointer, not the file itself; run `git lfs pull`"
    assert told in workspace.vad("data", "data", "--labels", labels).stdout
    assert told in workspace.refused("run", "tiny", "--data", "data", "--labels", labels)


def test_the_same_frames_are_looked_at_once(workspace):
    """The second report is the first one, without decoding; a frame that changed is looked at again."""
    first = workspace.vad("data", "data")
    second = workspace.vad("data", "data")
    assert "inspect" in first.stderr
    assert "inspect" not in second.stderr
    assert first.stdout == second.stdout
    path = Path("data/Dataset/testing_videos/01/frame_00000.jpg")
    path.write_bytes(cv2.imencode(".jpg", np.zeros((24, 32, 3), np.uint8))[1].tobytes())
    third = workspace.vad("data", "data")
    assert "video 1 has frames of 2 sizes" in third.output


@pytest.mark.skipif(not SHARED.exists(), reason="Ped2 is not here (shared/data/ped2)")
@pytest.mark.parametrize("labels", ["labels.csv", "ped2.mat", "UCSDped2.m", "frame_labels_ped2.npy", "masks"])
def test_ped2_is_known_by_each_form_of_its_labels(workspace, labels):
    report = workspace.done("data", str(SHARED), "--labels", labels).splitlines()
    assert "read as the field's common form, training/frames/NAME and testing/frames/NAME" in report
    assert "  the published labels of UCSD Ped2" in report
    rows = {line.split()[1]: line.split("  ")[-1].strip() for line in report if line.startswith("test ")}
    assert (rows["1"], rows["3"], rows["12"]) == ("120 (60 to 179)", "146 (0 to 145)", "93 (87 to 179)")


def test_avenues_two_versions_of_labels_are_told_apart(index_of):
    lengths = (
        1439,
        1211,
        923,
        947,
        1007,
        1283,
        605,
        36,
        1175,
        841,
        472,
        1271,
        549,
        507,
        1001,
        740,
        426,
        294,
        248,
        273,
        76,
    )
    index = index_of(*lengths)
    masks = Labels(np.arange(len(index)) < 3820, "masks")
    assert version_of(masks, index) == "CUHK Avenue, the authors' masks (3,820 anomalous frames)"
    other = Labels(np.arange(len(index)) < 3821, "intervals")
    assert version_of(other, index).startswith(
        "CUHK Avenue, but not the authors' masks: here 3,821 frames are anomalous, 0 of them in clip 18; "
    )
    assert version_of(masks, index_of(*lengths[1:], 1439)) is None
