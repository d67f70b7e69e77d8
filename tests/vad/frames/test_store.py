import resource
import shutil
from dataclasses import dataclass

import numpy as np
import pytest

from vad.data.layouts import read_frameset
from vad.frames.maps import state
from vad.frames.repaired import read_evidence
from vad.frames.store import SplitSource, evidence_path, frame_size, map_path, open_frames
from vad.images.decode import read_image, resize
from vad.images.view import View, square

VIEW = square(32)


@pytest.fixture
def source(tmp_path):
    """The train half of a data set."""
    return lambda root: SplitSource(read_frameset(root, tmp_path / "memory").train)


@pytest.fixture
def maps(tmp_path):
    return tmp_path / "maps"


def test_all_sizes_hold_each_frame_decoded_and_resized_in_order(tmp_path, dataset, source, maps):
    root = dataset(tmp_path / "data", {2: range(70), 10: [4], 1: range(3, 40, 2)})
    told = []
    frames = open_frames(source(root), [square(32), square(17)], maps, told.append)
    paths = sorted((root / "training_videos").glob("*/*.jpg"))
    assert sum(told) == len(paths) == 90
    for size in (32, 17):
        assert frames[square(size)].shape == (90, size, size, 3)
        assert frames[square(size)].dtype == np.uint8
        for position, path in enumerate(paths):
            assert np.array_equal(frames[square(size)][position], resize(read_image(path), size, size))


def test_maps_cannot_be_written_by_those_who_read_them(tmp_path, dataset, source, maps):
    frames = open_frames(source(dataset(tmp_path / "data")), [VIEW], maps)[VIEW]
    with pytest.raises(ValueError, match="read-only"):
        frames[0] = 0


def test_movies_are_decoded_to_their_frames(tmp_path, picture, save_movie, source, maps):
    from vad.images.decode import read_movie

    for half, numbers in (("training_videos", (1, 2)), ("testing_videos", (1,))):
        for number in numbers:
            save_movie(tmp_path / "data" / half / f"{number}.avi", [picture(number * 10 + i) for i in range(4)])
    frames = open_frames(source(tmp_path / "data"), [VIEW], maps)[VIEW]
    expected = [
        resize(image, 32, 32)
        for n in (1, 2)
        for image in read_movie(tmp_path / "data" / "training_videos" / f"{n}.avi")
    ]
    assert np.array_equal(frames, expected)


def test_a_part_of_a_movie_can_be_decoded(tmp_path, dataset, picture, save_movie, maps):
    root = dataset(tmp_path / "data")
    save_movie(root / "training_videos" / "3.avi", [picture(i) for i in range(6)])
    train = read_frameset(root, tmp_path / "memory").train
    whole = open_frames(SplitSource(train), [VIEW], maps)[VIEW]
    part = open_frames(SplitSource(train.slice({1: slice(0, 0), 3: slice(4, None)})), [VIEW], maps)[VIEW]
    assert np.array_equal(part, np.concatenate([whole[6:9], whole[-2:]]))


def test_frames_that_are_there_are_not_decoded_again(tmp_path, dataset, source, maps):
    root = dataset(tmp_path / "data")
    known, told = source(root), []
    first = np.array(open_frames(known, [VIEW], maps)[VIEW])
    shutil.rmtree(root)
    assert np.array_equal(open_frames(known, [VIEW], maps, told.append)[VIEW], first)
    assert told == []


def test_only_missing_sizes_are_made(tmp_path, dataset, source, maps):
    known = source(dataset(tmp_path / "data"))
    open_frames(known, [VIEW], maps)
    before = map_path(maps, known, VIEW).stat().st_mtime_ns
    assert sorted(open_frames(known, [VIEW, square(64)], maps), key=lambda view: view.width) == [VIEW, square(64)]
    assert map_path(maps, known, VIEW).stat().st_mtime_ns == before


def test_other_contents_get_another_map(tmp_path, dataset, save, picture, source, maps):
    root = dataset(tmp_path / "data")
    before = open_frames(source(root), [VIEW], maps)[VIEW]
    save(root / "training_videos" / "01" / "frame_00002.jpg", picture(40))
    after = open_frames(source(root), [VIEW], maps)[VIEW]
    different = [i for i in range(len(before)) if not np.array_equal(before[i], after[i])]
    assert different == [2]


@pytest.mark.parametrize("damage", ["empty", "last byte gone", "something else", "a frame overwritten", "zeros"])
def test_a_damaged_map_is_made_anew(tmp_path, dataset, source, maps, damage):
    known = source(dataset(tmp_path / "data"))
    first = np.array(open_frames(known, [VIEW], maps)[VIEW])
    path = map_path(maps, known, VIEW)
    data = path.read_bytes()
    other = {"empty": b"", "last byte gone": data[:-1], "something else": b"x" * len(data)}
    other |= {"a frame overwritten": data[:500] + b"x" + data[501:], "zeros": data[:128] + bytes(len(data) - 128)}
    path.write_bytes(other[damage])
    assert np.array_equal(open_frames(known, [VIEW], maps)[VIEW], first)


def test_a_frame_that_cannot_be_decoded_is_named_and_nothing_is_left(tmp_path, dataset, source, maps, refuses):
    root = dataset(tmp_path / "data", {1: range(80), 2: range(3)})
    path = root / "training_videos" / "01" / "frame_00071.jpg"
    path.write_bytes(path.read_bytes()[:-400])
    (root / "training_videos" / "02" / "frame_00001.jpg").write_text("<html>")
    with refuses(f"{path} is a damaged JPEG (Premature end of JPEG file); restore or remove it"):
        open_frames(source(root), [VIEW, square(64)], maps)
    assert list(maps.iterdir()) == []


def test_frames_of_two_sizes_in_one_video_are_refused(tmp_path, dataset, save, picture, source, maps, refuses):
    root = dataset(tmp_path / "data")
    folder = root / "training_videos" / "01"
    save(folder / "frame_00003.jpg", picture(size=(48, 64)))
    with refuses(
        f"{folder / 'frame_00003.jpg'} is 48 x 64, but {folder / 'frame_00000.jpg'} of the same video is 64 x 48; "
        "the frames of a video must have one size"
    ):
        open_frames(source(root), [VIEW], maps)
    assert list(maps.iterdir()) == []


def test_videos_may_differ_in_size(tmp_path, dataset, save, picture, source, maps):
    root = dataset(tmp_path / "data", {1: range(2)})
    save(root / "training_videos" / "02" / "frame_00000.jpg", picture(size=(100, 80)))
    assert open_frames(source(root), [VIEW], maps)[VIEW].shape == (3, 32, 32, 3)


def test_a_movie_that_lost_frames_since_it_was_counted_is_refused(
    tmp_path, dataset, picture, save_movie, maps, refuses
):
    root = dataset(tmp_path / "data")
    path = save_movie(root / "training_videos" / "03.avi", [picture(i) for i in range(6)])
    known = SplitSource(read_frameset(root, tmp_path / "memory").train)
    save_movie(path, [picture(i) for i in range(4)])
    with refuses(f"{path} gave 4 frames of 6 this time; it may be damaged"):
        open_frames(known, [VIEW], maps)
    assert list(maps.iterdir()) == []


def test_a_disk_that_holds_no_file_so_large_is_told(tmp_path, dataset, source, maps, refuses):
    """As FAT, which holds 4 GB; here the limit is set for the process."""
    frames, limits = source(dataset(tmp_path / "data")), resource.getrlimit(resource.RLIMIT_FSIZE)
    fix = "choose another disk (VAD_HOME for what is under .vad), and run the command again"
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with refuses(f"cannot write {map_path(maps, frames, VIEW)}: its disk holds no file so large; {fix}"):
            open_frames(frames, [VIEW], maps)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(maps.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path, dataset, source, refuses):
    known = source(dataset(tmp_path / "data"))
    (tmp_path / "file").write_text("")
    path = map_path(tmp_path / "file", known, VIEW)
    with refuses(f"cannot write {path}: File exists; choose a folder that you can write to"):
        open_frames(known, [VIEW], tmp_path / "file")


@dataclass(frozen=True)
class Darken:
    """A repair that halves dark frames; the evidence is how dark a frame is."""

    label: str = "darken"

    def apply(self, image):
        evidence = 138.75 - float(image.mean())
        return (image // 2 if evidence > 0 else image), evidence


def test_all_views_are_filled_in_one_pass_each_as_it_sees_the_files(tmp_path, dataset, source, maps):
    root, told = dataset(tmp_path / "data", {1: range(6), 2: range(3)}), []
    plain = [VIEW, View(20, 40), View(24, 24, "grey"), View(24, 24, "grey", (0, 0.5, 1, 1))]
    views = [*plain, *(view.repaired([Darken()]) for view in plain)]
    frames = open_frames(source(root), views, maps, told.append)
    assert sum(told) == 9 and list(frames) == views
    images = [read_image(path) for path in sorted((root / "training_videos").glob("*/*.jpg"))]
    evidence = np.array([[Darken().apply(image)[1]] for image in images], np.float32)
    assert 0 < (evidence > 0).sum() < 9
    for view in views:
        assert (frames[view].shape, frames[view].dtype) == ((9, *view.shape), np.uint8)
        for found, image in zip(frames[view], images, strict=True):
            assert np.array_equal(found, view.see(Darken().apply(image)[0] if view.repairs else image))
        if view.repairs:
            assert np.array_equal(read_evidence(source(root), view, maps), evidence)
    assert len(list(maps.glob("*.repairs.npy"))) == 4 and len(list(maps.iterdir())) == 12


def test_views_that_are_there_are_not_decoded_again_for_one_that_is_new(tmp_path, dataset, source, maps):
    root = dataset(tmp_path / "data")
    repaired, told = VIEW.repaired([Darken()]), []
    before = np.array(open_frames(source(root), [VIEW, repaired], maps)[repaired])
    times = {path: path.stat().st_mtime_ns for path in maps.iterdir()}
    frames = open_frames(source(root), [VIEW, repaired, View(20, 40)], maps, told.append)
    assert sum(told) == 9
    assert np.array_equal(frames[repaired], before)
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_map_that_is_overwritten_while_the_process_runs_is_noticed_too(tmp_path, dataset, source, maps):
    known = source(dataset(tmp_path / "data"))
    first = np.array(open_frames(known, [VIEW], maps)[VIEW])
    assert np.array_equal(open_frames(known, [VIEW], maps)[VIEW], first)
    with map_path(maps, known, VIEW).open("r+b") as file:
        file.seek(1000)
        file.write(bytes(100))
    assert np.array_equal(open_frames(known, [VIEW], maps)[VIEW], first)


def test_a_map_of_an_earlier_version_is_made_again(tmp_path, dataset, source, maps):
    known, told = source(dataset(tmp_path / "data")), []
    frames = np.array(open_frames(known, [VIEW], maps)[VIEW])
    np.save(map_path(maps, known, VIEW), np.zeros_like(frames))
    assert state(map_path(maps, known, VIEW)) == "without checksums"
    assert np.array_equal(open_frames(known, [VIEW], maps, told.append)[VIEW], frames)
    assert sum(told) == len(frames)


@pytest.mark.parametrize("damage", ["gone", "overwritten"])
def test_a_repaired_map_that_lost_its_evidence_is_made_again(tmp_path, dataset, source, maps, damage):
    known, view = source(dataset(tmp_path / "data")), VIEW.repaired([Darken()])
    open_frames(known, [view], maps)
    expected = read_evidence(known, view, maps)
    path = evidence_path(map_path(maps, known, view))
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:128] + bytes(path.stat().st_size - 128))
    open_frames(known, [view], maps)
    assert np.array_equal(read_evidence(known, view, maps), expected)


def test_the_size_of_frames_is_that_of_the_first(tmp_path, dataset, picture, save_movie):
    split = read_frameset(dataset(tmp_path / "data", size=(90, 60)), tmp_path / "memory").train
    assert frame_size(split) == (60, 90)
    for half in ("training_videos", "testing_videos"):
        save_movie(tmp_path / "movies" / half / "01.avi", [picture(i, (96, 64)) for i in range(3)])
    assert frame_size(read_frameset(tmp_path / "movies", tmp_path / "memory").test) == (64, 96)
