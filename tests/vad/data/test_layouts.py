import shutil

import pytest

from vad.data.layouts import find_halves, read_frameset
from vad.errors import InputError


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
    assert frames.test.videos[0].images[0] == home / "testing_videos" / "02" / "frame_00004.jpg"
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


def test_frames_whose_names_have_another_order_than_their_numbers_are_told(tmp_path, dataset, save, picture, read):
    """As names with the time of day: 58, 59, 0, 1."""
    root = dataset(tmp_path / "data")
    folder = root / "testing_videos" / "02"
    for step, name in enumerate(("12-00-58", "12-00-59", "12-01-00", "12-01-01")):
        save(folder / f"{name}.png", picture(step))
    order = f"{folder}: the number at the end of a name orders frames: 12-01-00.png is frame 0"
    assert read(root).notes == (
        f"{order}; by whole names 12-00-58.png would stand there: rename them if that is right",
    )


def test_the_authors_layout_of_movies_is_read_and_counted(tmp_path, picture, save_movie, read):
    root = tmp_path / "avenue"
    train = save_movie(root / "training_videos" / "01.avi", [picture(i) for i in range(7)])
    save_movie(root / "testing_videos" / "03.avi", [picture(i) for i in range(4)])
    save_movie(root / "testing_videos" / "21.avi", [picture(i) for i in range(2)])
    frames = read(root)
    assert frames.train.videos[0].numbers == tuple(range(7))
    assert (frames.train.videos[0].movie, frames.train.videos[0].numbers[3]) == (train, 3)
    assert frames.test.index.ids == ["3_0", "3_1", "3_2", "3_3", "21_0", "21_1"]


IMAGES = "jpg, jpeg, png, bmp, tif, tiff, webp"
VIDEOS = "a video is a folder of frames, such as 01, or a movie such as 01.avi (avi, mp4, mov, mkv, webm, m4v, mpg, ts)"
NAMES = "a frame's name must end with its number of at most 9 digits, as frame_00012.jpg"


def test_other_files_are_passed_over_with_a_note_for_each_folder(tmp_path, dataset, read):
    root = dataset(tmp_path / "data")
    train = root / "training_videos"
    for name in ("readme.txt", "1.json", "old videos"):
        (train / name).write_text("")
    for name in ("a.txt", "b.gif", "frame_00001 copy.jpg", "preview"):
        (train / "01" / name).write_text("")
    (train / "02" / "more").mkdir()
    frames = read(root)
    assert len(frames.train) == 9
    assert frames.notes == (
        f"{train / '01'}: passed over: a.txt, b.gif, frame_00001 copy.jpg and 1 more; "
        f".gif, .txt, a name without ending is not a readable image format ({IMAGES}); {NAMES}",
        f"{train / '02'}: passed over: more; frames must lie in the folder itself, not in one below it",
        f"{train}: passed over 1.json, old videos, readme.txt; {VIDEOS}",
    )


def test_what_systems_leave_behind_is_passed_over_without_a_word(tmp_path, dataset, read):
    """As in an archive made on a Mac: beside each file another, `._` and its name, or a folder of them."""
    root = dataset(tmp_path / "data", {1: range(4)}, {1: range(3)})
    for path in [root / "training_videos" / "01", *(root / "training_videos" / "01").iterdir()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    shutil.copytree(root, root / "__MACOSX" / "data")
    (root / "testing_videos" / "__MACOSX").mkdir()
    (root / ".cache" / "training_videos").mkdir(parents=True)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "Desktop.ini", "._1.avi"):
        (root / "testing_videos" / name).write_text("")
        (root / "testing_videos" / "01" / name).write_text("")
    frames = read(root)
    assert (len(frames.train), len(frames.test), frames.notes) == (4, 3, ())


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ((), "it is empty; restore its frames, or remove it"),
        ((".DS_Store",), "it is empty; restore its frames, or remove it"),
        (("a.gif", "b.gif", "c.gif", "d.gif"), f"a.gif, b.gif, c.gif and 1 more; .gif is not a readable image format ({IMAGES})"),
        (("one.jpg", "TWO.PNG"), f"TWO.PNG, one.jpg; {NAMES}"),
        (("frame_1690000000123.jpg",), f"frame_1690000000123.jpg; {NAMES}"),
        (("frames/frame_1.jpg",), "frames; frames must lie in the folder itself, not in one below it"),
    ],
)  # fmt: skip
def test_a_folder_named_as_a_video_in_which_nothing_is_read_is_a_fault(tmp_path, dataset, read, refuses, files, reason):
    root = dataset(tmp_path / "data")
    folder = root / "testing_videos" / "07"
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("")
    folder.mkdir(exist_ok=True)
    message = f"{folder} is named as a video and holds no frame: {reason}"
    with refuses(message):
        read(root)
    lenient = read(root, strict=False)
    assert (lenient.faults, lenient.notes) == ((message,), ())


@pytest.mark.parametrize("name", ["07", "07.wmv", "07.zip", "07.avi.part", "0.jpg"])
def test_a_file_named_as_a_video_that_is_none_is_a_fault(tmp_path, dataset, read, refuses, name):
    half = dataset(tmp_path / "data") / "testing_videos"
    (half / name).symlink_to(tmp_path / "nowhere")
    with refuses(f"{half} holds what is named as a video and cannot be read as one: {name}; {VIDEOS}"):
        read(tmp_path / "data")


@pytest.mark.parametrize("name", ["1" * 10, "9" * 20, "1" * 10 + ".avi"])
def test_a_video_has_a_number_of_nine_digits_at_most(tmp_path, dataset, read, refuses, name):
    path = dataset(tmp_path / "data") / "testing_videos" / name
    path.mkdir()
    with refuses(f"{path}: a video's number has 9 digits at most; rename it"):
        read(tmp_path / "data")


def test_zeros_in_front_do_not_count_as_digits_and_a_space_does_not_hide_a_video(
    tmp_path, dataset, save, picture, read
):
    root = dataset(tmp_path / "data")
    save(root / "testing_videos" / ("0" * 12 + "999999999 ") / "0000000012.png", picture())
    assert read(root).test.index.ids[-1] == "999999999_12"


def test_images_of_every_format_are_frames(tmp_path, dataset, save, picture, read):
    root = dataset(tmp_path / "data")
    for number, ending in enumerate(("bmp", "tif", "TIFF", "webp", "png", "JPEG")):
        save(root / "testing_videos" / "02" / f"{number}.{ending}", picture())
    video = read(root).test.videos[1]
    assert (video.numbers, read(root).notes) == (tuple(range(6)), ())


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "webm", "m4v", "mpg", "ts", "AVI"])
def test_movies_of_every_format_are_videos(tmp_path, dataset, picture, save_movie, read, ending):
    root = dataset(tmp_path / "data")
    movie = save_movie(tmp_path / "01.avi", [picture(i) for i in range(5)])
    movie.rename(root / "testing_videos" / f"02.{ending}")  # FFmpeg goes by what is in a file
    assert read(root).test.videos[1].numbers == tuple(range(5))


def test_sizes_that_differ_between_videos_are_told(tmp_path, dataset, picture, save, save_movie, read):
    root = dataset(tmp_path / "data", {1: [0], 2: [0]})
    other = save(root / "testing_videos" / "02" / "0.png", picture(size=(32, 24))).parent
    movie = save_movie(root / "testing_videos" / "03.avi", [picture(size=(96, 48))])
    train, test = root / "training_videos", root / "testing_videos"
    assert read(root).notes == (
        f"videos have frames of 3 sizes, all resized to one: "
        f"64 x 48 ({train / '01'}, {train / '02'}, {test / '01'}), 32 x 24 ({other}), 96 x 48 ({movie})",
    )


@pytest.mark.parametrize("movie", [False, True])
def test_another_orientation_is_a_fault(tmp_path, dataset, picture, save, save_movie, read, refuses, movie):
    root = dataset(tmp_path / "data", {1: [0]})
    upright = picture(size=(48, 64))
    path = root / "testing_videos" / ("02.avi" if movie else "02")
    if movie:
        save_movie(path, [upright])
    else:
        save(path / "0.png", upright)
    message = (
        "some videos are wider than high, others higher than wide, and not in both halves: "
        f"64 x 48 ({root / 'training_videos' / '01'}, {root / 'testing_videos' / '01'}), 48 x 64 ({path}); turn those "
        "that lie on their side (a rotation tag turns a movie here, but no image), or leave them out"
    )
    with refuses(message):
        read(root)
    assert read(root, strict=False).faults == (message,)
    save(root / "training_videos" / "07" / "0.png", picture(1, (48, 64)))
    (note,) = read(root).notes
    assert note.startswith("videos have frames of 2 sizes, all resized to one: 64 x 48 (")


def test_a_folder_that_is_not_there_is_refused(tmp_path, read, refuses):
    with refuses(
        f"DATA={tmp_path / 'none'} does not exist; give the folder that contains training_videos/ and testing_videos/"
    ):
        read(tmp_path / "none")


def test_a_file_is_refused(tmp_path, read, refuses):
    (tmp_path / "data.zip").write_text("")
    with refuses(
        f"DATA={tmp_path / 'data.zip'} is a file; give the folder that contains training_videos/ and testing_videos/"
    ):
        read(tmp_path / "data.zip")


def test_a_folder_without_a_data_set_is_refused(tmp_path, read, refuses):
    root = tmp_path / "data"
    (root / "normal").mkdir(parents=True)
    (root / "unusual").mkdir()
    halves = "training_videos/ and testing_videos/, training/ and testing/, train/ and test/"
    rename = "call the one of normal footage training_videos/ and the one of test footage testing_videos/"
    with refuses(f"DATA={root} must contain {halves}, at any depth; it holds normal/, unusual/; {rename}"):
        read(root)


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
    assert find_halves(b) == (b / "training_videos", b / "testing_videos")
    for half, name in (("training_videos", "train"), ("testing_videos", "test")):
        (b / half).rename(b / name)
    with refuses(f"DATA={tmp_path / 'data'} holds 2 data sets ({a}, {b}); name one of them"):
        read(tmp_path / "data")
    for name in ("training", "testing"):
        (b / name).mkdir()
    with refuses(f"DATA={b}: training/ and train/ in {b} could both hold the train videos; keep one pair"):
        read(b)


@pytest.mark.parametrize("half", ["training_videos", "testing_videos"])
def test_a_half_that_is_named_as_the_data_set_points_to_the_folder_above(tmp_path, dataset, read, half):
    root = dataset(tmp_path / "data")
    with pytest.raises(InputError, match=f"it is one half itself: give the folder above it, DATA={root}$"):
        read(root / half)


@pytest.mark.parametrize(("train", "test"), [("training", "testing"), ("train", "test"), ("Train", "Test")])
def test_halves_have_short_names_too(tmp_path, dataset, read, train, test):
    root = dataset(tmp_path / "data")
    expected = read(root).digest
    (root / "training_videos").rename(root / train)
    (root / "testing_videos").rename(root / test)
    assert read(root).digest == expected


@pytest.mark.parametrize("half", ["training_videos", "testing_videos"])
def test_a_half_without_frames_is_refused(tmp_path, dataset, read, refuses, half):
    root = dataset(tmp_path / "data")
    for video in (root / half).iterdir():
        shutil.rmtree(video)
    with refuses(f"{root / half} holds no frames; expected NAME/frame_XXXXX.jpg or NAME.avi in it"):
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
    with refuses(f"{path} is not a video that can be decoded; restore or remove it"):
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


def test_a_slice_keeps_the_frames_at_these_positions(tmp_path, dataset, read):
    train = read(dataset(tmp_path / "data")).train
    part = train.slice({1: slice(4, None), 2: slice(0, 0)})
    assert part.index.ids == ["1_4", "1_5"]
    assert part.videos[0].contents == train.videos[0].contents[4:]
    assert train.slice({}).digest == train.digest != part.digest
