import gzip
import zipfile

import numpy as np
import pytest

from vad.data.frame_index import FrameIndex
from vad.data.tables import read_scores, read_table, write_scores
from vad.errors import InputError


@pytest.fixture
def index():
    return FrameIndex(np.array([1, 1, 2, 10, 10]), np.array([939, 941, 0, 3, 4]))


def test_a_file_gives_back_every_bit(tmp_path, index):
    values = np.array([1 / 3, np.nextafter(1, 2), 5e-324, -0.0, 1.7976931348623157e308])
    write_scores(tmp_path / "scores.csv", index, values)
    read, back = read_scores(tmp_path / "scores.csv")
    assert read == index
    assert back.tobytes() == values.tobytes()


def test_a_file_is_the_header_and_one_row_a_frame_without_padding(tmp_path, index):
    write_scores(tmp_path / "new" / "scores.csv", index, np.array([0.25, 1, 0, 1e-9, 3]))
    text = (tmp_path / "new" / "scores.csv").read_bytes()
    assert text == b"Id,Predicted\n1_939,0.25\n1_941,1.0\n2_0,0.0\n10_3,1e-09\n10_4,3.0\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["scores.csv"]


@pytest.mark.parametrize(
    "text",
    [
        "video,frame,label\n1,0,1\n01,1,0\n",
        ",Video;Frame;Label\n".replace(",", ";") + "0;1;0;1\n1;1;1;0\n",
        "id,label\n1_0,1\n1_1,0\n",
    ],
)
def test_labels_by_video_and_frame_or_with_a_small_header(tmp_path, text):
    (tmp_path / "labels.csv").write_text(text)
    table = read_table(tmp_path / "labels.csv", "Label")
    assert table.index.ids == ["1_0", "1_1"]
    assert table.values.tolist() == [1, 0]


def test_rows_are_sorted_by_number_whatever_their_order_in_the_file(tmp_path, index):
    text = "\ufeffId,Predicted\r\n10_4,5\r\n2_0,3\r\n\r\n1_941,2\r\n10_3,4\r\n1_939,1\r\n"
    (tmp_path / "s.csv").write_bytes(text.encode())
    read, values = read_scores(tmp_path / "s.csv", index)
    assert read.ids == ["1_939", "1_941", "2_0", "10_3", "10_4"]
    assert values.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "{path}: the header is '', but must be 'Id,Predicted', with rows such as 3_12,0.5, or 'video,frame,Predicted'",
        ),
        (
            "Frame,Predicted\n1_0,1\n",
            "{path}: the header is 'Frame,Predicted', but must be 'Id,Predicted', with rows such as 3_12,0.5, or 'video,frame,Predicted'",
        ),
        ("Id,Predicted\n", "{path} has no rows below its header"),
        ("Id,Predicted\n1_0,1\n1_1\n", "{path}, line 3: 1 columns, but there must be 2: Id, Predicted"),
        ("Id,Predicted\n1_0,1,2\n", "{path}, line 2: 3 columns, but there must be 2: Id, Predicted"),
        ("Id,Predicted\n1_0,1\n01_00,1\n", "{path}, line 3: 01_00 appears twice; the first is in line 2"),
        ("Id;Predicted\n1_0;0,5\n", "{path}, line 2: Predicted is '0,5', which is not a number; write a decimal point"),
        ("Id,Predicted\n1_0,1_0\n", "{path}, line 2: Predicted is '1_0', which is not a number"),
        ("Id,Predicted\n1_0,１\n", "{path}, line 2: Predicted is '１', which is not a number"),
        ("Id,Predicted\n1_0,0x1f\n", "{path}, line 2: Predicted is '0x1f', which is not a number"),
        (
            "Id,Predicted\n1234567890_0,1\n",
            "{path}, line 2: '1234567890_0' is not a frame id; write video_frame, as in 3_120",
        ),
        ("Id,Predicted\n1_-3,1\n", "{path}, line 2: '1_-3' is not a frame id; write video_frame, as in 3_120"),
        ("Id,Predicted\n1,1\n", "{path}, line 2: '1' is not a frame id; write video_frame, as in 3_120"),
        ("Id,Predicted\n1_0,1\n1_1,2\n1_0,3\n", "{path}, line 4: 1_0 appears twice; the first is in line 2"),
        ("Id,Predicted\n1_0,high\n", "{path}, line 2: Predicted is 'high', which is not a number"),
        ("Id,Predicted\n1_0,\n", "{path}, line 2: Predicted is '', which is not a number"),
        ("Id,Predicted\n1_0,1\n1_1,nan\n", "{path}, line 3: Predicted is 'nan'; it must be finite"),
        ("Id,Predicted\n1_0,-inf\n", "{path}, line 2: Predicted is '-inf'; it must be finite"),
        (
            "Id,Predicted\n1_0," + "1" * 200_000,
            "{path}, line 2: longer than 10,000 characters; a row has an id and a number",
        ),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_line(tmp_path, refuses, text, message):
    path = tmp_path / "my scores.csv"
    path.write_text(text)
    with refuses(message.format(path=path)):
        read_scores(path)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path, refuses):
    with refuses(f"cannot read {tmp_path / 'none.csv'}: No such file or directory"):
        read_scores(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe")
    with refuses(f"{tmp_path / 'x.csv'} is not a text file (UTF-8); give a CSV with the header Id,Predicted"):
        read_scores(tmp_path / "x.csv")


def test_another_column_can_be_read(tmp_path):
    (tmp_path / "l.csv").write_text("Id,Label\n3_7,1\n")
    table = read_table(tmp_path / "l.csv", "Label")
    index, values = table.index, table.values
    assert (index.ids, values.tolist()) == (["3_7"], [1.0])


@pytest.mark.parametrize(
    "text",
    [
        "Id,Predicted\n1_0,0.5\n1_1,0.25\n",
        "Id;Predicted\r\n1_0;0.5\r\n1_1;.25\r\n",
        "id\tscore\n1_1\t25e-2\n1_0\t5e-1\n",
        ",Id,Predicted\n0,1_0,0.5\n1,1_1,0.25\n",
        "Unnamed: 0,Id,Predicted\n0,1_0,0.5\n1,1_1,0.25\n",
        "sep=;\nId;Predicted\n1_0;0.5\n1_1;0.25\n",
        "ID,Label\n01_00000,0.5\n01_00001, 0.25\n",
        '\ufeff"Id";"Predicted"\n"1_0";"0.5"\n"1_1";"0.25"\n',
    ],
    ids=["ours", "semicolons", "tabs", "pandas' index", "named index", "of Excel", "padded ids", "quotes"],
)
@pytest.mark.parametrize("pack", ["", ".gz", ".zip"])
def test_the_same_scores_are_read_from_any_spelling(tmp_path, text, pack):
    path = tmp_path / f"p.csv{pack}"
    if pack == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("p.csv", text)
            archive.writestr("__MACOSX/._p.csv", "x")
    else:
        path.write_bytes(gzip.compress(text.encode()) if pack else text.encode())
    index, values = read_scores(path)
    assert (index.ids, values.tolist()) == (["1_0", "1_1"], [0.5, 0.25])


def test_an_archive_of_two_files_and_a_damaged_one_are_refused(tmp_path, refuses):
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "Id,Predicted\n1_0,1\n")
        archive.writestr("b.csv", "Id,Predicted\n1_0,1\n")
    with refuses(f"{path} must hold one CSV file; it holds a.csv, b.csv; unpack it and name the one you mean"):
        read_scores(path)
    packed = gzip.compress(b"Id,Predicted\n" + b"1_0,1\n" * 1000)
    for name, content in (("cut.csv.gz", packed[:-20]), ("none.csv.gz", b"Id,Predicted\n1_0,1\n"), ("none.zip", b"PK")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} cannot be unpacked"):
            read_scores(tmp_path / name)


def test_labels_may_be_words(tmp_path):
    (tmp_path / "l.csv").write_text("Id,Label\n1_0,True\n1_1,false\n1_2,1\n")
    assert read_table(tmp_path / "l.csv", "Label").values.tolist() == [1, 0, 1]


def test_kaggles_solution_file_is_a_table_of_labels(tmp_path):
    """Its last column says which board a row is of; spaces behind commas do not matter."""
    (tmp_path / "l.csv").write_text("ID, Label, Usage\n1_0, False, Public\n1_1, True, Private\n")
    table = read_table(tmp_path / "l.csv", "Label")
    assert (table.index.ids, table.values.tolist(), table.form.names) == (["1_0", "1_1"], [0, 1], ("ID", "Label"))


def test_a_sample_gives_header_ids_and_order(tmp_path):
    (tmp_path / "sample.csv").write_text("ID;Label\n02_0001;0\n01_0003;0\n01_0001;0\n")
    sample = read_table(tmp_path / "sample.csv", "Predicted")
    write_scores(tmp_path / "s.csv", sample.index, np.array([1.5, 2.5, 3.5]), sample)
    assert (tmp_path / "s.csv").read_text() == "ID;Label\n02_0001;3.5\n01_0003;2.5\n01_0001;1.5\n"
    assert read_scores(tmp_path / "s.csv", sample.index)[1].tolist() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("1_939 1_941 2_0 10_3", "1 missing (10_4)"),
        ("1_939 1_941 2_0 10_3 10_4 11_0", "1 too many (11_0)"),
        ("2_0 10_4 3_1 3_2 3_3 3_4", "3 missing (1_939, 1_941, 10_3) and 4 too many (3_1, 3_2, 3_3, ...)"),
    ],
)
def test_other_frames_than_expected_are_refused(tmp_path, refuses, index, rows, fault):
    path = tmp_path / "s.csv"
    path.write_text("Id,Predicted\n" + "".join(f"{row},1\n" for row in rows.split()))
    with refuses(
        f"{path} does not fit the test frames: {fault} of 5 frames; give a row for each of the test frames, and no other"
    ):
        read_scores(path, index)


def test_a_score_that_is_not_finite_is_not_written_and_the_old_file_stays(tmp_path, refuses, index):
    path = tmp_path / "s.csv"
    path.write_text("old")
    with refuses(f"the score of frame 2_0 is not finite; nothing was written to {path}"):
        write_scores(path, index, np.array([1, 2, np.nan, np.inf, 3]))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path, refuses, index):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "s.csv"
    with refuses(f"cannot write {path}: File exists; choose a folder that you can write to"):
        write_scores(path, index, np.zeros(5))


def test_there_is_one_span_a_video(index):
    assert index.spans == (slice(0, 2), slice(2, 3), slice(3, 5))


def test_equality_and_digest_follow_the_frames(index):
    same = FrameIndex(index.video.copy(), index.frame.copy())
    other = FrameIndex(index.video, index.frame + (index.video == 2))
    assert same == index
    assert same.digest == index.digest
    assert other != index
    assert other.digest != index.digest
    assert index != FrameIndex(index.video[:4], index.frame[:4])


def test_sorting_frames_gives_the_permutation():
    index, order = FrameIndex.sorted([2, 1, 2], [5, 9, 4])
    assert index.ids == ["1_9", "2_4", "2_5"]
    assert order.tolist() == [1, 2, 0]


def test_videos_with_names_keep_them_in_ids_and_files(tmp_path):
    """The order is that of a person, and a file gives back every name."""
    index, order = FrameIndex.named(["clip 10", "clip 2", "01_0014", "clip 2"], [0, 7, 3, 1])
    assert index.ids == ["01_0014_3", "clip 2_1", "clip 2_7", "clip 10_0"]
    assert order.tolist() == [2, 3, 1, 0]
    write_scores(tmp_path / "s.csv", index, np.arange(4.0))
    again, values = read_scores(tmp_path / "s.csv", index)
    assert again == index
    assert values.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["a,b", 'the "gate"', "a;b", "Größe 数据", "a_", "_", "-", "=1+1"])
def test_any_name_comes_back_from_a_file(tmp_path, name):
    index, _ = FrameIndex.named([name, "other"], [3, 4])
    write_scores(tmp_path / "s.csv", index, np.array([0.5, 0.25]))
    assert read_scores(tmp_path / "s.csv", index)[0].ids == index.ids


def test_numbers_keep_their_ids_beside_names(tmp_path):
    index, _ = FrameIndex.named(["park", "12", "3", "gate"], [0, 0, 0, 0])
    assert index.video.tolist() == [3, 12, 13, 14]
    assert index.titles == ("3", "12", "gate", "park")


def test_the_same_ids_under_other_names_are_other_frames():
    one, other = (FrameIndex.named(names, [0, 0])[0] for names in (["a", "b"], ["a", "c"]))
    assert one != other
    assert one.digest != other.digest
