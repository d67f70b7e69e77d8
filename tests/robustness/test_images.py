"""Frames: whatever the bytes, an image of the size that its header says, or one error that names the file. Never huge, never a hang."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vad.errors import InputError
from vad.images.decode import count_movie_frames, decode_image, read_image, read_movie

GRAIN = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def _encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _scene(width: int, height: int, seed: int) -> np.ndarray:
    grain = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    return np.clip(np.linspace(220, 40, height)[:, None, None] + grain, 0, 255).astype(np.uint8)


PICTURE = Image.fromarray(_scene(64, 48, 0))
WHOLE = {
    "jpeg": _encoded(PICTURE, "JPEG", quality=90),
    "progressive": _encoded(PICTURE, "JPEG", progressive=True),
    "restarts": _encoded(PICTURE, "JPEG", restart_marker_rows=1),
    "png": _encoded(PICTURE, "PNG"),
    "bmp": _encoded(PICTURE, "BMP"),
    "tiff": _encoded(PICTURE, "TIFF", compression="tiff_deflate"),
    "webp": _encoded(PICTURE, "WEBP"),
}


@pytest.mark.parametrize("kind", WHOLE)
@settings(max_examples=100)
@given(data=st.data())
def test_damaged_images(damaged, judged, kind, data):
    image = judged(lambda: decode_image(data.draw(damaged(WHOLE[kind])), "frame_7"), "frame_7")
    if image is not None:
        assert image.dtype == np.uint8
        assert image.ndim == 3


@settings(max_examples=200)
@given(
    data=st.binary(max_size=200),
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"RIFF"]),
)
def test_any_bytes(judged, data, start):
    judged(lambda: decode_image(start + data, "frame_7"), "frame_7")


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )


def _jpeg(width: int, height: int) -> bytes:
    small = WHOLE["jpeg"]
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + struct.pack(">HH", height, width) + small[at + 4 :]


@pytest.mark.parametrize("make", [_png, _jpeg])
@pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000), (65_000, 520)])
def test_an_image_that_claims_to_be_huge_is_refused_by_its_header(make, size):
    with pytest.raises(InputError, match=r"^frame_7 is .*; an image may have 33,554,432 pixels at most$"):
        decode_image(make(*size), "frame_7")


def test_unusual_images_are_read_as_what_they_are():
    plain = {
        "1 x 1": (_encoded(Image.new("RGB", (1, 1), (9, 9, 9)), "PNG"), (1, 1, 3), 9),
        "grey": (_encoded(Image.new("L", (6, 4), 77), "PNG"), (4, 6, 3), 77),
        "transparent": (_encoded(Image.new("RGBA", (6, 4), (5, 5, 5, 0)), "PNG"), (4, 6, 3), 5),
        "palette": (_encoded(Image.new("P", (6, 4), 0), "PNG"), (4, 6, 3), 0),
        "CMYK": (_encoded(Image.new("CMYK", (6, 4), (0, 0, 0, 0)), "JPEG"), (4, 6, 3), 255),
    }
    for data, shape, value in plain.values():
        image = decode_image(data, "x")
        assert image.shape == shape
        assert np.abs(image.astype(int) - value).max() <= 1
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    assert decode_image(_encoded(PICTURE, "JPEG", exif=exif), "x").shape == (48, 64, 3)


@settings(max_examples=300)
@given(
    width=st.integers(1, 80),
    height=st.integers(1, 80),
    quality=st.integers(5, 100),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    optimize=st.booleans(),
    rows=st.integers(0, 2),
    kind=st.sampled_from(["scene", "grey", "flat", "mid-grey"]),
    trailer=st.sampled_from([b"", b"\0" * 7, b"\xff\xd8 a preview \xff\xd9"]),
)
def test_no_sound_jpeg_is_called_damaged(width, height, quality, subsampling, optimize, rows, kind, trailer):
    kinds = {
        "scene": Image.fromarray(_scene(width, height, quality)),
        "grey": Image.fromarray(_scene(width, height, quality)).convert("L"),
        "flat": Image.new("RGB", (width, height), (9, 200, 40)),
        "mid-grey": Image.new("RGB", (width, height), (128, 128, 128)),
    }
    image = kinds[kind]
    data = _encoded(
        image, "JPEG", quality=quality, subsampling=subsampling, optimize=optimize, restart_marker_rows=rows
    )
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(decode_image(data + trailer, "x"), expected)


@settings(max_examples=100)
@given(place=st.floats(0.1, 0.7), seed=st.integers(0, 10**6), how=st.sampled_from(["noise", "hole", "zeros"]))
def test_a_jpeg_with_a_bad_sector_is_noticed(place, seed, how):
    data = _encoded(Image.fromarray(_scene(320, 240, 1)), "JPEG", quality=92)
    start = data.index(b"\xff\xda") + 20
    at = start + int(place * (len(data) - start))
    noise = np.random.default_rng(seed).bytes(512)
    instead = {"noise": noise, "hole": b"", "zeros": bytes(512)}[how]
    spoilt = data[:at] + instead + data[at + 512 :]
    with pytest.raises(InputError, match="frame_7 is a damaged JPEG"):
        decode_image(spoilt, "frame_7")


@pytest.mark.parametrize("name", ["with space.jpg", "naïve 雪.png", "frame_1'\".jpg"])
def test_unusual_names(tmp_path, name):
    (tmp_path / name).write_bytes(WHOLE["png"])
    assert read_image(tmp_path / name).shape == (48, 64, 3)


def test_what_is_no_plain_file_is_refused_at_once(tmp_path, judged):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "endless.jpg").symlink_to("/dev/zero")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("pipe.jpg", "endless.jpg", "loop.jpg", "folder.jpg", "x" * 400 + ".jpg"):
        assert judged(lambda name=name: read_image(tmp_path / name), name) is None
        assert judged(lambda name=name: list(read_movie(tmp_path / name)), name) is None


@settings(max_examples=150)
@given(data=st.data())
def test_damaged_movies(tmp_path, save_movie, damaged, judged, data):
    path = tmp_path / "1.avi"
    if not path.exists():
        (tmp_path / "whole.bin").write_bytes(save_movie(path, [GRAIN] * 6).read_bytes())
    path.write_bytes(data.draw(damaged((tmp_path / "whole.bin").read_bytes())))
    count = judged(lambda: count_movie_frames(path), "1.avi")
    frames = judged(lambda: list(read_movie(path)), "1.avi")
    if count is not None and frames is not None:
        assert len(frames) == count
