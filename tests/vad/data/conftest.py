"""Two small test videos, and their labels as a form of labels gives them."""

import pytest

from vad.data.frame_index import FrameIndex
from vad.data.labels import read_labels
from vad.images.digest_cache import DigestCache

TEXT = "0110011"


@pytest.fixture
def index():
    """Two videos, of four and of three frames, numbered from 0."""
    return FrameIndex.named(["gate"] * 4 + ["yard"] * 3, [0, 1, 2, 3, 0, 1, 2])[0]


@pytest.fixture
def read(tmp_path, index):
    def asked(path, frames=index, **options):
        labels = read_labels(path, frames, DigestCache(tmp_path / "memory.json"), **options)
        return "".join(map(str, labels.values.astype(int)))

    return asked
