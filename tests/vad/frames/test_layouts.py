import os
import shutil

import pytest

from vad.frames.layouts import find_videos, read_frameset


@pytest.fixture
def read(tmp_path):
    return lambda root, **options: read_frameset(root, tmp_path / "memory", **options)


@pytest.mark.parametrize("parents", ["", "Avenue_Corrupted/Dataset", "a b/ünïcode 数据/c/d"])
def test_the_competitions_layout_is_found_at_any_depth(tmp_path, dataset, read, parents):
    home = dataset(tmp_path / "data" / parents, {1: [700, 701, 703], 12: [0]}, {2: [5, 4], 10: [0, 1], 9: [7]})
    frames = read(tmp_path / "data")
    assert frames.name == "data"
    assert frames.root == tmp_path / "data"
    assert [(video.id, video.numbers) for video in frames.train.videos] == [(1, (700, 701, 703)), (12, (0,))]
    assert frames.test.index.ids == ["2_4", "2_5", "9_7", "10_0", "10_1"]
    assert frames.test.videos[0].where(0) == str(home / "testing_videos" / "02" / "frame_00004.jpg")
    assert frames.notes == () == frames.faults


def test_a_relative_folder_will_do(tmp_path, dataset, read, monkeypatch):
    dataset(tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    frames = read_frameset(tmp_path.__class__("."), tmp_path / "memory")
    assert (frames.name, len(frames.train), len(frames.test)) == ("data", 9, 5)


def test_frames_are_ordered_by_number_not_by_name(tmp_path, dataset, save, picture, read):
    root = dataset(tmp_path / "data")
    shutil.rmtree(root / "testing_videos" / "01")
    for name in ("9.png", "frame_10.JPG", "cam2_frame_000011.jpeg", "Bild é 8.jpg"):
        save(root / "testing_videos" / "1" / name, picture())
    video = read(root).test.videos[0]
    assert video.numbers == (8, 9, 10, 11)
    assert [path.name for path in video.images] == ["Bild é 8.jpg", "9.png", "frame_10.JPG", "cam2_frame_000011.jpeg"]


def test_the_authors_layout_of_movies_is_read_and_counted(tmp_path, picture, save_movie, read):
    root = tmp_path / "avenue"
    train = save_movie(root / "training_videos" / "01.avi", [picture(i) for i in range(7)])
    save_movie(root / "testing_videos" / "03.avi", [picture(i) for i in range(4)])
    save_movie(root / "testing_videos" / "21.avi", [picture(i) for i in range(2)])
    frames = read(root)
    assert frames.train.videos[0].numbers == tuple(range(7))
    assert frames.train.videos[0].where(3) == f"{train}, frame 3"
    assert frames.test.index.ids == ["3_0", "3_1", "3_2", "3_3", "21_0", "21_1"]


def test_other_files_are_passed_over_with_a_note_and_hidden_ones_without(tmp_path, dataset, read):
    root = dataset(tmp_path / "data")
    (root / "training_videos" / "readme.txt").write_text("")
    (root / "training_videos" / ".DS_Store").write_text("")
    (root / "training_videos" / "01" / "Thumbs.db").write_text("")
    (root / "training_videos" / "01" / ".hidden.jpg").write_text("")
    (root / "testing_videos" / "07").mkdir()
    (root / ".cache" / "training_videos").mkdir(parents=True)
    frames = read(root)
    assert len(frames.train) == 9
    assert frames.notes == (
        f"{root / 'training_videos' / '01' / 'Thumbs.db'} was passed over: its name is not frame_NNNNN.jpg",
        f"{root / 'training_videos' / 'readme.txt'} was passed over: "
        "it is neither a numbered folder nor a numbered .avi",
        f"{root / 'testing_videos' / '07'} is empty: it holds no frame_NNNNN.jpg",
    )


def test_a_folder_that_is_not_there_is_refused(tmp_path, read, refuses):
    with refuses(
        f"DATA={tmp_path / 'none'} does not exist; give a folder that contains training_videos/ and testing_videos/"
    ):
        read(tmp_path / "none")


def test_a_file_is_refused(tmp_path, read, refuses):
    (tmp_path / "data.zip").write_text("")
    with refuses(
        f"DATA={tmp_path / 'data.zip'} is a file; give the folder that contains training_videos/ and testing_videos/"
    ):
        read(tmp_path / "data.zip")


def test_a_folder_without_a_data_set_is_refused(tmp_path, read, refuses):
    (tmp_path / "data" / "pictures").mkdir(parents=True)
    with refuses(f"DATA={tmp_path / 'data'} contains no training_videos/ and testing_videos/ at any depth"):
        read(tmp_path / "data")


@pytest.mark.parametrize(
    ("lacking", "other"), [("testing_videos", "training_videos"), ("training_videos", "testing_videos")]
)
def test_one_half_alone_is_refused(tmp_path, dataset, read, refuses, lacking, other):
    root = dataset(tmp_path / "data" / "inner").parent
    shutil.rmtree(root / "inner" / lacking)
    half = root / "inner" / other
    with refuses(f"DATA={root}: beside {half} there must be a folder {lacking}/, and there is none"):
        read(root)


def test_two_data_sets_are_refused_and_each_alone_is_read(tmp_path, dataset, read, refuses):
    a, b = dataset(tmp_path / "data" / "a"), dataset(tmp_path / "data" / "b")
    with refuses(f"DATA={tmp_path / 'data'} holds 2 data sets ({a}, {b}); name one of them"):
        read(tmp_path / "data")
    assert find_videos(b) == b


@pytest.mark.parametrize("half", ["training_videos", "testing_videos"])
def test_a_half_without_frames_is_refused(tmp_path, dataset, read, refuses, half):
    root = dataset(tmp_path / "data")
    for video in (root / half).iterdir():
        for frame in video.iterdir():
            frame.unlink()
    with refuses(f"{root / half} holds no frames; expected NN/frame_XXXXX.jpg or NN.avi in it"):
        read(root)


def test_a_frame_number_that_is_there_twice_is_refused(tmp_path, dataset, save, picture, read, refuses):
    root = dataset(tmp_path / "data")
    folder = root / "training_videos" / "01"
    save(folder / "frame_3.png", picture())
    message = f"{folder / 'frame_00003.jpg'} and {folder / 'frame_3.png'} have one frame number, 3; remove one"
    with refuses(message):
        read(root)
    lenient = read(root, strict=False)
    assert lenient.faults == (message,)
    assert lenient.train.videos[0].images[3] == folder / "frame_00003.jpg"


def test_a_video_that_is_there_twice_is_refused(tmp_path, dataset, picture, save_movie, read, refuses):
    root = dataset(tmp_path / "data")
    half = root / "training_videos"
    save_movie(half / "1.avi", [picture()])
    message = f"{half} holds video 1 twice: {half / '1.avi'} and {half / '01'}"
    with refuses(message):
        read(root)
    assert read(root, strict=False).faults == (message,)


def test_an_empty_file_is_refused(tmp_path, dataset, read, refuses):
    root = dataset(tmp_path / "data")
    path = root / "training_videos" / "02" / "frame_00001.jpg"
    path.write_bytes(b"")
    with refuses(f"{path} is empty (0 bytes); restore or remove it"):
        read(root)


def test_a_link_to_nowhere_is_refused(tmp_path, dataset, read, refuses):
    root = dataset(tmp_path / "data")
    path = root / "testing_videos" / "01" / "frame_00009.jpg"
    path.symlink_to(tmp_path / "gone.jpg")
    with refuses(f"cannot read {path}: No such file or directory"):
        read(root)


def test_a_movie_that_is_none_is_refused(tmp_path, dataset, read, refuses):
    root = dataset(tmp_path / "data")
    path = root / "testing_videos" / "02.avi"
    path.write_text("not a movie")
    with refuses(f"{path} is no video that can be decoded; restore or remove it"):
        read(root)
    assert read(root, strict=False).test.videos[1].numbers == ()


def test_the_same_frames_elsewhere_have_the_same_digest(tmp_path, dataset, read):
    first, second = read(dataset(tmp_path / "a")), read(dataset(tmp_path / "b" / "deep" / "er"))
    assert (first.digest, first.train.digest) == (second.digest, second.train.digest)
    assert first.train.digest != first.test.digest


def test_another_number_another_order_or_other_contents_change_the_digest(tmp_path, dataset, save, picture, read):
    root = dataset(tmp_path / "data")
    digests = [read(root).train.digest]
    folder = root / "training_videos" / "01"
    (folder / "frame_00005.jpg").rename(folder / "frame_00006.jpg")
    digests.append(read(root).train.digest)
    save(folder / "frame_00006.jpg", picture(50))
    digests.append(read(root).train.digest)
    folder.rename(folder.with_name("03"))
    digests.append(read(root).train.digest)
    assert len(set(digests)) == 4


def test_what_is_known_of_a_file_is_kept_until_the_file_changes(tmp_path, dataset, save, picture, read, monkeypatch):
    root = dataset(tmp_path / "data")
    digest = read(root).digest
    assert len(list((tmp_path / "memory").iterdir())) == 1

    opened = []
    from vad.frames import digests

    real = digests.read_bytes
    monkeypatch.setattr(digests, "read_bytes", lambda path: opened.append(path) or real(path))
    assert read(root).digest == digest
    assert opened == []

    changed = save(root / "testing_videos" / "01" / "frame_00002.jpg", picture(77))
    os.utime(changed, ns=(1, 1))
    assert read(root).digest != digest
    assert opened == [changed]


def test_a_damaged_memory_is_made_anew(tmp_path, dataset, read):
    root = dataset(tmp_path / "data")
    digest = read(root).digest
    (memory,) = (tmp_path / "memory").iterdir()
    memory.write_text("{")
    assert read(root).digest == digest


def test_a_slice_keeps_the_frames_at_these_positions(tmp_path, dataset, read):
    train = read(dataset(tmp_path / "data")).train
    part = train.slice({1: slice(4, None), 2: slice(0, 0)})
    assert part.index.ids == ["1_4", "1_5"]
    assert part.videos[0].contents == train.videos[0].contents[4:]
    assert train.slice({}).digest == train.digest != part.digest
