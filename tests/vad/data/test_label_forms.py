"""Forms of labels one by one, and what is wrong with a file told in one line that names the file, the video and the fix."""

import pickle
import time

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from tests.vad.data.conftest import TEXT
from vad.data.frame_index import FrameIndex
from vad.data.labels import read_annotations, read_labels
from vad.data.labels.base import OTHER_SET
from vad.errors import InputError
from vad.images.digest_cache import DigestCache


@pytest.fixture
def mat(tmp_path):
    def write(*intervals):
        cells = np.empty((1, len(intervals)), object)
        for at, pairs in enumerate(intervals):
            cells[0, at] = np.array(pairs, np.uint16).reshape(-1, 2).T
        savemat(tmp_path / "set.mat", {"gt": cells})
        return tmp_path / "set.mat"

    return write


@pytest.mark.parametrize("shape", [(7,), (1, 7), (7, 1)])
@pytest.mark.parametrize("kind", [np.uint8, bool, np.float64])
def test_one_array_for_all_videos(tmp_path, read, shape, kind):
    values = np.array(list(map(int, TEXT))).astype(kind).reshape(shape)
    np.save(tmp_path / "labels.npy", values)
    np.savez(tmp_path / "labels.npz", values)
    assert read(tmp_path / "labels.npy") == read(tmp_path / "labels.npz") == TEXT


@pytest.mark.parametrize("lines", ["0\n1\n1\n0\n0\n1\n1\n", "False\nTrue\n True\nFalse\n0.0\n1.0\n\n1"])
def test_one_value_a_line(tmp_path, read, refuses, lines):
    path = tmp_path / "labels.txt"
    path.write_text(lines)
    assert read(path) == TEXT
    path.write_text("0\n1\nyes\n")
    with refuses(f"{path}, line 3: 'yes' is no label; write 0 (normal) or 1 (anomalous)"):
        read(path)


def test_one_file_for_each_video(tmp_path, read, refuses):
    folder = tmp_path / "gt"
    folder.mkdir()
    np.save(folder / "gate.npy", [0, 1, 1, 0])
    with refuses(
        f"{folder} has no labels of test video yard (NAME.npy); add them, or name with LABELS= what has labels of every test video"
    ):
        read(folder)
    np.save(folder / "yard.npy", [0, 1, 1])
    assert read(folder) == TEXT
    np.save(folder / "yard.npy", [0, 1, 1, 1])
    where = f"{folder / 'yard.npy'} has 4 labels, but test video yard has 3 frames (0 to 2)"
    with refuses(f"{where}; these are labels of another set, or frames are missing"):
        read(folder)


def test_labels_of_another_set_are_refused(tmp_path, read, refuses, mat):
    rest = "these are labels of another set, or frames are missing"
    np.save(tmp_path / "a.npy", np.zeros((1, 9)))
    with refuses(f"{tmp_path / 'a.npy'} has 9 labels, but there are 7 test frames (gate: 4, yard: 3); {rest}"):
        read(tmp_path / "a.npy")
    path = mat([[1, 2]], [], [[1, 1]])
    with refuses(f"{path} has labels of 3 videos, but there are 2 test videos; {rest}"):
        read(path)
    path = mat([[1, 2]], [[2, 9]])
    with refuses(
        f"{path}, entry 2: the labels of video yard end at frame 9, but the video at 3 (counted from 1); {rest}"
    ):
        read(path)


def test_intervals_count_from_one_and_hold_both_ends(read, mat):
    assert read(mat([[2, 3]], [[2, 3]])) == TEXT
    assert read(mat([[1, 1], [4, 4]], [])) == "1001000"


def test_intervals_of_one_video_may_be_the_matrix_itself(tmp_path, read, refuses, index_of):
    """As lists for one long video have them (Subway); an interval that was saved as a row is one, too."""
    path = tmp_path / "enter.mat"
    savemat(path, {"gt": np.array([[2, 6], [3, 6]], float)})
    assert read(path, index_of(7)) == "0110010"
    savemat(path, {"gt": np.array([[2, 3]])})
    assert read(path, index_of(7)) == "0110000"
    with refuses(f"{path} has labels of 1 videos, but there are 2 test videos; {OTHER_SET}"):
        read(path)
    savemat(path, {"gt": np.ones((2, 2, 2))})
    with refuses(
        f"{path} is not a MATLAB file (version 5 to 7.3) that can be read: "
        "a cell must be 2 x K: first and last anomalous frame of K intervals"
    ):
        read(path)


def test_labels_that_may_be_shifted_by_one_are_told(tmp_path, index, mat):
    path = mat([[2, 3]], [[2, 4]])
    labels = read_labels(path, index, DigestCache(tmp_path / "memory.json"))
    told = f"{path}, entry 2: the labels of video yard end at frame 4, but the video at 3 (counted from 1)"
    assert labels.notes == (f"{told}; are they shifted by one?",)
    path = mat([[0, 3]], [[1, 3]])
    with pytest.raises(InputError, match=r"0 to 3 is no interval of frames counted from 1, of test video gate"):
        read_labels(path, index, DigestCache(tmp_path / "memory.json"))


def test_a_matlab_file_without_intervals_is_refused(tmp_path, read, refuses):
    savemat(tmp_path / "set.mat", {"other": np.zeros(3)})
    with refuses(
        f"{tmp_path / 'set.mat'} has no variable gt; a cell array is read with 2 x K intervals for each video"
    ):
        read(tmp_path / "set.mat")
    intervals = np.empty((1, 2), object)
    intervals[:] = [[np.array([[3.0], [1e300]])]]
    savemat(tmp_path / "set.mat", {"gt": intervals})
    with refuses(
        f"{tmp_path / 'set.mat'} is not a MATLAB file (version 5 to 7.3) that can be read: "
        "a cell must be 2 x K: first and last anomalous frame of K intervals"
    ):
        read(tmp_path / "set.mat")
    (tmp_path / "set.m").write_text("TestVideoFile = {};\n")
    with refuses(f"{tmp_path / 'set.m'} has no line such as TestVideoFile{{end+1}}.gt_frame = [61:180];"):
        read(tmp_path / "set.m")
    (tmp_path / "set.m").write_text("TestVideoFile{end+1}.gt_frame = [one:two];")
    with refuses(f"{tmp_path / 'set.m'}, entry 1: 'one:two' is no list of frames, such as 5:90, 140:200"):
        read(tmp_path / "set.m")


@pytest.mark.parametrize("name", ["gt_label.json", "labels.npy", "gate.npz"])
def test_a_pickle_is_refused_whatever_its_name(tmp_path, read, refuses, name):
    """It is not opened: a pickle that would leave a file behind leaves none."""
    made = tmp_path / "made.txt"

    class Harm:
        def __reduce__(self):
            return (open, (str(made), "w"))

    path = tmp_path / name
    objects = np.array([np.zeros(4), Harm()], object)
    if name.endswith(".json"):
        path.write_bytes(pickle.dumps({"gate": Harm()}))
    elif name.endswith(".npy"):
        np.save(path, objects, allow_pickle=True)
    else:
        np.savez(path, objects)
    convert = "save numbers: numpy.save(file, values) for one video, numpy.savez(file, **{name: values}) for several"
    with refuses(f"{path} is a Python pickle, which can run code when it is read, so it is not; {convert}"):
        read(path)
    assert not made.exists()


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (np.full(7, 0.5), "label 1 is 0.5; labels are 0 or 1 (are these scores?)"),
        (np.array([0, 1, 2, 0, 0, 0, 0]), "label 3 is 2; labels are 0 or 1 (are these scores?)"),
        (np.full(7, np.nan), "label 1 is nan; labels are 0 or 1 (are these scores?)"),
    ],
)
def test_values_that_are_no_labels_are_refused(tmp_path, read, refuses, values, fault):
    np.save(tmp_path / "a.npy", values)
    with refuses(f"{tmp_path / 'a.npy'}: {fault}"):
        read(tmp_path / "a.npy")


def test_an_array_of_another_shape_or_kind_is_refused(tmp_path, read, refuses):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2, 7)))
    with refuses(f"{path} has the shape (2, 7); labels are (N,) or (1, N), or masks (N, H, W)"):
        read(path)
    np.save(path, np.array(["0", "1"]))
    with refuses(f"{path} holds <U1, but labels are numbers, 0 (normal) or 1 (anomalous)"):
        read(path)
    path.write_bytes(b"\x93NUMPY\x01\x00v")
    with pytest.raises(InputError, match=r"a\.npy is not a readable file of arrays"):
        read(path)


@pytest.fixture
def masks(tmp_path, save):
    """Mask images as UCSD has them: numbered from 1, one pixel set where the frame is anomalous."""

    def write(size=(16, 12), first=1):
        for name, text in (("gate_gt", TEXT[:4]), ("yard_gt", TEXT[4:])):
            for number, label in enumerate(text, first):
                mask = np.zeros((size[1], size[0], 3), np.uint8)
                mask[3, 4] = 255 * int(label)
                save(tmp_path / "masks" / name / f"frame{number:03d}.png", mask)
        return tmp_path / "masks"

    return write


@pytest.mark.parametrize("first", [0, 1])
def test_mask_images_count_from_zero_or_one(read, masks, index, first):
    assert read(masks(first=first)) == TEXT
    from_one = FrameIndex(index.video, index.frame + 1, index.names)
    assert read(masks(first=first), from_one) == TEXT


def test_masks_of_16_bits_are_read_and_the_noise_of_jpeg_is_none(read, masks):
    folder = masks()
    for path in folder.rglob("*.png"):
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if path.parent.name == "gate_gt":
            cv2.imwrite(str(path), mask.astype(np.uint16))
        else:
            path.unlink()
            cv2.imwrite(str(path.with_suffix(".jpg")), np.maximum(mask, 9))
    assert read(folder) == TEXT


def test_masks_of_another_size_are_refused(read, refuses, masks):
    path = masks((12, 16)) / "gate_gt" / "frame001.png"
    with refuses(
        f"{path} is 12 x 16, but the frames of test video gate are 16 x 12; masks and frames must have one size"
    ):
        read(masks((12, 16)), sizes={1: (16, 12), 2: (16, 12)})


def test_masks_of_another_size_as_arrays_are_refused(tmp_path, read, refuses):
    painted = np.zeros((4, 12, 16)), np.ones((3, 12, 16))
    painted[0][1:3, 5, 5] = 1
    folder, path = tmp_path / "gt", tmp_path / "gt.npz"
    folder.mkdir()
    for name, masks in zip(("gate", "yard"), painted, strict=True):
        np.save(folder / f"{name}.npy", masks)
    np.savez(path, gate=painted[0], yard=painted[1])
    for form in (folder, path):
        assert read(form, sizes={1: (16, 12), 2: (16, 12)}) == "0110111"
    rest = "is 16 x 12, but the frames of test video yard are 8 x 6; masks and frames must have one size"
    for form, where in ((folder, folder / "yard.npy"), (path, f"{path}, yard")):
        with refuses(f"{where} {rest}"):
            read(form, sizes={1: (16, 12), 2: (8, 6)})


def test_a_mask_that_is_missing_is_named(read, refuses, masks):
    folder = masks() / "yard_gt"
    (folder / "frame003.png").unlink()
    there = f"{folder} has 2 masks (1 to 2), but test video yard has 3 frames (0 to 2)"
    with refuses(f"{there}: no mask 3; restore them"):
        read(folder.parent)


def test_tracks_of_unknown_videos_are_told_and_others_refused(tmp_path, index, read, refuses):
    folder = tmp_path / "boxes"
    folder.mkdir()
    (folder / "gate_gt.txt").write_text("001.jpg 0 1 1 4 4\n002.jpg 0 1 1 4 4\n")
    (folder / "yard_gt.txt").write_text("001.jpg 0 1 1 4 4\n002.jpg 0 1 1 4 4\n")
    (folder / "roof_gt.txt").write_text("001.jpg 0 1 1 4 4\n")
    labels = read_labels(folder, index, DigestCache(tmp_path / "memory.json"))
    assert labels.notes == (f"{folder}: there is no test video for roof",)
    assert read(folder) == TEXT
    (folder / "yard_gt.txt").write_text("009.jpg 0 1 1 4 4\n")
    with refuses(
        f"{folder / 'yard_gt.txt'} labels frame 9, but test video yard ends at 2; these are labels of another set, or frames are missing"
    ):
        read(folder)
    (folder / "yard_gt.txt").write_text("a box\n")
    with refuses(f"{folder / 'yard_gt.txt'}, line 1: 'a box' is no box; a line is `012.jpg track x y w h`"):
        read(folder)


@pytest.mark.parametrize("row", ["1,1_0,1_2", "1,0.5,1", "1,0,nan", "x,0,1", "1,0"])
def test_rows_that_are_no_tracks_are_refused(tmp_path, read, refuses, row):
    for name in ("gate", "yard"):
        (tmp_path / f"{name}_tracks.txt").write_text(f"{row}\n")
    with refuses(f"{tmp_path / 'gate_tracks.txt'}, line 1: '{row}' is not a row of track, first, last"):
        read(tmp_path)


def test_annotations_of_ucf_crime_and_xd_violence(tmp_path, read, refuses):
    """Labels alone, for `vad evaluate`: intervals by the name of a video, both ends included."""
    crime, violence = tmp_path / "Temporal_Anomaly_Annotation.txt", tmp_path / "annotations.txt"
    crime.write_text("gate.mp4  Abuse  2  3  -1  -1\nyard.mp4  Normal  -1  -1  -1  -1\n")
    violence.write_text("v=38GQ9L2meyE__#1_label_B6-0-0 2 3 9 12\nv=x__#1_label_A\n")
    assert read_annotations(crime) == {"gate": ((2, 3),), "yard": ()}
    assert read_annotations(violence) == {"v=38GQ9L2meyE__#1_label_B6-0-0": ((2, 3), (9, 12)), "v=x__#1_label_A": ()}
    assert read(crime) == "0110000"
    crime.write_text("gate in rain.mp4  Abuse  2  3  -1  -1\nlast yard Normal -1 -1 -1 -1\n")
    violence.write_text("Bad Boys II__#1_label_B6-0-0 2 3\nv=x__#1_label_A\n")
    assert read_annotations(crime) == {"gate in rain": ((2, 3),), "last yard": ()}
    assert read_annotations(violence) == {"Bad Boys II__#1_label_B6-0-0": ((2, 3),), "v=x__#1_label_A": ()}
    violence.write_text("v=x__#1_label_A\n" + "a_label_" * 20_000 + " x\n")
    started = time.process_time()
    with pytest.raises(InputError, match=r"line 2: .* is no annotation"):
        read_annotations(violence)
    assert time.process_time() - started < 5, "a line of any length is told at once"
    violence.write_text("gate_label_B1-0-0 2 3\n")
    others = FrameIndex.named(["gate_label_B1-0-0"] * 4 + ["yard_label_A"] * 3, [0, 1, 2, 3, 0, 1, 2])[0]
    assert read(violence, others) == "0110000", "normal videos are not listed"
    spaced = FrameIndex.named(["gate in rain"] * 4 + ["last yard"] * 3, [0, 1, 2, 3, 0, 1, 2])[0]
    assert read(crime, spaced) == "0110000"
    crime.write_text("gate.mp4  Abuse  2  3  -1  -1\nyard.mp4 Normal 3\n")
    forms = "`NAME.mp4 Class first last -1 -1` (UCF-Crime) or `NAME_label_... first last` (XD-Violence)"
    with refuses(f"{crime}, line 2: 'yard.mp4 Normal 3' is no annotation; a line is {forms}"):
        read_annotations(crime)
    crime.write_text("gate.mp4  Abuse  2  3  -1  -1\ngate.mp4  Abuse  2  3  -1  -1\n")
    with refuses(f"{crime}, line 2: gate appears twice; remove one"):
        read_annotations(crime)
    crime.write_text("gate.mp4  Abuse  2  ３  -1  -1\n")
    with refuses(f"{crime}, line 1: 'gate.mp4  Abuse  2  ３  -1  -1' is no annotation; a line is {forms}"):
        read_annotations(crime)


@pytest.mark.parametrize("swapped", [True, False])
def test_labels_that_may_be_inverted_are_told(tmp_path, index_of, swapped):
    index = index_of(20, 20, 20, 20, 20)
    flags = np.array([12 <= frame < 17 and video > 1 for video, frame in zip(index.video, index.frame, strict=True)])
    np.save(tmp_path / "a.npy", flags != swapped)
    labels = read_labels(tmp_path / "a.npy", index, DigestCache(tmp_path / "memory.json"))
    said = f"{tmp_path / 'a.npy'}: 80% of the test frames are anomalous, and every video begins with an anomalous one"
    assert labels.notes == (
        (f"{said}; is 1 normal in this file? Then swap 0 and 1: here 1 is anomalous",) if swapped else ()
    )


def test_many_anomalous_frames_alone_are_no_inverted_labels(tmp_path, index_of):
    """As in UCSD Ped2: 82 % are anomalous, and some videos begin so."""
    memory = DigestCache(tmp_path / "memory.json")
    np.save(tmp_path / "a.npy", np.arange(100) % 20 > 2 - 3 * (np.arange(100) < 80))
    assert read_labels(tmp_path / "a.npy", index_of(20, 20, 20, 20, 20), memory).notes == ()
    np.save(tmp_path / "a.npy", np.arange(40) % 20 < 17)
    assert read_labels(tmp_path / "a.npy", index_of(20, 20), memory).notes == (), "too few videos to say"


def test_videos_in_another_order_than_their_files_are_told(tmp_path, index_of, mat):
    index, folders = index_of(*[4] * 10), {n: tmp_path / "test" / str(n) for n in range(1, 11)}
    np.save(tmp_path / "a.npy", np.arange(40) % 4 > 1)
    for path in (tmp_path / "a.npy", mat(*[[[2, 3]]] * 10)):
        memory = DigestCache(tmp_path / "memory.json")
        order = "the videos are taken in the order 1, 2, 3, ...; sorted by letters it would be 1, 10, 2, ..."
        assert read_labels(path, index, memory, files=folders).notes == (f"{path}: {order}",)
        padded = {n: tmp_path / "test" / f"{n:02d}" for n in folders}
        assert read_labels(path, index, memory, files=padded).notes == ()
