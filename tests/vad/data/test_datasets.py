"""Each data set of the field as it lies on disk: made small after the published layout, and the real files where they are at hand."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from vad.data.datasets import DATASETS, detect
from vad.data.labels import find_labels, read_labels
from vad.data.layouts import read_frameset
from vad.images.digest_cache import DigestCache
from vad.measures.region_files import open_masks

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
PED2, UCSD = SHARED / "ped2", SHARED / "ucsd-layout"


@pytest.fixture
def clip(save, picture):
    """Write the frames of these numbers into a folder; no two pictures are alike."""
    count = iter(range(10**6))

    def make(folder, numbers, name="{:03d}.jpg", size=(16, 12)):
        for number in numbers:
            save(folder / name.format(number), picture(next(count), size))
        return folder

    return make


@pytest.fixture
def opened(tmp_path):
    """A data set with the labels that are found in it; the labels of each video as a text of 0 and 1."""

    def read(root):
        frames = read_frameset(root, tmp_path / "memory")
        path = find_labels(frames.root, frames.home, frames.own_labels)
        if path is None:
            return frames, None, {}
        sizes = {video.id: video.size for video in frames.test.videos}
        index = frames.test.index
        labels = read_labels(path, index, DigestCache(tmp_path / "labels.json"), sizes=sizes)
        texts = ("".join(map(str, labels.values[span].astype(int))) for span in index.spans)
        return frames, labels, dict(zip(index.titles, texts, strict=True))

    return read


def test_the_catalogue_ends_with_the_reader_that_takes_any_two_halves(tmp_path, dataset):
    layout = detect(dataset(tmp_path / "data"))
    assert layout.reader == "training_videos/ and testing_videos/ of clips or movies"
    assert DATASETS[-1].__module__ == "vad.data.datasets.clips"


def test_clips_and_movies_of_any_names_are_videos(tmp_path, clip, save_movie, picture, opened):
    """What a newcomer has. The order is that of a person, numbers keep their ids, and notes tell of what is no video."""
    root = tmp_path / "mine"
    clip(root / "train" / "Morning walk", [1, 2])
    save_movie(root / "test" / "gate 10.avi", [picture(i) for i in range(50, 53)])
    clip(root / "test" / "gate 2", [7, 8])
    clip(root / "test" / "Größe-数据", [0])
    clip(root / "test" / "07", [0])
    (root / "test" / "notes").mkdir()
    frames, _, _ = opened(root)
    assert [(video.id, video.title) for video in frames.test.videos] == [
        (7, "7"),
        (8, "gate 2"),
        (9, "gate 10"),
        (10, "Größe-数据"),
    ]
    assert frames.test.index.ids[:4] == ["7_0", "gate 2_7", "gate 2_8", "gate 10_0"]
    assert [note for note in frames.notes if "passed over" in note] == [
        f"{root / 'test'}: passed over notes; a video is a folder of frames, such as 01, or a movie such as 01.avi "
        "(avi, mp4, mov, mkv, webm, m4v, mpg, ts)"
    ]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("first.jpg", "a frame's name must end with its number of at most 9 digits, as frame_00012.jpg"),
        ("frame_00001.gif", ".gif is not a readable image format (jpg, jpeg, png, bmp, tif, tiff, webp)"),
        ("01.avi", ".avi is not a readable image format (jpg, jpeg, png, bmp, tif, tiff, webp)"),
    ],
)
def test_a_named_folder_with_images_that_are_not_read_is_a_fault(tmp_path, clip, refuses, file, reason):
    clip(tmp_path / "train" / "walk", [1])
    clip(tmp_path / "test" / "gate", [1])
    folder = tmp_path / "test" / "yard"
    folder.mkdir()
    (folder / file).write_text("")
    with refuses(f"{folder} holds no frame that is read: {file}; {reason}; mend that, or move the folder elsewhere"):
        read_frameset(tmp_path, tmp_path / "memory")


def test_a_movie_of_a_format_that_is_not_read_is_a_fault_whatever_its_name(tmp_path, clip, refuses):
    clip(tmp_path / "train" / "walk", [1])
    clip(tmp_path / "test" / "gate", [1])
    (tmp_path / "test" / "yard.WMV").write_text("")
    form = (
        "a video is a folder of frames, such as 01, or a movie such as 01.avi (avi, mp4, mov, mkv, webm, m4v, mpg, ts)"
    )
    named = "holds what is named as a video and cannot be read as one: yard.WMV"
    with refuses(f"{tmp_path / 'test'} {named}; {form}"):
        read_frameset(tmp_path, tmp_path / "memory")


def test_of_frames_and_movies_the_frames_count(tmp_path, clip, save_movie, picture, opened):
    for half in ("training", "testing"):
        clip(tmp_path / half / "frames" / "01_001", range(3))
        save_movie(tmp_path / half / "videos" / "01_001.avi", [picture(i) for i in range(3)])
    frames, _, _ = opened(tmp_path)
    assert frames.notes[0] == f"{tmp_path / 'training'}: frames/ counts, not videos/"
    assert frames.test.videos[0].movie is None


def test_a_folder_of_frames_beside_numbered_clips_hides_none(tmp_path, clip, dataset, opened):
    root = dataset(tmp_path / "data")
    clip(root / "testing_videos" / "frames" / "x", [0])
    assert opened(root)[0].test.index.ids == ["1_0", "1_1", "1_2", "1_3", "1_4"]


def test_other_names_of_the_same_frames_are_other_frames(tmp_path, clip, opened):
    clip(tmp_path / "a" / "train" / "x", [0])
    clip(tmp_path / "a" / "test" / "y", [0, 1])
    first = opened(tmp_path / "a")[0]
    (tmp_path / "a" / "test" / "y").rename(tmp_path / "a" / "test" / "z")
    second = opened(tmp_path / "a")[0]
    assert first.train.digest == second.train.digest
    assert first.test.digest != second.test.digest


def test_a_name_that_is_there_twice_is_refused(tmp_path, clip, save_movie, picture, refuses):
    clip(tmp_path / "train" / "x", [0])
    half = tmp_path / "test"
    clip(half / "gate", [0])
    save_movie(half / "gate.avi", [picture()])
    with refuses(f"{half} holds video gate twice: {half / 'gate.avi'} and {half / 'gate'}"):
        read_frameset(tmp_path, tmp_path / "memory")


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "a\x7f"])
def test_a_name_with_control_characters_is_refused(tmp_path, clip, refuses, name):
    clip(tmp_path / "train" / "x", [0])
    folder = clip(tmp_path / "test" / name, [0])
    with refuses(f"{str(folder)!r}: a video's name must have no line breaks and the like; rename it"):
        read_frameset(tmp_path, tmp_path / "memory")


@pytest.mark.parametrize("names", [("1", "01"), ("7", "007")])
def test_numbers_that_differ_by_zeros_in_front_are_one_video(tmp_path, clip, refuses, names):
    clip(tmp_path / "train" / "x", [0])
    for name in names:
        clip(tmp_path / "test" / name, [0])
    first, second = sorted(names)
    half, number = tmp_path / "test", int(first)
    with refuses(f"{half} holds video {number} twice: {half / second} and {half / first}"):
        read_frameset(tmp_path, tmp_path / "memory")


def test_many_videos_are_read(tmp_path, picture, save):
    image = save(tmp_path / "one.jpg", picture(0, (16, 12)))
    for half, count in (("train", 2), ("test", 1000)):
        for video in range(count):
            folder = tmp_path / "data" / half / f"clip {video}"
            folder.mkdir(parents=True)
            shutil.copy(image, folder / "0.jpg")
    frames = read_frameset(tmp_path / "data", tmp_path / "memory")
    assert frames.test.index.ids[-1] == "clip 999_0"


@pytest.mark.parametrize("labels", ["mat", "npy"])
def test_the_fields_common_form(tmp_path, clip, opened, labels):
    """`*_gt` folders beside the clips are no clips; `9.jpg` comes before `10.jpg`."""
    from scipy.io import savemat

    root = tmp_path / "set"
    clip(root / "training" / "frames" / "01", range(3))
    clip(root / "testing" / "frames" / "01", range(11), "{}.jpg")
    clip(root / "testing" / "frames" / "02", range(4), "{}.jpg")
    clip(root / "testing" / "frames" / "02_gt", range(4), "{}.png")
    if labels == "mat":
        gt = np.empty((1, 2), object)
        gt[0, 0], gt[0, 1] = np.array([[2, 10], [3, 11]]), np.array([[4], [4]])
        savemat(root / "set.mat", {"gt": gt})
    else:
        np.save(root / "frame_labels_set.npy", np.array([[0, 1, 1] + [0] * 6 + [1, 1] + [0, 0, 0, 1]]))
    frames, _, texts = opened(root)
    assert frames.layout == "the field's common form, training/frames/NAME and testing/frames/NAME"
    assert texts == {"1": "01100000011", "2": "0001"}
    assert [path.name for path in frames.test.videos[0].images][8:] == ["8.jpg", "9.jpg", "10.jpg"]


def test_ucsd_as_published(tmp_path, clip, opened, refuses):
    """Clips that begin in the middle, masks of some, the list of all; what a Mac left there is passed over."""
    root = tmp_path / "UCSDped1"
    clip(root / "Train" / "Train001", range(1, 4), "{:03d}.tif")
    clip(root / "Test" / "Test001", range(3, 7), "{:03d}.tif")
    clip(root / "Test" / "Test003", range(1, 5), "{:03d}.tif")
    clip(root / "Test" / "Test001_gt", range(3, 7), "frame{:03d}.bmp")
    (root / "Test" / "._UCSDped1.m").write_bytes(b"\0\5\x16\7")
    (root / "Test" / "Test001" / ".DS_Store").write_bytes(b"\0")
    (root / "Test" / "UCSDped1.m").write_text(
        "TestVideoFile = {};\nTestVideoFile{end+1}.gt_frame = [4:5, 60:152];\nTestVideoFile{end+1}.gt_frame = [1:90];\n"
        "TestVideoFile{end+1}.gt_frame = [2 4:4]; % [1:1]\n"
    )
    frames, labels, texts = opened(tmp_path)
    assert (frames.layout, frames.notes) == ("UCSD as published", ())
    assert texts == {"Test001": "0110", "Test003": "0101"}
    path = root / "Test" / "UCSDped1.m"
    assert labels.notes == (f"{path}: of 3 entries 2 are of test videos, by the number in their names",)
    path.unlink()
    with refuses(
        f"{root / 'Test'} has no labels of test video Test003 (NAME_gt/ with an image for each frame); "
        "add them, or name with LABELS= what has labels of every test video"
    ):
        opened(tmp_path)


def test_shanghaitech(tmp_path, clip, save_movie, picture, opened):
    """Training videos are movies, test videos frames; the scene stands before the underscore."""
    root = tmp_path / "shanghaitech"
    save_movie(root / "training" / "videos" / "01_001.avi", [picture(i, (16, 12)) for i in range(3)])
    clip(root / "testing" / "frames" / "01_0014", range(4))
    clip(root / "testing" / "frames" / "12_0149", range(11), "{}.jpg")
    masks = root / "testing" / "test_frame_mask"
    masks.mkdir()
    np.save(masks / "01_0014.npy", np.array([0, 1, 1, 0], np.uint8))
    np.save(masks / "12_0149.npy", np.array([False] * 10 + [True]))
    frames, _, texts = opened(root)
    assert frames.layout == "ShanghaiTech"
    assert [(video.title, video.scene) for video in frames.test.videos] == [("01_0014", "01"), ("12_0149", "12")]
    assert frames.test.index.ids[:2] == ["01_0014_0", "01_0014_1"]
    assert texts == {"01_0014": "0110", "12_0149": "00000000001"}
    shutil.rmtree(masks)
    pixels = root / "testing" / "test_pixel_mask"
    pixels.mkdir()
    for name, text in texts.items():
        mask = np.zeros((len(text), 12, 16), np.uint8)
        mask[np.array(list(text)) == "1", 3, 4] = 1
        np.save(pixels / f"{name}.npy", mask)
    assert opened(root)[2] == texts
    shutil.rmtree(pixels)
    np.save(root / "frame_labels_shanghai.npy", np.array([[int(flag) for flag in "".join(texts.values())]]))
    frames, _, again = opened(root)
    assert (frames.layout, frames.test.videos[1].scene, again) == ("ShanghaiTech", "12", texts)


def test_nwpu_campus(tmp_path, clip, opened):
    root = tmp_path / "nwpu"
    clip(root / "frames" / "Train" / "D001_01", range(2))
    clip(root / "frames" / "Test" / "D001_03", range(3))
    clip(root / "frames" / "Test" / "D012_10", range(2))
    np.savez(root / "gt.npz", D001_03=np.array([0, 0, 1]), D012_10=np.array([1.0, 0.0]))
    frames, _, texts = opened(root)
    assert (frames.layout, frames.test.videos[1].scene) == ("NWPU Campus", "D012")
    assert texts == {"D001_03": "001", "D012_10": "10"}
    shutil.copytree(root / "frames", root / "videos")  # published are movies, too
    again, _, texts = opened(root)
    assert again.test.digest == frames.test.digest and texts == {"D001_03": "001", "D012_10": "10"}
    assert again.notes == (*frames.notes, f"{root}: frames/ counts, not videos/")


@pytest.mark.parametrize("place", ["{}/{}_gt.txt", "{}_gt.txt"])
def test_street_scene(tmp_path, clip, opened, place):
    """Frames are numbered from 1; a line is a frame, a track and a box."""
    root = tmp_path / "StreetScene"
    clip(root / "Train" / "Train001", range(1, 3))
    for name in ("Test001", "Test002"):
        clip(root / "Test" / name, range(1, 6))
        lines = ["/data/Test/002.jpg 0 10 12 3 4", "/data/Test/003.jpg 0 11 12 3 4", "/data/Test/003.jpg 1 0 0 3 4"]
        (root / "Test" / place.format(name, name)).write_text("\n".join(lines if name == "Test001" else lines[:1]))
    frames, _, texts = opened(root)
    assert (frames.layout, frames.notes) == ("Street Scene as published", ())
    assert texts == {"Test001": "01100", "Test002": "01000"}


def test_ubnormal(tmp_path, save_movie, picture, opened, refuses):
    """The split is by lists of names; normal videos have no annotations."""
    root = tmp_path / "UBnormal"
    names = [
        "normal_scene_1_scenario_1",
        "normal_scene_2_scenario_1",
        "abnormal_scene_2_scenario_3",
        "abnormal_scene_1_scenario_9",
    ]
    for at, name in enumerate(names):
        scene = root / f"Scene{name.split('_scene_')[1][0]}"
        save_movie(scene / f"{name}.avi", [picture(10 * at + i) for i in range(6)]).rename(scene / f"{name}.mp4")
    tracks = root / "Scene2" / f"{names[2]}_annotations" / f"{names[2]}_tracks.txt"
    tracks.parent.mkdir()
    tracks.write_text("1.0,1.0,2.0\n2,4,4\n")
    with refuses(
        f"{root} is UBnormal, but normal_training_video_names.txt is missing, which says which videos belong to the split; put the published "
        "normal_training_video_names.txt, normal_test_video_names.txt, abnormal_test_video_names.txt next to the scenes"
    ):
        opened(root)
    for list_, name in zip(("normal_training", "normal_test", "abnormal_test"), names, strict=False):
        (root / f"{list_}_video_names.txt").write_text(f"{name}\n")
    frames, _, texts = opened(root)
    assert frames.layout == "UBnormal"
    assert [video.title for video in frames.train.videos] == [names[0]]
    assert texts == {names[2]: "011010", names[1]: "000000"}
    assert frames.test.videos[0].scene == "Scene2"
    assert frames.notes[0] == f"{root}: 1 videos are left out: abnormal ones for training, and those for validation"
    tracks.unlink()
    for frame in range(6):  # the masks, whose values are the tracks, say the same
        mask = np.zeros((48, 64), np.uint8)
        mask[5:9, 5:9] = {1: 1, 2: 1, 4: 2}.get(frame, 0)
        cv2.imwrite(str(tracks.with_name(f"{names[2]}_{frame:04d}_gt.png")), mask)
    frames, labels, texts = opened(root)
    assert (labels.form, texts) == ("mask images", {names[2]: "011010", names[1]: "000000"})
    painted = open_masks(root)
    assert [int(mask.max()) for mask in painted[names[2]]()] == [0, 1, 1, 0, 2, 0] and len(painted) == 1
    (root / "abnormal_test_video_names.txt").write_text("abnormal_scene_7_scenario_1\n")
    with refuses(
        f"{root / 'abnormal_test_video_names.txt'} names abnormal_scene_7_scenario_1, and there is no such movie in {root}; restore it"
    ):
        opened(root)


@pytest.mark.skipif(not UCSD.exists(), reason="the published layout's sample is not here (shared/data/ucsd-layout)")
def test_the_published_files_of_ucsd(opened):
    frames, labels, texts = opened(UCSD)
    assert (frames.layout, len(frames.train), len(frames.test)) == ("UCSD as published", 70, 140)
    assert {name: (text.find("1"), text.count("1")) for name, text in texts.items()} == {
        "Test001": (20, 40),
        "Test005": (0, 30),
        "Test009": (0, 30),
    }
    assert labels.form == "intervals counted from 1"


@pytest.mark.skipif(not PED2.exists(), reason="Ped2 is not here (shared/data/ped2)")
def test_all_forms_of_the_labels_of_ped2_are_one(tmp_path):
    frames = read_frameset(PED2, tmp_path / "memory")
    memory, sizes = DigestCache(tmp_path / "labels.json"), {video.id: video.size for video in frames.test.videos}
    forms = ["labels.csv", "ped2.mat", "UCSDped2.m", "frame_labels_ped2.npy", "masks"]
    read = [read_labels(PED2 / form, frames.test.index, memory, sizes=sizes) for form in forms]
    assert [int(labels.values.sum()) for labels in read] == [1648] * 5
    assert len({labels.digest for labels in read}) == 1
