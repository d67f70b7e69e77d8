import numpy as np
import pytest
from scipy.io import savemat

from vad.frames.digests import Memory
from vad.frames.labels import find_labels, read_labels
from vad.scores import FrameIndex


@pytest.fixture
def index():
    return FrameIndex(np.array([1, 1, 1, 12, 12]), np.array([1, 2, 5, 0, 2]))


@pytest.fixture
def read(tmp_path, index):
    return lambda path: read_labels(path, index, Memory(tmp_path / "memory.json"))


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
        ("1_1,0 1_2,1 1_5,1 12_0,0", "{path} does not fit the test frames: 1 missing (12_2) of 5 frames"),
        (
            "1_1,0 1_2,1 1_5,1 12_0,0 12_2,0 12_1,1 13_0,1",
            "{path} does not fit the test frames: 2 too many (12_1, 13_0) of 5 frames",
        ),
        ("1_1,0 1_2,2 1_5,1 12_0,0 12_2,0", "{path}: the label of 1_2 is 2; labels are 0 or 1"),
        ("1_1,0 1_2,1 1_5,0.5 12_0,0 12_2,0", "{path}: the label of 1_5 is 0.5; labels are 0 or 1"),
        ("1_1,0 1_2,1 1_1,0 12_0,0 12_2,0", "{path}, line 4: 1_1 is there twice; the first is in line 2"),
        ("1_1,0 1_2,yes", "{path}, line 3: Label is 'yes', which is no number"),
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
    path = save_masks(tmp_path / "masks", 1, [0] * 6)
    assert not read(tmp_path / "masks").values.any()
    path.unlink()
    save_masks(tmp_path / "masks", 1, [0, 1, 1, 1, 1, 1, 1])
    assert read(tmp_path / "masks").values.tolist() == [True, True, True, False, False]


def test_a_folder_without_masks_is_refused(tmp_path, read, refuses):
    (tmp_path / "masks").mkdir()
    with refuses(f"LABELS={tmp_path / 'masks'} holds no N_label.mat"):
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
        f"{tmp_path / 'masks' / '1_label.mat'} is no MATLAB file (version 5 to 7) that can be read: "
    )


def test_labels_lie_beside_the_videos_and_the_csv_comes_first(tmp_path):
    assert find_labels(tmp_path) is None
    masks = tmp_path / "ground_truth_demo" / "testing_label_mask"
    masks.mkdir(parents=True)
    assert find_labels(tmp_path) == masks
    (tmp_path / "labels.csv").write_text("")
    assert find_labels(tmp_path) == tmp_path / "labels.csv"


def test_the_digest_follows_the_labels(tmp_path, read):
    path = tmp_path / "labels.csv"
    digests = []
    for last in (0, 1, 0):
        path.write_text(f"Id,Label\n12_2,{last}\n1_1,0\n1_2,1\n1_5,1\n12_0,0\n")
        digests.append(read(path).digest)
    assert digests[0] == digests[2] != digests[1]
