"""What the headers of an image tell: how large it is before any of it is decoded, and whether its data end where it does."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from vad.errors import InputError

_Image = NDArray[np.uint8]
# An image of 8K. It is asked of the header: the pixels of a small file can fill the memory.
MOST_PIXELS = 2**25
_PNG_START, _JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_SCAN, _RESTARTS, _END = 0xDA, 0xDD, b"\xff\xd9"
# In coded data FF is followed by a stuffed zero; what else may stand there are restarts, where they are announced.
_MARKER, _MARKER_BUT_RESTART = re.compile(rb"\xff[^\x00\xff]"), re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
# JPEG's frame headers are C0 to CF but for these three; RST, TEM and stuffed zeros have no length.
_NO_FRAME_HEADER = {0xC4, 0xC8, 0xCC}
_NO_LENGTH = {0x00, 0x01, *range(0xD0, 0xD8)}
_SEQUENTIAL = {0xC0, 0xC1}
_GREY, _TALLEST = 128, 65_000
# Bits that stand for something in every code table; a decoder that still lacks data takes them.
_MORE = b"\x55\xaa\x33" * 16


@dataclass(frozen=True)
class Frame:
    """A JPEG's first frame header, read as libjpeg does: its place, its kind, its size and its components' samplings."""

    at: int
    kind: int
    height: int
    width: int
    samplings: tuple[int, ...]

    @classmethod
    def of(cls, jpeg: bytes) -> Self | None:
        for marker, at in _segments(jpeg):
            if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME_HEADER:
                height, width = int.from_bytes(jpeg[at + 5 : at + 7]), int.from_bytes(jpeg[at + 7 : at + 9])
                count = jpeg[at + 9] if at + 9 < len(jpeg) else 0
                return cls(at, marker, height, width, tuple(jpeg[at + 11 : at + 11 + 3 * count : 3]))
        return None

    def unit(self) -> tuple[int, int]:
        """Height and width of what is coded together."""
        if len(self.samplings) == 1:
            return 8, 8
        return 8 * max(s & 15 for s in self.samplings), 8 * max(s >> 4 for s in self.samplings)


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Each marker before the coded data and the one that begins them, with its place."""
    at = jpeg.find(b"\xff", 2)
    while 0 <= at < len(jpeg) - 8:
        marker = jpeg[at + 1]
        if marker == 0xFF:  # filling
            at += 1
            continue
        yield marker, at
        if marker == _SCAN:
            return
        length = 0 if marker in _NO_LENGTH else int.from_bytes(jpeg[at + 2 : at + 4])
        at = jpeg.find(b"\xff", at + 2 + length)


def pixels(data: bytes, mode: int) -> _Image | None:
    """An image decoded as it lies, EXIF orientation ignored; None where that cannot be done."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.uint8)


def require_modest(data: bytes, where: str) -> None:
    """Raise InputError for what is neither JPEG nor PNG, or has too many pixels by its header."""
    height, width = 0, 0
    if data.startswith(_JPEG_START):
        if frame := Frame.of(data):
            height, width = frame.height, frame.width
    elif data.startswith(_PNG_START):
        width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    else:
        raise InputError(f"{where} is neither a JPEG nor a PNG; restore or remove it")
    require_few_pixels(height, width, where)


def require_few_pixels(height: int, width: int, where: str) -> None:
    """Raise InputError for a picture that is too large to be a frame."""
    if height * width > MOST_PIXELS:
        raise InputError(f"{where} is {width:,} x {height:,}; an image may have {MOST_PIXELS:,} pixels at most")


def decode_grey_to_the_end(jpeg: bytes, where: str) -> _Image | None:
    """A JPEG's brightness, (H, W), with a check that its data last for the picture and no longer.

    Damage in the middle is decoded without an error, but as a rule to too many or too few blocks. So the picture is
    decoded as if it were two rows of blocks taller: of these only the first block may hold anything, and it does hold
    something, as that is where the decoder finds out that there are no more data. A JPEG has no checksum: where the
    number of blocks comes out right, as after three of four single flipped bits, nobody can tell.

    None where this cannot be told (PNG, progressive JPEG). Raises InputError that names `where`.
    """
    frame = Frame.of(jpeg) if jpeg.startswith(_JPEG_START) else None
    if frame is None or frame.kind not in _SEQUENTIAL or (end := _end_of_data(jpeg, frame)) is None:
        return None
    rows, columns = frame.unit()
    below = -(-frame.height // rows) * rows if rows else 0
    if not columns or not 0 < below < _TALLEST:
        return None
    taller = jpeg[: frame.at + 5] + (below + 2 * rows).to_bytes(2) + jpeg[frame.at + 7 :]
    # The decoder is asked for brightness alone: colours would be mixed with those of the row below.
    image = pixels(taller, cv2.IMREAD_GRAYSCALE)
    if image is None:
        return None
    first, others = image[below : below + 8, :8], (image[below : below + rows, columns:], image[below + rows :])
    stray = not jpeg.startswith(_END, end)
    too_long = any((other != _GREY).any() for other in others)
    # The first block may be mid-grey by chance; then it is seen whether more data would change the picture.
    if stray or too_long or ((first == _GREY).all() and _wants_more(jpeg, end)):
        raise InputError(
            f"{where} is a damaged JPEG (its data do not end where the picture does); restore or remove it"
        )
    return np.asarray(image[: frame.height], np.uint8)


def _end_of_data(jpeg: bytes, frame: Frame) -> int | None:
    """Where the first marker in the coded data is; None where components, at most three, are not coded together."""
    places = dict(_segments(jpeg))
    start = places.get(_SCAN)
    if start is None or jpeg[start + 4] != len(frame.samplings) or len(frame.samplings) not in (1, 3):
        return None
    found = (_MARKER_BUT_RESTART if _RESTARTS in places else _MARKER).search(jpeg, start + 2)
    return found.start() if found else None


def _wants_more(jpeg: bytes, end: int) -> bool:
    given, longer = (pixels(data, cv2.IMREAD_COLOR) for data in (jpeg, jpeg[:end] + _MORE + jpeg[end:]))
    return given is not None and longer is not None and not np.array_equal(given, longer)
