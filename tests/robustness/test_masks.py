"""Masks of MATLAB: the frames that SciPy would name, or one error that names the file; never the end of the process."""

import io
import os
import sys

import h5py
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from vad.data.frame_index import FrameIndex
from vad.data.labels import read_labels
from vad.data.matlab import anomalous_frames
from vad.errors import InputError
from vad.images.digest_cache import DigestCache


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


def _saved_7_3(path, cells, name="volLabel", block=512):
    """A file as MATLAB's `save -v7.3` makes it: HDF5 behind a header, a cell array of references to the masks."""
    with h5py.File(path, "w", userblock_size=block) as file:
        if isinstance(cells, np.ndarray) and cells.dtype != object:
            file[name] = cells
            return
        references = np.empty((len(cells), 1), h5py.ref_dtype)
        for number, cell in enumerate(cells):
            mask = file.create_dataset(f"#refs#/{number}", data=cell, compression="gzip" if np.size(cell) > 1 else None)
            references[number, 0] = mask.ref
        file.create_dataset(name, data=references, dtype=h5py.ref_dtype).attrs["MATLAB_class"] = np.bytes_("cell")
    if block:
        header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
        path.write_bytes(header + path.read_bytes()[len(header) :])


@settings(max_examples=30)
@given(
    flags=st.lists(st.booleans(), min_size=1, max_size=9),
    dtype=st.sampled_from(["u1", "i2", "f4", "f8", "i8"]),
    block=st.sampled_from([0, 512]),
)
def test_masks_of_version_7_3_are_read(tmp_path, flags, dtype, block):
    path = tmp_path / "1_label.mat"
    _saved_7_3(path, [np.pad([[flag]], 3).astype(dtype) for flag in flags], block=block)
    assert anomalous_frames(path) == flags


def test_empty_and_sparse_masks_of_version_7_3(tmp_path):
    path = tmp_path / "1_label.mat"
    _saved_7_3(path, [np.array([6, 8], "u8"), np.zeros((6, 8)), np.ones((6, 8))])
    with h5py.File(path, "r+") as file:
        file["#refs#/0"].attrs["MATLAB_empty"] = 1
        del file["#refs#/1"]
        sparse = file.create_group("#refs#/1")
        sparse.attrs["MATLAB_sparse"] = 6
        sparse["data"], sparse["ir"], sparse["jc"] = [1.0], [2], [0, 1]
        file["volLabel"][1, 0] = sparse.ref
    assert anomalous_frames(path) == [0, 1, 1]


@pytest.mark.parametrize("cells", [np.zeros((6, 8)), [np.array([np.nan])], [np.bytes_("abc")]])
def test_what_is_no_cell_array_of_masks_in_version_7_3_is_refused(tmp_path, cells):
    _saved_7_3(tmp_path / "1_label.mat", cells)
    with pytest.raises(InputError, match=r"1_label.mat is not a MATLAB file"):
        anomalous_frames(tmp_path / "1_label.mat")
    _saved_7_3(tmp_path / "1_label.mat", cells, "another")
    with pytest.raises(InputError, match=r"1_label.mat has no variable volLabel"):
        anomalous_frames(tmp_path / "1_label.mat")


@pytest.mark.parametrize("kept", [600, 2000, 4000])
def test_a_truncated_file_of_version_7_3_is_refused(tmp_path, kept):
    path = tmp_path / "1_label.mat"
    _saved_7_3(path, [np.ones((60, 80)) for _ in range(9)])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"1_label.mat is not a MATLAB file"):
        anomalous_frames(path)


def test_without_h5py_version_7_3_is_named_and_the_ways_out(tmp_path, monkeypatch):
    path = tmp_path / "1_label.mat"
    _saved_7_3(path, [np.ones((6, 8))])
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError) as caught:
        anomalous_frames(path)
    assert str(caught.value) == (
        f"{path} is a MATLAB file of version 7.3 (HDF5); to read it: pip install -e '.[hdf5]', or save it in MATLAB with -v7"
    )


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
    with pytest.raises(InputError, match=r"1_label.mat is not a MATLAB file"):
        anomalous_frames(tmp_path / "1_label.mat")


def test_links_pipes_and_folders_are_named(tmp_path):
    index, path = FrameIndex(np.array([1]), np.array([0])), tmp_path / "masks" / "1_label.mat"
    path.parent.mkdir()
    makers = [lambda: path.symlink_to(path), lambda: path.symlink_to("nothing"), lambda: os.mkfifo(path)]
    for make in makers:
        make()
        with pytest.raises(InputError, match=r"1_label.mat"):
            read_labels(path.parent, index, DigestCache(tmp_path / "memory.json"))
        path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"1_label.mat"):
        read_labels(path.parent, index, DigestCache(tmp_path / "memory.json"))
