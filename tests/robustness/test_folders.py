"""Folders of frames: every odd thing in them is told in a note, or named in one error; none is followed for ever."""

import os
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.data.datasets import open_frames_of
from vad.data.frame_index import FrameIndex
from vad.data.labels import read_labels
from vad.data.layouts import find_halves, read_frameset
from vad.errors import InputError
from vad.images.digest_cache import DigestCache

IMAGE = cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()
NAMES = st.one_of(
    st.sampled_from(["frame_1.jpg", "frame_01.jpg", "frame_999999999.png", "frame_9999999999.jpg", "１.jpg", "1", ".hidden.jpg", "a b 3.PNG", "雪 4.jpeg", "1.avi", "x.txt", "..jpg", "-5.jpg", "1.jpg.part"]),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40).filter(lambda name: name not in (".", "..")),
)  # fmt: skip


@pytest.fixture
def data(tmp_path, dataset):
    return dataset(tmp_path / "my data", {1: range(2)}, {1: range(2)})


@settings(max_examples=250)
@given(
    names=st.lists(NAMES, max_size=5, unique=True), place=st.sampled_from(["", "training_videos", "testing_videos/02"])
)
def test_files_of_any_name(tmp_path_factory, judged, names, place):
    root = tmp_path_factory.mktemp("any") / "my data"
    for half in ("training_videos/01", "testing_videos/01", place):
        (root / half).mkdir(parents=True, exist_ok=True)
        if half:
            (root / half / "frame_0.png").write_bytes(IMAGE)
    for name in names:
        try:
            (root / place / name).write_bytes(IMAGE)
        except OSError:  # too long for this disk, or a folder of that name
            continue
    frames = judged(lambda: read_frameset(root, root.parent / "memory"), "my data")
    if frames is not None:
        assert frames.train.index.frame.tolist() == sorted(frames.train.index.frame.tolist())
        assert all(number >= 0 for video in frames.test.videos for number in video.numbers)


@settings(max_examples=40)
@given(
    what=st.sampled_from(["dangling", "loop", "up", "pipe", "folder", "file", "empty"]),
    place=st.sampled_from(
        ["frame_00001.jpg", "frame_00007.jpg", "../02", "../03.avi", "../../labels.csv", "../../deep"]
    ),
)
def test_links_folders_and_pipes_where_files_are_expected(tmp_path_factory, dataset, judged, what, place):
    root = dataset(tmp_path_factory.mktemp("odd") / "my data", {1: range(2)}, {1: range(2)})
    path = Path(os.path.normpath(root / "testing_videos" / "01" / place))
    path.unlink(missing_ok=True)
    make = {
        "dangling": lambda: path.symlink_to(root / "nowhere"),
        "loop": lambda: path.symlink_to(path),
        "up": lambda: path.symlink_to(root),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "file": lambda: path.write_text("1"),
        "empty": path.touch,
    }
    make[what]()
    dataset_found = judged(lambda: open_frames_of(str(root), None, root.parent / "home"), "my data")
    if dataset_found is not None:
        assert set(dataset_found.index.video) <= {1, 2}


def test_a_folder_that_contains_itself_is_no_second_data_set(data):
    (data / "again").symlink_to(data)
    (data / "deep").mkdir()
    (data / "deep" / "up").symlink_to("..")
    assert find_halves(data) == (data / "training_videos", data / "testing_videos")


def test_ten_thousand_empty_folders_are_ten_thousand_faults(data):
    for number in range(10_000):
        (data / "testing_videos" / f"{number + 100}").mkdir()
    frames = read_frameset(data, data.parent / "memory", strict=False)
    assert [video.id for video in frames.test.videos] == [1]
    assert len(frames.faults) == 10_000
    for number in range(10_000):  # much faster than pytest's own way
        (data / "testing_videos" / f"{number + 100}").rmdir()


@pytest.fixture
def denied(data):
    """The data, in which something may not be read by whoever looks from then on; permissions do not apply to root."""

    def deny(what):
        (folder / "data" / what).chmod(0)
        if user == 0:
            os.seteuid(65534)
        return folder / "data"

    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        shutil.copytree(data, folder / "data")
        (folder / "data" / "masks").mkdir()
        yield deny
        os.seteuid(user)
        (folder / "data").chmod(0o700)
        for path in (folder / "data").rglob("*"):
            path.chmod(0o700)


@pytest.mark.parametrize("what", ["testing_videos/01/frame_00001.jpg", "testing_videos/01", "testing_videos", "."])
def test_what_may_not_be_read_is_named(denied, what):
    folder = denied(what)
    with pytest.raises(InputError, match=rf"cannot read {folder / what}.*: Permission denied"):
        read_frameset(folder, folder.parent / "memory")


@pytest.mark.parametrize("name", ["x" * 5000, "a/" * 3000, "~", "\x07"])
def test_paths_that_cannot_be(name, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        open_frames_of(name, None, tmp_path)


def test_halves_that_are_files_are_named(tmp_path):
    (tmp_path / "training_videos").touch()
    (tmp_path / "testing_videos").touch()
    with pytest.raises(InputError, match="must contain training_videos/ and testing_videos/"):
        read_frameset(tmp_path, tmp_path / "memory")


def test_masks_that_may_not_be_read_are_named(denied, tmp_path):
    folder = denied("masks")
    with pytest.raises(InputError, match=f"cannot read {folder / 'masks'}: Permission denied"):
        read_labels(folder / "masks", FrameIndex(np.array([1]), np.array([0])), DigestCache(tmp_path / "memory.json"))
