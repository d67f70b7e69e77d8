"""Labels as a CSV of intervals, `video,start,end`, and what is wrong with one told in a line."""

import pytest

from tests.vad.data.conftest import TEXT
from vad.data.frame_index import FrameIndex
from vad.data.labels import read_labels
from vad.errors import InputError
from vad.images.digest_cache import DigestCache


@pytest.mark.parametrize(
    "text", ["video,start,end\ngate,1,2\nyard,1,1\nyard,2,2\n", "sep=;\nVideo;Start;End\n\ngate; 1;2\nyard;1;2"]
)
def test_a_table_of_intervals_counts_as_the_frames_are_numbered(tmp_path, index, read, text):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    assert read(path) == TEXT
    path.write_text(text.replace("yard", "07"))
    assert read(path, FrameIndex.named(["gate"] * 4 + ["7"] * 3, [0, 1, 2, 3, 0, 1, 2])[0]) == TEXT[4:] + TEXT[:4]
    path.write_text("video,start,end\ngate,1,2\n")
    labels = read_labels(path, index, DigestCache(tmp_path / "memory.json"))
    assert labels.notes == (f"{path} has no interval for yard, so all frames there are normal",)
    assert "both ends included, counted as the frames are numbered" in labels.form


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("roof,1,2", "there is no test video 'roof', but gate, yard"),
        ("yard,1,3", "'1 to 3' is no interval of test video yard, which has frames 0 to 2; both ends are included"),
        ("yard,2,1", "'2 to 1' is no interval of test video yard, which has frames 0 to 2; both ends are included"),
        ("yard,0.5,1", "'0.5 to 1' is no interval of test video yard, which has frames 0 to 2; both ends are included"),
        ("yard,1", "2 columns, but there must be 3: video, start, end"),
    ],
)
def test_an_interval_that_does_not_fit_is_refused_with_its_line(tmp_path, read, refuses, row, fault):
    path = tmp_path / "labels.csv"
    path.write_text(f"video,start,end\ngate,1,2\n{row}\n")
    with refuses(f"{path}, line 3: {fault}"):
        read(path)


def test_a_table_with_another_header_is_told_all_headers(tmp_path, read):
    path = tmp_path / "labels.csv"
    path.write_text("clip,from,to\ngate,1,2\n")
    with pytest.raises(
        InputError, match=r"'clip,from,to', but must be 'Id,Label'.* or 'video,start,end' \(docs/data\.md\)"
    ):
        read(path)
