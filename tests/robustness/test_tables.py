"""Tables that come from outside (labels, predictions, scores): finite numbers of known frames, or one error that names the file and the line."""

import csv
import math
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.cli import main
from registry.store.score_table import read_table as read_score_table
from vad.data.frame_index import FrameIndex, number_of
from vad.data.labels import read_labels
from vad.data.tables import read_scores, read_table, write_scores
from vad.errors import InputError
from vad.images.digest_cache import DigestCache

WHOLE = b"Id,Predicted\n1_0,0.5\n1_1,0.25\n2_0,1e-3\n"
CELLS = st.one_of(
    st.sampled_from(["nan", "NaN", "inf", "-Infinity", "1e400", "-1e-400", "", " 1", "１", "1_0", "0x1f", "1e308", "-0.0", "true", "1,5", "\0", "=1+1", '"1', "9" * 400, "9" * 9000, "../../x", "/etc/passwd", "01_0", "1_-1", "1_1000000000", "\ufeff1_0"]),
    st.text(max_size=12),
    st.floats().map(str),
)  # fmt: skip
INDEX = FrameIndex(np.array([1, 1, 2]), np.array([0, 1, 0]))


@settings(max_examples=400)
@given(data=st.data())
def test_damaged_predictions(tmp_path, damaged, judged, data):
    path = tmp_path / "p.csv"
    path.write_bytes(data.draw(damaged(WHOLE)))
    found = judged(lambda: read_scores(path), "p.csv")
    if found is not None:
        index, values = found
        assert len(set(index.ids)) == len(values) > 0
        assert np.isfinite(values).all()


def _plain(name):
    """An id without zeros in front; that of a video with a name keeps its name."""
    video, _, frame = name.strip().rpartition("_")
    return f"{video if number_of(video) is None else number_of(video)}_{int(frame)}"


@settings(max_examples=250)
@given(name=CELLS, value=CELLS)
def test_any_id_and_any_number(tmp_path, judged, name, value):
    path = tmp_path / "p.csv"
    with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
        csv.writer(file).writerows([["Id", "Label"], ["1_0", "0"], [name, value]])
    found = judged(lambda: read_table(path, "Label"), "p.csv")
    if found is not None:
        assert sorted(found.index.ids) == sorted({"1_0", _plain(name)})
        assert np.isfinite(found.values).all()
    labels = judged(lambda: read_labels(path, INDEX, DigestCache(tmp_path / "memory.json")), "p.csv")
    assert labels is None  # three frames were asked for


@settings(max_examples=250)
@given(data=st.data())
def test_damaged_tables_of_scores(tmp_path, damaged, judged, data):
    path = tmp_path / "scores.csv"
    path.write_bytes(data.draw(damaged(b"video,frame,label,max\n1,0,1,0.5\n1,1,0,0.25\n2,0,0,1\n")))
    table = judged(lambda: read_score_table(path), "scores.csv")
    if table is not None:
        assert len(set(table.index.ids)) == len(table.index)
        assert all(np.isfinite(values).all() for values in table.variants.values())


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e30", "0.5", "x", ""])
def test_a_table_of_scores_has_whole_numbers_of_frames_and_finite_scores(tmp_path, judged, column, value):
    cells = ["3", "0", "1", "0.5"]
    cells[column] = value
    (tmp_path / "scores.csv").write_text("video,frame,label,max\n1,0,1,0.5\n" + ",".join(cells) + "\n")
    table = judged(lambda: read_score_table(tmp_path / "scores.csv"), "scores.csv")
    assert (table is not None) == (column == 3 and value in ("-1", "1e30", "0.5"))


@settings(max_examples=100)
@given(values=st.lists(st.floats(), min_size=3, max_size=3))
def test_what_is_not_finite_is_never_written(tmp_path, judged, values):
    path = tmp_path / "out.csv"
    path.unlink(missing_ok=True)
    judged(lambda: write_scores(path, INDEX, np.asarray(values)), "out.csv")
    assert path.exists() == all(map(math.isfinite, values))
    if path.exists():
        assert read_scores(path, INDEX)[1].tolist() == values


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbf" + WHOLE, WHOLE.replace(b"\n", b"\r\n"), WHOLE.replace(b"\n", b"\n\n"), WHOLE.replace(b"1_0", b'"1_0"'), WHOLE[:-1]],
    ids=["mark of byte order", "ends of lines of Windows", "empty lines", "quotes", "no last end of line"],
)  # fmt: skip
def test_what_programs_of_others_write_is_read(tmp_path, content):
    (tmp_path / "p.csv").write_bytes(content)
    assert read_scores(tmp_path / "p.csv", INDEX)[1].tolist() == [0.5, 0.25, 1e-3]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Id,Predicted\n",
        b"Id,Predicted\n" + b"x" * 3_000_000,
        b"\n" * 100_000,
        WHOLE + WHOLE[13:],
        b"\0" * 5000,
        "Id,Predicted\n".encode("utf-16"),
    ],
)
def test_the_command_line_refuses_with_one_message_and_status_2(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    Path("p.csv").write_bytes(content)
    Path("labels.csv").write_bytes(WHOLE)
    for arguments in (
        ["p.csv", "--labels", "labels.csv"],
        ["labels.csv", "--labels", "p.csv"],
        [".", "--labels", "p.csv"],
    ):
        result = CliRunner().invoke(main, ["evaluate", *arguments])
        assert result.exit_code == 2
        assert result.output.count("Error") == 1
        assert "Traceback" not in result.output
        assert len(result.output) < 1000


def test_a_folder_a_loop_and_a_dangling_link_are_named(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nothing")
    for name in ("folder.csv", "loop.csv", "gone.csv"):
        with pytest.raises(InputError, match=name):
            read_scores(tmp_path / name)


@pytest.mark.parametrize("what", ["pipe", "endless"])
def test_what_never_ends_is_no_table(tmp_path, what):
    path = tmp_path / "t.csv"
    os.mkfifo(path) if what == "pipe" else path.symlink_to("/dev/zero")
    for read in (lambda: read_scores(path), lambda: read_labels(path, INDEX, DigestCache(tmp_path / "memory.json"))):
        with pytest.raises(InputError, match=r"t\.csv is a pipe or a device, not a file"):
            read()
