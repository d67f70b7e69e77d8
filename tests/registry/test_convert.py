"""`vad convert`: any data set in the competition's form, whole or not at all."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from vad.data.labels import read_labels
from vad.data.layouts import read_frameset
from vad.images.decode import read_image
from vad.images.digest_cache import DigestCache


@pytest.fixture
def shanghai(tmp_path, save, save_movie, picture):
    """A small ShanghaiTech: a train movie, and test frames as PNG and JPEG."""
    root = tmp_path / "shanghaitech"
    save_movie(root / "training" / "videos" / "01_001.avi", [picture(i) for i in range(4)])
    for video, ending, step in (("01_0014", "png", 10), ("02_0001", "jpg", 20)):
        for frame in range(3):
            save(root / "testing" / "frames" / video / f"{frame:03d}.{ending}", picture(step + frame))
        (root / "testing" / "test_frame_mask").mkdir(exist_ok=True)
        np.save(root / "testing" / "test_frame_mask" / f"{video}.npy", [0, 1, video == "02_0001"])
    return root


def test_a_published_set_becomes_the_competitions_form(workspace, shanghai):
    said = workspace.vad("convert", str(shanghai), "out")
    assert said.exit_code == 0, said.output
    assert said.stdout == "out: 10 frames, 7 of them converted to jpg, with labels; videos.csv has their names\n"
    out = Path("out")
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == [
        "labels.csv",
        *(f"testing_videos/{video}/frame_0000{frame}.jpg" for video in ("01", "02") for frame in range(3)),
        *(f"training_videos/01/frame_0000{frame}.jpg" for frame in range(4)),
        "videos.csv",
    ]
    assert list(csv.reader((out / "labels.csv").read_text().splitlines()))[1:] == [
        ["1_0", "0"], ["1_1", "1"], ["1_2", "0"], ["2_0", "0"], ["2_1", "1"], ["2_2", "1"],
    ]  # fmt: skip
    assert list(csv.reader((out / "videos.csv").read_text().splitlines())) == [
        ["split", "video", "name", "scene"],
        ["training_videos", "1", "01_001", "01"],
        ["testing_videos", "1", "01_0014", "01"],
        ["testing_videos", "2", "02_0001", "02"],
    ]
    own = shanghai / "testing" / "frames" / "02_0001" / "001.jpg"
    assert (out / "testing_videos" / "02" / "frame_00001.jpg").read_bytes() == own.read_bytes()
    assert json.loads(workspace.done("data", "out", "--json"))["labels"]["anomalous"] == 3


def test_as_png_every_pixel_stays(workspace, shanghai):
    workspace.done("convert", str(shanghai), "out", "--format", "png")
    for video, number, ending in (("01_0014", "01", "png"), ("02_0001", "02", "jpg")):
        before = read_image(shanghai / "testing" / "frames" / video / f"002.{ending}")
        after = read_image(Path("out") / "testing_videos" / number / "frame_00002.png")
        assert np.array_equal(before, after)


def test_the_competitions_own_form_is_the_same_data_again(workspace, tmp_path):
    workspace.done("convert", "data", "again")
    before, after = (read_frameset(Path(root), tmp_path / "memory") for root in ("data", "again"))
    assert before.digest == after.digest
    labels = [
        read_labels(Path(root) / "labels.csv", before.test.index, DigestCache(tmp_path / "m.json"))
        for root in ("data", "again")
    ]
    assert labels[0].digest == labels[1].digest
    assert not Path("again/videos.csv").exists()


def test_what_is_there_stays_and_nothing_is_half_written(workspace, shanghai):
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    assert "out is there already, and not an empty folder; name a new one" in workspace.refused(
        "convert", str(shanghai), "out"
    )
    inner = shanghai / "converted"
    assert "lies in the data set that is converted" in workspace.refused("convert", str(shanghai), str(inner))
    (shanghai / "testing" / "frames" / "02_0001" / "001.jpg").write_bytes(b"\xff\xd8 no picture")
    shutil.copy(
        shanghai / "testing" / "frames" / "02_0001" / "001.jpg", shanghai / "testing" / "frames" / "01_0014" / "001.png"
    )
    said = workspace.refused("convert", str(shanghai), "new")
    assert "001.png" in said
    assert [path.name for path in Path().iterdir() if "new" in path.name] == []
    Path("file").write_text("")
    assert "cannot write file/out" in workspace.refused("convert", "data", "file/out")


def test_a_video_of_two_sizes_is_refused_as_vad_data_refuses_it(workspace):
    first, other = (Path(f"data/Dataset/testing_videos/03/frame_{number:05d}.jpg") for number in (0, 4))
    cv2.imwrite(str(other), cv2.resize(cv2.imread(str(other)), (32, 32)))
    fault = f"{other} is 32 x 32, but {first} of the same video is 64 x 48; the frames of a video must have one size"
    assert fault in workspace.refused("convert", "data", "out")
    assert not Path("out").exists()
    assert "video 3 has frames of 2 sizes (32 x 32, 64 x 48)" in workspace.vad("data", "data").output
