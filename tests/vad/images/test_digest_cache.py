import os
import re
import tracemalloc

import pytest

from vad.data.layouts import read_frameset
from vad.images import digest_cache as digests
from vad.images.digest_cache import DigestCache


@pytest.fixture
def read(tmp_path):
    return lambda root: read_frameset(root, tmp_path / "memory")


def test_what_is_known_of_a_file_is_kept_until_the_file_changes(tmp_path, dataset, save, picture, read, monkeypatch):
    root = dataset(tmp_path / "data")
    digest = read(root).digest
    assert len(list((tmp_path / "memory").iterdir())) == 1

    opened = []
    real = digests.sha256
    monkeypatch.setattr(digests, "sha256", lambda path: opened.append(path) or real(path))
    assert read(root).digest == digest
    assert opened == []

    changed = save(root / "testing_videos" / "01" / "frame_00002.jpg", picture(77))
    os.utime(changed, ns=(1, 1))
    assert read(root).digest != digest
    assert opened == [changed]


@pytest.mark.parametrize("replaced", [False, True])
def test_other_contents_of_the_same_size_and_time_are_read(tmp_path, dataset, picture, save, read, replaced):
    """As tar and rsync leave them."""
    root = dataset(tmp_path / "data")
    path = save(root / "testing_videos" / "01" / "frame_00009.bmp", picture(1))
    before, status = read(root).test.digest, path.stat()
    changed = save(tmp_path / "other.bmp", picture(2))
    if replaced:
        changed.replace(path)
    else:
        path.write_bytes(changed.read_bytes())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert read(root).test.digest != before


def test_a_movie_is_hashed_piece_by_piece(tmp_path):
    path = tmp_path / "01.avi"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    DigestCache(tmp_path / "memory.json").digests([path])
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("spoilt", ["{", "[]", "3", "null", '{"sha256 x": 3}'])
def test_a_damaged_memory_is_made_anew(tmp_path, dataset, read, spoilt):
    root = dataset(tmp_path / "data")
    digest = read(root).digest
    (memory,) = (tmp_path / "memory").iterdir()
    memory.write_text(spoilt)
    assert read(root).digest == digest


def test_a_memory_that_was_altered_is_made_anew(tmp_path, dataset, read):
    root = dataset(tmp_path / "data")
    digest = read(root).digest
    (memory,) = (tmp_path / "memory").iterdir()
    text = memory.read_text()
    for wrong in (
        text.replace('"sha256 ', '"sha257 '),
        re.sub('"[0-9a-f]{64}"', "7", text),
        re.sub("[0-9a-f]{64}", "0" * 64, text),
    ):
        assert wrong != text
        memory.write_text(wrong)
        assert read(root).digest == digest
        assert memory.read_text() == text
