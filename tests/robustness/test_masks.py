"""Masks of MATLAB: the frames that SciPy would name, or one error that names the file; never the end of the process."""

import io
import os

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from vad.errors import InputError
from vad.frames.digests import Memory
from vad.frames.labels import read_labels
from vad.frames.masks import anomalous_frames
from vad.scores import FrameIndex


def _cells(flags, dtype="u1"):
    cells = np.empty((1, len(flags)), object)
    for number, flag in enumerate(flags):
        mask = np.zeros((6, 8), "u1" if dtype == "sparse" else dtype)
        mask[3, 5] = flag
        cells[0, number] = scipy.sparse.csc_matrix(mask.astype(float)) if dtype == "sparse" else mask
    return cells


def _saved(content, **options) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, content, **options)
    return buffer.getvalue()


PLAIN, COMPRESSED = (_saved({"volLabel": _cells([0, 1, 0, 1])}, do_compression=pressed) for pressed in (False, True))


@settings(max_examples=100)
@given(
    flags=st.lists(st.booleans(), min_size=1, max_size=9),
    dtype=st.sampled_from(["u1", "?", "i2", "u2", "f4", "f8", "i8", "sparse"]),
    pressed=st.booleans(),
)
def test_masks_of_every_type_are_read(tmp_path, flags, dtype, pressed):
    path = tmp_path / "1_label.mat"
    path.write_bytes(_saved({"before": "x", "volLabel": _cells(flags, dtype), "after": 3}, do_compression=pressed))
    assert anomalous_frames(path) == flags


@settings(max_examples=300)
@given(data=st.data(), pressed=st.booleans())
def test_damaged_masks(tmp_path, damaged, judged, data, pressed):
    path = tmp_path / "1_label.mat"
    spoilt = data.draw(damaged(COMPRESSED if pressed else PLAIN))
    path.write_bytes(spoilt)
    found = judged(lambda: anomalous_frames(path), "1_label.mat")
    if found is not None and pressed and len(spoilt) == len(COMPRESSED):
        assert found == [0, 1, 0, 1]  # what is compressed has a sum of its bytes


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((6, 8)),
        "text",
        np.full((1, 4), np.nan),
        {"a": 1},
        np.zeros((0, 0)),
        np.array([["a", "b"]], object),
        _cells([np.nan], "f8"),
        _cells([np.inf], "f4"),
    ],
)
def test_what_is_no_cell_array_of_masks_is_refused(tmp_path, value):
    (tmp_path / "1_label.mat").write_bytes(_saved({"volLabel": value}))
    with pytest.raises(InputError, match=r"1_label.mat is no MATLAB file"):
        anomalous_frames(tmp_path / "1_label.mat")


def test_links_pipes_and_folders_are_named(tmp_path):
    index, path = FrameIndex(np.array([1]), np.array([0])), tmp_path / "masks" / "1_label.mat"
    path.parent.mkdir()
    makers = [lambda: path.symlink_to(path), lambda: path.symlink_to("nothing"), lambda: os.mkfifo(path)]
    for make in makers:
        make()
        with pytest.raises(InputError, match=r"1_label.mat"):
            read_labels(path.parent, index, Memory(tmp_path / "memory.json"))
        path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"1_label.mat"):
        read_labels(path.parent, index, Memory(tmp_path / "memory.json"))
