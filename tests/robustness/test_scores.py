"""Scores in files of NumPy and MATLAB, and as text: finite numbers of a list each, or one error that names the file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from vad.data.scores import read_video_scores


def _mat(path, packed):
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = np.arange(4.0), np.arange(3.0)
    savemat(path, {"scores": cells}, do_compression=packed)


WRITERS = {
    "s.npy": lambda path: np.save(path, np.arange(6.0)),
    "s.npz": lambda path: np.savez_compressed(path, **{"1": np.arange(4.0), "2": np.arange(3.0)}),
    "cells.mat": lambda path: _mat(path, packed=False),
    "packed.mat": lambda path: _mat(path, packed=True),
    "list.mat": lambda path: savemat(path, {"scores": np.arange(5)}),
    "s.txt": lambda path: np.savetxt(path, np.arange(4.0)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_files_of_scores(tmp_path, damaged, judged, name):
    path = tmp_path / name
    WRITERS[name](path)
    whole = path.read_bytes()
    assert read_video_scores(path)

    @settings(max_examples=200)
    @given(data=st.data())
    def damage(data):
        path.write_bytes(data.draw(damaged(whole)))
        for part in judged(lambda: read_video_scores(path), name) or ():
            assert np.isfinite(part.values).all() and part.values.ndim == 1 and len(part.values)

    damage()
