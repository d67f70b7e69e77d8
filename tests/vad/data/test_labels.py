import numpy as np
import pytest
from scipy.io import savemat

from vad.data.frame_index import FrameIndex
from vad.data.labels import find_labels, read_labels
from vad.images.digest_cache import DigestCache


@pytest.fixture
def index():
    return FrameIndex(np.array([1, 1, 1, 12, 12]), np.array([1, 2, 5, 0, 2]))


@pytest.fixture
def read(tmp_path, index):
    return lambda path, *options, frames=index: read_labels(
        path, frames, DigestCache(tmp_path / "memory.json"), *options
    )


@pytest.fixture
def save_masks():
    """Write `volLabel` as CUHK Avenue has it: one mask a frame, one pixel of it set where the frame is anomalous."""

    def write(folder, video, anomalous):
        folder.mkdir(parents=True, exist_ok=True)
        cells = np.empty((1, len(anomalous)), object)
        for frame, bad in enumerate(anomalous):
            mask = np.zeros((6, 8), np.uint8)
            mask[4, 7] = bad
            cells[0, frame] = mask
        savemat(folder / f"{video}_label.mat", {"volLabel": cells})
        return folder / f"{video}_label.mat"

    return write


def test_a_csv_gives_the_labels_in_the_order_of_the_frames(tmp_path, read):
    path = tmp_path / "labels.csv"
    path.write_text("Id,Label\n12_2,1\n1_1,0\n1_2,1\n1_5,1.0\n12_0,0\n")
    labels = read(path)
    assert labels.values.tolist() == [False, True, True, False, True]
    assert labels.values.dtype == bool
    assert labels.source == str(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "1_1,0 1_2,1 1_5,1 12_0,0",
            "{path} does not fit the test frames: 1 missing (12_2) of 5 frames; give a row for each of the test frames, and no other",
        ),
        (
            "1_1,0 1_2,1 1_5,1 12_0,0 12_2,0 12_1,1 13_0,1",
            "{path} does not fit the test frames: 2 too many (12_1, 13_0) of 5 frames; give a row for each of the test frames, and no other",
        ),
        (
            "1_1,0 1_2,2 1_5,1 12_0,0 12_2,0",
            "{path}, line 3: Label is '2'; write 0 (normal) or 1 (anomalous), or False or True",
        ),
        (
            "1_1,0 1_2,1 1_5,0.5 12_0,0 12_2,0",
            "{path}, line 4: Label is '0.5'; write 0 (normal) or 1 (anomalous), or False or True",
        ),
        ("1_1,0 1_2,1 1_1,0 12_0,0 12_2,0", "{path}, line 4: 1_1 appears twice; the first is in line 2"),
        ("1_1,0 1_2,yes", "{path}, line 3: Label is 'yes'; write 0 (normal) or 1 (anomalous), or False or True"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused(tmp_path, read, refuses, rows, message):
    path = tmp_path / "labels.csv"
    path.write_text("Id,Label\n" + "\n".join(rows.split()))
    with refuses(message.format(path=path)):
        read(path)


def test_labels_that_are_not_there_are_refused(tmp_path, read, refuses):
    with refuses(f"LABELS={tmp_path / 'none'} does not exist; give a CSV (Id,Label) or a folder of N_label.mat"):
        read(tmp_path / "none")


def test_masks_are_found_by_the_frames_number(tmp_path, read, save_masks):
    save_masks(tmp_path / "masks" / "deep", 1, [1, 0, 1, 0, 0, 0, 1])
    save_masks(tmp_path / "masks" / "deep", 12, [1, 0, 0])
    save_masks(tmp_path / "masks" / "deep", 2, [1])
    assert read(tmp_path / "masks").values.tolist() == [False, True, False, True, False]


def test_masks_that_changed_are_read_again(tmp_path, read, save_masks):
    save_masks(tmp_path / "masks", 12, [0, 0, 0])
    path = save_masks(tmp_path / "masks", 1, [0] * 5 + [1])
    assert read(tmp_path / "masks").values.tolist() == [False, False, True, False, False]
    path.unlink()
    save_masks(tmp_path / "masks", 1, [0, 1, 1, 1, 1, 1, 1])
    assert read(tmp_path / "masks").values.tolist() == [True, True, True, False, False]


def test_a_folder_without_masks_is_refused(tmp_path, read, refuses):
    (tmp_path / "masks").mkdir()
    with refuses(
        f"LABELS={tmp_path / 'masks'} holds no N_label.mat, nor NAME.npy, NAME_gt/ with mask images, NAME_gt.txt or NAME_tracks.txt"
    ):
        read(tmp_path / "masks")


def test_a_video_without_a_mask_is_refused(tmp_path, read, refuses, save_masks):
    save_masks(tmp_path / "masks", 1, [0] * 6)
    with refuses(f"{tmp_path / 'masks'} has no mask for test video 12 (12_label.mat)"):
        read(tmp_path / "masks")


def test_masks_that_are_too_short_are_refused(tmp_path, read, refuses, save_masks):
    path = save_masks(tmp_path / "masks", 1, [0] * 5)
    save_masks(tmp_path / "masks", 12, [0] * 3)
    with refuses(f"{path} has 5 masks, but test video 1 has a frame 5"):
        read(tmp_path / "masks")


def test_a_mat_file_without_the_variable_is_refused(tmp_path, read, refuses, save_masks):
    save_masks(tmp_path / "masks", 12, [0] * 3)
    savemat(tmp_path / "masks" / "1_label.mat", {"vol": np.zeros(3)})
    with refuses(f"{tmp_path / 'masks' / '1_label.mat'} has no variable volLabel"):
        read(tmp_path / "masks")


def test_a_file_that_is_no_mat_file_is_refused(tmp_path, read):
    from vad.errors import InputError

    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "1_label.mat").write_text("nothing of the kind, but long enough for a header" * 9)
    with pytest.raises(InputError) as caught:
        read(tmp_path / "masks")
    assert str(caught.value).startswith(
        f"{tmp_path / 'masks' / '1_label.mat'} is not a MATLAB file (version 5 to 7.3) that can be read: "
    )


@pytest.mark.parametrize("place", [".", "Avenue", "Avenue/Dataset"])
@pytest.mark.parametrize(
    "labels",
    ["labels.csv", "Labels.CSV", "labels.csv.gz", "ground_truth_demo/testing_label_mask", "testing_label_mask"],
)
def test_labels_lie_in_the_named_folder_or_beside_the_videos_or_between(tmp_path, place, labels):
    home = tmp_path / "Avenue" / "Dataset"
    home.mkdir(parents=True)
    assert find_labels(tmp_path, home) is None
    (tmp_path / place / labels).mkdir(parents=True)
    assert find_labels(tmp_path, home) == tmp_path / place / labels


@pytest.mark.parametrize("place", ["ground_truth_demo/testing_label_mask", "Dataset/labels.csv"])
def test_where_two_could_be_the_labels_both_are_named(tmp_path, refuses, place):
    first, second = tmp_path / "labels.csv", tmp_path / place
    second.mkdir(parents=True)
    (tmp_path / "Dataset").mkdir(exist_ok=True)
    first.write_text("")
    found = ", ".join(map(str, sorted([first, second], key=lambda path: -("Dataset" in path.parts))))
    with refuses(f"any of {found} could be the labels; name one with LABELS=, or keep only it"):
        find_labels(tmp_path, tmp_path / "Dataset")
    second.rmdir()
    (tmp_path / "Dataset" / "labels.csv").symlink_to(first)
    assert find_labels(tmp_path, tmp_path / "Dataset").samefile(first)


def test_a_link_to_labels_that_are_gone_is_not_passed_over(tmp_path, refuses):
    (tmp_path / "labels.csv").symlink_to(tmp_path / "gone.csv")
    with refuses(f"cannot read {tmp_path / 'labels.csv'}: No such file or directory"):
        find_labels(tmp_path)


def test_masks_of_a_video_of_which_no_frame_is_there_are_told(tmp_path, read, save_masks):
    for video in (1, 12, 13):
        save_masks(tmp_path / "masks", video, [0, 1] * 3)
    assert read(tmp_path / "masks").notes == (f"there is no test video for {tmp_path / 'masks' / '13_label.mat'}",)


def test_two_masks_of_one_video_are_refused(tmp_path, read, refuses, save_masks):
    one, two = save_masks(tmp_path / "masks" / "a", 1, [0] * 6), save_masks(tmp_path / "masks" / "b", 1, [1] * 6)
    with refuses(f"{one} and {two} are both masks of video 1; remove one"):
        read(tmp_path / "masks")


@pytest.mark.parametrize("label", [0, 1])
def test_labels_that_are_all_the_same_are_refused(tmp_path, read, refuses, save_masks, label):
    what = "anomalous" if label else "normal"
    rest = (
        f"all 5 test frames are {what}, but AP needs both; mend the labels, or do without them "
        "(LABELS=none: a run then reports a proxy AP)"
    )
    path = tmp_path / "labels.csv"
    path.write_text("Id,Label\n" + "".join(f"{name},{label}\n" for name in ("1_1", "1_2", "1_5", "12_0", "12_2")))
    with refuses(f"{path}: {rest}"):
        read(path)
    for video in (1, 12):
        save_masks(tmp_path / "masks", video, [label] * 6)
    with refuses(f"{tmp_path / 'masks'}: {rest}"):
        read(tmp_path / "masks")


def _from_one(*lengths):
    video = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    return FrameIndex(video, np.concatenate([np.arange(1, length + 1) for length in lengths]))


@pytest.mark.parametrize("fewer", [0, 1])
def test_frames_numbered_from_one_need_a_word(tmp_path, read, refuses, save_masks, fewer):
    masks, frames = tmp_path / "masks", _from_one(4 - fewer, 3)
    save_masks(masks, 1, [0, 0, 1, 1])
    save_masks(masks, 2, [0, 1, 0])
    with refuses(
        f"the frames of every test video begin at 1, so it is not clear which frame the first mask in {masks} belongs to; "
        "give FIRST_FRAME=1 (--first-frame 1) for frame 1, as FFmpeg numbers, or FIRST_FRAME=0 where frame 0 is missing"
    ):
        read(masks, frames=frames)
    labels = read(masks, 1, frames=frames)
    assert labels.values.tolist() == [*[False, False, True, True][: 4 - fewer], False, True, False]
    assert labels.first_frame == 1


def test_frame_zero_may_be_missing_everywhere(tmp_path, read, refuses, save_masks):
    save_masks(tmp_path / "masks", 1, [0, 0, 1, 1])
    frames = _from_one(3)
    assert read(tmp_path / "masks", 0, frames=frames).values.tolist() == [False, True, True]
    path = save_masks(tmp_path / "masks", 1, [0, 0, 1])
    with refuses(
        f"{path} has 3 masks, but test video 1 has a frame 3; is it numbered from 1, as FFmpeg does? "
        "Then give FIRST_FRAME=1 (--first-frame 1)"
    ):
        read(tmp_path / "masks", 0, frames=frames)


def test_a_first_frame_that_cannot_be_is_refused(tmp_path, read, refuses, save_masks):
    save_masks(tmp_path / "masks", 1, [0, 1, 0, 0, 0, 0])
    save_masks(tmp_path / "masks", 12, [0] * 6)
    with refuses("FIRST_FRAME=1, but test video 12 has a frame 0; leave it out"):
        read(tmp_path / "masks", 1)
    path = tmp_path / "labels.csv"
    path.write_text("Id,Label\n12_2,1\n1_1,0\n1_2,1\n1_5,1.0\n12_0,0\n")
    with refuses(f"FIRST_FRAME=1 is for masks; {path} names each frame by its number; leave it out"):
        read(path, 1)


def test_the_number_of_a_first_frame_that_does_not_fit_is_never_passed_over(tmp_path, read, refuses):
    np.save(tmp_path / "a.npy", [0, 1, 0, 1, 1])
    with refuses("FIRST_FRAME=1, but test video 12 has a frame 0; leave it out"):
        read(tmp_path / "a.npy", 1)
    (tmp_path / "boxes").mkdir()
    for name in ("1", "12"):
        (tmp_path / "boxes" / f"{name}_gt.txt").write_text("002.jpg 0 1 1 4 4\n")
    with refuses(f"FIRST_FRAME=1 is for masks; {tmp_path / 'boxes'} names each frame by its number; leave it out"):
        read(tmp_path / "boxes", 1)


def test_a_csv_numbered_from_zero_for_frames_numbered_from_one_is_called_that(tmp_path, read, refuses):
    path = tmp_path / "labels.csv"
    path.write_text("Id,Label\n1_0,0\n1_1,1\n1_2,0\n")
    with refuses(f"{path} numbers frames from 0, but the test frames are numbered from 1; add 1 to its numbers"):
        read(path, frames=_from_one(3))


@pytest.mark.parametrize("lost", [2, 3])
def test_a_movie_with_fewer_frames_than_masks_is_truncated(tmp_path, read, refuses, save_masks, index_of, lost):
    """Two fewer at the end are normal; of images any may be missing."""
    path, movie = save_masks(tmp_path / "masks", 1, [0, 1] * 6), tmp_path / "01.avi"
    frames = index_of(12 - lost)
    assert len(read(tmp_path / "masks", frames=frames).values) == 12 - lost
    if lost == 2:
        assert len(read(tmp_path / "masks", None, {1: movie}, frames=frames).values) == 10
    else:
        with refuses(
            f"{path} has 12 masks, but {movie} only 9 frames that can be decoded; "
            "the movie is truncated, or the masks are not its own: restore it"
        ):
            read(tmp_path / "masks", None, {1: movie}, frames=frames)


def test_the_digest_follows_the_labels(tmp_path, read):
    path = tmp_path / "labels.csv"
    digests = []
    for last in (0, 1, 0):
        path.write_text(f"Id,Label\n12_2,{last}\n1_1,0\n1_2,1\n1_5,1\n12_0,0\n")
        digests.append(read(path).digest)
    assert digests[0] == digests[2] != digests[1]


def test_two_label_files_of_equal_standing_are_both_named(tmp_path, refuses):
    """A CSV that is called labels.csv counts before them, and a published layout's own labels do."""
    np.save(tmp_path / "frame_labels_set.npy", np.zeros((1, 3)))
    np.save(tmp_path / "gt.npy", np.zeros(3))
    first, second = tmp_path / "frame_labels_set.npy", tmp_path / "gt.npy"
    with refuses(f"any of {first}, {second} could be the labels; name one with LABELS=, or keep only it"):
        find_labels(tmp_path)
    assert find_labels(tmp_path, own=second) == second
    (tmp_path / "labels.csv").write_text("")
    assert find_labels(tmp_path, own=second) == tmp_path / "labels.csv"


@pytest.mark.parametrize("name", ["features.npy", "model.npz", "readme.txt", "results.mat", "demo.m", "masks"])
def test_what_is_no_label_file_is_passed_over(tmp_path, name):
    path = tmp_path / name
    if name == "results.mat":
        savemat(path, {"auc": np.zeros(3)})
    elif name == "masks":
        path.mkdir()
    else:
        path.write_text("x = 1")
    assert find_labels(tmp_path) is None
