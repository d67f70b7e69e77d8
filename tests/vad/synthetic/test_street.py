"""The demo street: what lies on disk, what its labels say, and that it is whole, or absent, and always the same."""

import csv
import hashlib
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from vad.data.labels import DEMO_MARKER as MARKER
from vad.data.labels import MASKS, read_labels
from vad.data.layouts import read_frameset
from vad.images.decode import read_image
from vad.images.digest_cache import DigestCache
from vad.synthetic import street
from vad.synthetic.street import make_street


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def made(demo_street):
    """The street. Not to be written to."""
    return demo_street


@pytest.fixture(scope="module")
def frames(made, tmp_path_factory):
    return read_frameset(made, tmp_path_factory.mktemp("index"))


@pytest.fixture(scope="module")
def labels(made, frames, tmp_path_factory):
    memory = DigestCache(tmp_path_factory.mktemp("memory") / "labels.json")
    return read_labels(made / "labels.csv", frames.test.index, memory).values


def link(made: Path, folder: Path) -> None:
    """A street like another one, in no time: its files are the same ones, so they must not be written to."""
    shutil.copytree(made, folder, copy_function=os.link, dirs_exist_ok=True)


@pytest.fixture
def copied(monkeypatch, made):
    """Building is linking, which is faster; gives what was built."""
    built = []

    def build(folder):
        built.append(folder)
        link(made, folder)

    monkeypatch.setattr(street, "_build", build)
    return built


def test_it_lies_as_the_competitions_files_do(made, frames):
    assert [(video.id, len(video.numbers)) for video in frames.train.videos] == [(n, 45) for n in range(1, 5)]
    assert [(video.id, len(video.numbers)) for video in frames.test.videos] == [(n, 60) for n in range(1, 7)]
    assert frames.train.videos[0].images[0] == made / "Dataset" / "training_videos" / "01" / "frame_00000.jpg"
    assert frames.notes == ()
    for split in (frames.train, frames.test):
        assert {read_image(video.images[-1]).shape for video in split.videos} == {(360, 640, 3)}


def test_single_test_frames_are_missing_and_one_video_starts_late(frames):
    steps = [np.diff(video.numbers) for video in frames.test.videos]
    assert sum(int(np.sum(step == 2)) for step in steps) >= 3
    assert max(int(step.max()) for step in steps) == 2
    assert [video.numbers[0] > 0 for video in frames.test.videos].count(True) == 1


def test_csv_and_masks_say_the_same(made, frames, labels, tmp_path):
    masks = read_labels(made / MASKS, frames.test.index, DigestCache(tmp_path / "memory.json"))
    assert np.array_equal(labels, masks.values)


def test_a_quarter_to_a_third_is_anomalous_and_one_video_is_not(frames, labels):
    assert 0.25 < labels.mean() < 0.35
    shares = [float(labels[span].mean()) for span in frames.test.index.spans]
    assert shares.count(0.0) == 1
    assert max(shares) < 0.6
    assert len(set(shares)) >= 4


def test_the_sample_submission_names_the_test_frames(made, frames):
    with (made / "sample_submission.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["Id", "Predicted"], *([name, "0"] for name in frames.test.index.ids)]


def test_training_frames_are_clean_and_test_frames_pass_the_law(frames):
    def small(path):
        return read_image(path).astype(np.float32)[::4, ::4]

    paths = [path for video in frames.test.videos for path in video.images]
    training = [small(path) for video in frames.train.videos for path in video.images[::6]]
    usual = np.median(training, 0)

    def kind(image):
        upright, turned = np.abs(image - usual), np.abs(image - usual[::-1])
        if np.median(turned) < np.median(upright):
            return "flip"
        return "noisy" if np.median(upright) > 6 else "clean"

    assert {kind(image) for image in training} == {"clean"}
    found = [kind(small(path)) for path in paths]
    assert found.count("flip") / len(found) == pytest.approx(0.102, abs=0.05)
    assert found.count("noisy") / len(found) == pytest.approx(0.4, abs=0.08)


def test_anomalies_are_seen_where_the_masks_are(made, frames, labels):
    from scipy.io import loadmat

    usual = np.median([read_image(path) for path in frames.train.videos[0].images[::9]], 0)
    inside, outside = [], []
    for video in frames.test.videos:
        cells = loadmat(made / MASKS / f"{video.id}_label.mat")["volLabel"]
        assert cells.shape[0] == 1
        for number, path in zip(video.numbers[::5], video.images[::5], strict=True):
            mask = cells[0, number]
            assert (mask.shape, mask.dtype) == ((360, 640), np.uint8)
            if mask.any():
                change = np.abs(read_image(path) - usual).mean(2)
                # A mask stays upright where its frame is upside down; those frames are not compared.
                if np.median(change) < 20:
                    inside.append(change[mask > 0].mean())
                    outside.append(change[mask == 0].mean())
    assert len(inside) > 10
    assert np.mean(np.array(inside) > 1.5 * np.array(outside)) > 0.9


def test_a_street_that_is_there_is_left_alone(made, copied):
    before = made.stat()
    assert make_street(made) == made
    assert copied == []
    assert (made.stat().st_ino, made.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_stale_street_is_made_again_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(street, "TRAIN_FRAMES", 3)
    monkeypatch.setattr(street, "TEST_FRAMES", 42)
    clips = street.test_clips
    monkeypatch.setattr(street, "test_clips", lambda *given: clips(*given)[:1])
    folder, other = tmp_path / "street", tmp_path / "other"
    folder.mkdir()
    (folder / MARKER).write_text(json.dumps({"version": 0, "seed": 1}))
    (folder / "old.txt").write_text("of another version")
    for place in (folder, other):
        make_street(place)
    assert digests(folder) == digests(other) and len(digests(folder)) > 50
    assert {path.name for path in tmp_path.iterdir()} == {"street", "other"}


@pytest.mark.parametrize("lost", ["labels.csv", "Dataset/testing_videos/05/frame_00020.jpg", "Dataset", MASKS])
def test_a_street_that_lacks_files_is_made_again(made, copied, tmp_path, lost):
    folder = tmp_path / "street"
    link(made, folder)
    if (folder / lost).is_dir():
        shutil.rmtree(folder / lost)
    else:
        (folder / lost).unlink()
    make_street(folder)
    assert len(copied) == 1
    assert (folder / lost).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["street"]


@pytest.mark.parametrize("altered", ["labels.csv", "Dataset/testing_videos/05/frame_00020.jpg", f"{MASKS}/2_label.mat"])
def test_a_street_whose_files_were_edited_is_refused_and_left_alone(made, copied, tmp_path, refuses, altered):
    folder = tmp_path / "street"
    link(made, folder)
    (folder / ".DS_Store").touch()
    assert make_street(folder) == folder
    content = (folder / altered).read_bytes()[:-2] + b"9\n"
    (folder / altered).unlink()  # a link
    (folder / altered).write_bytes(content)
    said = f"files of the demo street in {folder} were altered, so its results would be of other data"
    with refuses(f"{said}; remove the folder to draw it again, or copy it and name the copy with DATA="):
        make_street(folder)
    assert (folder / altered).read_bytes() == content and copied == []


def test_an_empty_folder_is_filled(copied, tmp_path):
    make_street(tmp_path)
    assert len(copied) == 1
    assert (tmp_path / MARKER).is_file()


def test_what_is_no_street_is_never_replaced(copied, tmp_path, refuses):
    (tmp_path / "Dataset").mkdir()
    with refuses(f"{tmp_path} is not a demo street (it has no street.json); move it away or name another folder"):
        make_street(tmp_path)
    assert (tmp_path / "Dataset").is_dir()
    assert copied == []


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path, refuses):
    folder = tmp_path / "street"
    folder.write_text("mine")
    with refuses(f"cannot use {folder} for the demo street: Not a directory; name another folder"):
        make_street(folder)
    assert folder.read_text() == "mine"


def test_nothing_is_left_of_a_street_that_could_not_be_finished(monkeypatch, tmp_path, refuses):
    def fail(folder):
        (folder / "labels.csv").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(street, "_build", fail)
    folder = tmp_path / "street"
    expected = f"cannot make the demo street in {folder}: No space left on device; free or choose a place"
    with refuses(expected):
        make_street(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stale", [False, True])
def test_several_at_once_all_end_with_a_whole_street(monkeypatch, made, tmp_path, stale):
    folder = tmp_path / "street"
    if stale:
        folder.mkdir()
        (folder / MARKER).write_text("{}")
    together = threading.Barrier(4)

    def build(place):
        link(made, place)
        together.wait()

    monkeypatch.setattr(street, "_build", build)
    results = []
    threads = [threading.Thread(target=lambda: results.append(make_street(folder))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [folder] * 4
    assert digests(folder) == digests(made)
    assert [path.name for path in tmp_path.iterdir()] == ["street"]
