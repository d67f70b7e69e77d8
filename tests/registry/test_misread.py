"""Data that would be misread or passed over: said by `vad data` and at the start of a run, before any training."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

TRAIN, TEST = Path("data/Dataset/training_videos"), Path("data/Dataset/testing_videos")
LABELS = Path("data/labels.csv")


def _never_ran(workspace):
    return workspace.tracking().find("experiment", statuses=("RUNNING", "FAILED", "KILLED", "FINISHED")) == []


def _number_from_one(folder=TEST):
    for video in folder.iterdir():
        for frame in sorted(video.iterdir(), reverse=True):
            frame.rename(frame.with_name(f"frame_{int(frame.stem[6:]) + 1:05d}.jpg"))


def _as_masks(folder):
    """The labels as the authors of CUHK Avenue publish them: one mask a frame, counted from 0."""
    folder.mkdir(parents=True)
    with LABELS.open() as file:
        rows = list(csv.DictReader(file))
    for video in ("1", "2", "3"):
        flags = [int(row["Label"]) for row in rows if row["Id"].startswith(f"{video}_")]
        cells = np.empty((1, len(flags)), object)
        for number, flag in enumerate(flags):
            cells[0, number] = np.full((4, 4), flag, np.uint8)
        savemat(folder / f"{video}_label.mat", {"volLabel": cells})
    return folder


def _all_normal():
    LABELS.write_text(LABELS.read_text().replace(",1\n", ",0\n"))


def _turned():
    for frame in (TEST / "03").iterdir():
        cv2.imwrite(str(frame), np.rot90(cv2.imread(str(frame))))


def _as_gif():
    for frame in (TEST / "03").iterdir():
        frame.rename(frame.with_suffix(".gif"))


def _of_16_bits():
    for frame in (TEST / "03").iterdir():
        cv2.imwrite(str(frame.with_suffix(".png")), cv2.imread(str(frame)).astype(np.uint16) + 50_000)
        frame.unlink()


def _two_labels():
    shutil.copy(LABELS, TEST.with_name("labels.csv"))


CASES = {
    "a video lies on its side": (_turned, "some videos are wider than high, others higher than wide, and not in both halves: 64 x 48 ("),
    "frames of a format that is not read": (_as_gif, f"{TEST / '03'} is named as a video and holds no frame: frame_00000.gif, frame_00001.gif,"),
    "frames of 16 bits": (_of_16_bits, f"{TEST / '03' / 'frame_00000.png'} has 16 bits a value, and frames have 8: scale all frames"),
    "a video named by 20 digits": (lambda: (TEST / "03").rename(TEST / ("9" * 20)), f"{TEST / ('9' * 20)}: a video's number has 9 digits at most"),
    "labels of one class": (_all_normal, f"{LABELS}: all 30 test frames are normal, but AP needs both; mend the labels, or do without them (LABELS=none:"),
    "two that could be the labels": (_two_labels, f"any of {TEST.with_name('labels.csv')}, {LABELS} could be the labels; name one with LABELS="),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_would_be_misread_stops_a_run_and_is_a_fault_of_the_data(workspace, case):
    spoil, message = CASES[case]
    spoil()
    for experiments in (["tiny"], ["all"]):
        assert message in workspace.refused("run", *experiments, "--data", "data")
    assert _never_ran(workspace)
    inspected = workspace.vad("data", "data")
    assert (inspected.exit_code, message in inspected.stdout) == (2, True), inspected.output


def test_submit_stops_where_a_video_is_not_read(trained):
    _as_gif()
    assert "03 is named as a video and holds no frame" in trained.refused("submit", "--data", "data")
    assert not Path("submissions").exists()


def test_several_sizes_are_told_at_the_start(workspace):
    for frame in (TEST / "03").iterdir():
        cv2.imwrite(str(frame), cv2.resize(cv2.imread(str(frame)), (96, 64)))
    told = "note: videos have frames of 2 sizes, all resized to one: 64 x 48 (data/Dataset/training_videos/01, "
    assert told in workspace.done("data", "data")
    result = workspace.vad("run", "tiny", "--data", "data", "--set", "train.epochs=1")
    assert (result.exit_code, told in result.stderr) == (0, True), result.output


def test_test_frames_that_are_training_frames_are_told(workspace):
    shutil.copytree(TRAIN / "01", TEST / "01", dirs_exist_ok=True)
    for number in (3, 4):
        shutil.copy(TRAIN / "02" / f"frame_0000{number}.jpg", TEST / "03" / f"frame_0000{number + 2}.jpg")
    told = (
        "note: 12 of 30 test frames are byte-for-byte copies of training frames (video 1: 10 of 10 frames, from training video 1; "
        "video 3: 2 of 10 frames, from training video 2); scores on frames that a network trained on say nothing about new "
        "footage: remove these frames from one half"
    )
    assert told in workspace.done("data", "data")
    result = workspace.vad("run", "tiny", "--data", "data", "--set", "train.epochs=1")
    assert (result.exit_code, told in result.stderr) == (0, True), result.output
    assert json.loads(workspace.done("data", "data", "--json"))["notes"] == [told.removeprefix("note: ")]


def test_a_movie_in_both_halves_is_told(workspace, picture, save_movie):
    movie = save_movie(TRAIN / "03.avi", [picture(step) for step in range(10)])
    shutil.rmtree(TEST / "03")
    shutil.copy(movie, TEST / "03.avi")
    (TRAIN / "04").mkdir()
    (TRAIN / "04" / "frame_0.jpg").write_bytes(b"")  # what cannot be read hides nothing else
    told = "10 of 30 test frames are byte-for-byte copies of training frames (video 3: 10 of 10 frames, from training video 3)"
    assert told in workspace.vad("data", "data").stdout


def test_videos_may_have_any_name(workspace):
    (TRAIN / "02").rename(TRAIN / "normal_02")
    report = workspace.done("data", "data").splitlines()
    assert [line.split()[:3] for line in report[5:7]] == [["train", "1", "10"], ["train", "normal_02", "10"]]


def test_inverted_labels_are_told_before_a_run(workspace):
    flipped = LABELS.read_text().replace(",1\n", ",x\n").replace(",0\n", ",1\n").replace(",x\n", ",0\n")
    rows = [line for line in flipped.splitlines() if not line.endswith(",0") or line in ("1_5,0", "2_5,0")]
    kept = {line.partition(",")[0] for line in rows}
    LABELS.write_text("\n".join(rows) + "\n")
    for frame in TEST.rglob("*.jpg"):
        if f"{int(frame.parent.name)}_{int(frame.stem[6:])}" not in kept:
            frame.unlink()
    said = f"note: {LABELS}: 91% of the test frames are anomalous, and every video begins with an anomalous one; is 1 normal"
    assert said in workspace.done("data", "data")
    result = workspace.vad("run", "tiny", "--data", "data", "--set", "train.epochs=1")
    assert (result.exit_code, said in result.stderr) == (0, True), result.output


def test_labels_as_a_table_of_intervals(workspace):
    before = workspace.done("data", "data").splitlines()
    LABELS.write_text("video,start,end\n1,3,6\n02,3,7\n")
    after = workspace.done("data", "data").splitlines()
    assert [line for line in after if line not in before] == [
        "  read as CSV of intervals, both ends included, counted as the frames are numbered; "
        + next(line for line in before if line.startswith("  read as")).partition("; ")[2],
        f"note: {LABELS} has no interval for 3, so all frames there are normal",
    ]


def test_labels_beside_the_videos_are_found(workspace):
    LABELS.rename(TEST.with_name("labels.csv"))
    found = f"labels: {TEST.with_name('labels.csv')}: 9 of 30 test frames anomalous (30.00%)"
    assert found in workspace.done("data", "data")


def test_labels_by_another_name_are_hinted_at(workspace):
    LABELS.rename(LABELS.with_name("truth.csv"))
    LABELS.with_name("corruption.csv").write_text("Id,Kind\n1_0,blur\n")
    hint = "labels: none; runs will report a proxy AP (LABELS=truth.csv gives real ones)"
    assert hint in workspace.done("data", "data")
    assert "9 of 30 test frames anomalous" in workspace.done("data", "data", "--labels", "truth.csv")
    LABELS.with_name("truth.csv").unlink()
    assert "a proxy AP (LABELS=path gives real ones)" in workspace.done("data", "data")


def test_evaluate_refuses_labels_of_one_class_by_the_file(workspace):
    rows = LABELS.read_text().replace("Id,Label", "Id,Predicted")
    Path("predictions.csv").write_text(rows)
    _all_normal()
    assert f"{LABELS}: all 30 test frames are normal" in workspace.refused(
        "evaluate", "predictions.csv", "--labels", str(LABELS)
    )


def test_the_number_of_the_first_frame_goes_with_run_and_model(workspace):
    masks = _as_masks(Path("data/ground_truth_demo/testing_label_mask"))
    LABELS.unlink()
    before = workspace.done("data", "data")
    _number_from_one()
    message = f"it is not clear which frame the first mask in {masks} belongs to; give FIRST_FRAME=1 (--first-frame 1)"
    assert message in workspace.refused("run", "tiny", "--data", "data")
    assert message in workspace.vad("data", "data").stdout
    assert _never_ran(workspace)

    found = next(line for line in before.splitlines() if line.startswith("labels:"))
    assert found in workspace.done("data", "data", "--first-frame", "1")
    workspace.done("run", "tiny", "--data", "data", "--first-frame", "1")
    assert workspace.runs("experiment")[0].tags["vad.first_frame"] == "1"
    assert "done already" in workspace.vad("run", "tiny", "--data", "data", "--first-frame", "1").output

    measured = workspace.done("submit", "--out", "predictions.csv").splitlines()[-1]
    assert measured in workspace.done("submit", "--data", "data"), (
        "the folder of the run: its labels and its first frame"
    )
    assert measured in workspace.done("submit", "--data", "data", "--first-frame", "1")
    assert message in workspace.refused("evaluate", "predictions.csv", "--labels", str(masks))
    assert measured in workspace.done("evaluate", "predictions.csv", "--labels", str(masks), "--first-frame", "1")


def test_a_movie_that_was_cut_off_is_found_by_its_masks(workspace, picture, save_movie):
    movie = save_movie(TEST / "03.avi", [picture(step) for step in range(6)])
    shutil.rmtree(TEST / "03")
    masks = _as_masks(Path("masks"))
    message = f"{masks / '3_label.mat'} has 10 masks, but {movie} only 6 frames that can be decoded"
    assert message in workspace.refused("run", "tiny", "--data", "data", "--labels", "masks")
    assert message in workspace.vad("data", "data", "--labels", "masks").stdout


def test_an_archive_made_on_a_mac_is_read_without_a_word(workspace):
    expected = workspace.done("data", "data").replace("data/labels.csv", "")
    for path in list(Path("data").rglob("*.jpg")):
        twin = Path("data/__MACOSX") / path.relative_to("data").with_name(f"._{path.name}")
        twin.parent.mkdir(parents=True, exist_ok=True)
        twin.write_bytes(b"\0\5\x16\7")
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    assert workspace.done("data", "data").replace("data/labels.csv", "") == expected


def test_data_that_changed_since_its_model_was_made_is_told(trained):
    image, other = sorted(Path("data").rglob("testing_videos/*/*.jpg"))[:2]
    image.write_bytes(other.read_bytes())
    message = "made on data, whose test frames are others now; `--model v1` (make: MODEL=v1) scores it all the same"
    assert message in trained.refused("submit", "--data", "data", "--out", "y.csv")
