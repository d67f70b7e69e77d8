"""Label files of the field, damaged: labels that fit the frames, or one error that names the file; never the end of the process."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from vad.data.frame_index import FrameIndex
from vad.data.labels import read_annotations, read_labels
from vad.images.digest_cache import DigestCache

INDEX = FrameIndex.named(["gate"] * 4 + ["yard"] * 3, [0, 1, 2, 3, 0, 1, 2])[0]


def _saved(save, *content, **named):
    buffer = io.BytesIO()
    save(buffer, *content, **named)
    return buffer.getvalue()


def _intervals():
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = np.array([[2], [3]], "u2"), np.array([[1, 3], [1, 3]], "u2")
    return cells


FILES = {
    "set.mat": _saved(savemat, {"gt": _intervals()}),
    "packed.mat": _saved(savemat, {"before": "x", "gt": _intervals()}, do_compression=True),
    "set.m": b"TestVideoFile{end+1}.gt_frame = [2:3];\nTestVideoFile{end+1}.gt_frame = [1, 3];\n",
    "labels.npy": _saved(np.save, np.array([0, 1, 1, 0, 1, 0, 1])),
    "labels.npz": _saved(np.savez_compressed, gate=np.array([0, 1, 1, 0]), yard=np.array([1, 0, 1])),
    "labels.txt": b"0\n1\n1\n0\n1\n0\n1\n",
    "Temporal_Anomaly_Annotation.txt": b"gate.mp4  Abuse  2  3  -1  -1\nyard.mp4  Abuse  1  1  3  3\n",
}


@pytest.mark.parametrize("name", FILES)
def test_whole_files_give_the_labels(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    labels = read_labels(tmp_path / name, INDEX, DigestCache(tmp_path / "memory.json"))
    assert labels.values.tolist() == [False, True, True, False, True, False, True]


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=120)
@given(data=st.data())
def test_damaged_files(tmp_path, damaged, judged, name, data):
    path = tmp_path / name
    path.write_bytes(data.draw(damaged(FILES[name])))
    labels = judged(lambda: read_labels(path, INDEX, DigestCache(tmp_path / "memory.json")), name)
    if labels is not None:
        assert labels.values.shape == (7,)
        assert labels.values.any()
        assert not labels.values.all()


@settings(max_examples=120)
@given(data=st.data())
def test_damaged_annotations(tmp_path, damaged, judged, data):
    path = tmp_path / "annotations.txt"
    path.write_bytes(data.draw(damaged(b"v=38GQ9L2meyE__#1_label_B6-0-0 2 3 9 12\nv=x__#1_label_A\n")))
    found = judged(lambda: read_annotations(path), "annotations.txt")
    assert found is None or all(begin <= end for pairs in found.values() for begin, end in pairs)
