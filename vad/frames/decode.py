"""Files to RGB frames, and frames to the squares that the networks see."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vad.errors import InputError
from vad.files import require_plain
from vad.frames.headers import decode_grey_to_the_end, pixels, require_few_pixels, require_modest
from vad.threads import available

# The triangle filter, widened with the scale: what PIL calls BILINEAR and the reference resizes with.
RESIZE_FILTER = "antialiased-bilinear"

Image = NDArray[np.uint8]
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def read_bytes(path: Path) -> bytes:
    """A file's bytes. Raises InputError where it cannot be read or is empty."""
    try:
        require_plain(path)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    if not data:
        raise InputError(f"{path} is empty (0 bytes); restore or remove it")
    return data


def decode_image(data: bytes, where: str) -> Image:
    """Encoded bytes to RGB, uint8 of shape (H, W, 3); EXIF orientation is ignored, as the reference does.

    A JPEG that stops early is refused: the decoder would fill it up with grey and say nothing. So is an image
    that claims to be huge, before it is decoded. Raises InputError that names `where`.
    """
    return _decode(data, where, cv2.IMREAD_COLOR_RGB)


def decode_grey(data: bytes, where: str) -> Image:
    """As `decode_image`, but brightness alone, uint8 of shape (H, W), which takes two thirds of the time.

    It costs nothing here to refuse a JPEG, too, whose data do not end where the picture does.
    """
    _require_whole(data, where)
    grey = decode_grey_to_the_end(data, where)
    return _decode(data, where, cv2.IMREAD_GRAYSCALE) if grey is None else grey


def _decode(data: bytes, where: str, mode: int) -> Image:
    _require_whole(data, where)
    image = pixels(data, mode)
    if image is None:
        raise InputError(f"{where} is no image that can be decoded; restore or remove it")
    return image


def _require_whole(data: bytes, where: str) -> None:
    require_modest(data, where)
    if data.startswith(_JPEG_START) and not _has_an_end(data):
        raise InputError(f"{where} is a truncated JPEG (no end marker); restore or remove it")


def _has_an_end(jpeg: bytes) -> bool:
    """Whether the last scan is closed by an end marker, behind which some cameras write more."""
    if jpeg.endswith(_JPEG_END):
        return _JPEG_SCAN in jpeg
    return jpeg.rfind(_JPEG_END) > jpeg.rfind(_JPEG_SCAN) > 0


def read_image(path: Path) -> Image:
    """An image file as RGB, uint8 of shape (H, W, 3). Raises InputError with the path."""
    return decode_image(read_bytes(path), str(path))


def read_movie(path: Path) -> Iterator[Image]:
    """The frames of a video file in order, RGB, uint8 of shape (H, W, 3). Raises InputError with the path."""
    capture = _open(path)
    try:
        while True:
            good, frame = capture.read()
            if not good:
                return
            yield np.ascontiguousarray(frame[..., ::-1])
    finally:
        capture.release()


def count_movie_frames(path: Path) -> int:
    """How many frames a video file really holds: they are counted, as headers are often wrong."""
    capture = _open(path)
    try:
        count = 0
        while capture.grab():
            count += 1
    finally:
        capture.release()
    if not count:
        raise InputError(f"{path} holds no frame that can be decoded; restore or remove it")
    return count


def _open(path: Path) -> cv2.VideoCapture:
    with contextlib.suppress(OSError):  # then it cannot be opened either
        require_plain(path)
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise InputError(f"{path} is no video that can be decoded; restore or remove it")
    require_few_pixels(
        int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), str(path)
    )
    return capture


def resize(image: Image, size: int) -> Image:
    """An RGB image squeezed to (size, size, 3) by antialiased bilinear filtering; the aspect ratio is not kept.

    PyTorch's kernel for bytes: within one grey level of PIL's BILINEAR, and faster than an area filter.
    """
    if image.shape[:2] == (size, size):
        return image
    # The batch comes before the permutation: only then does the kernel see that colours lie last, and leaves them there.
    planes = torch.from_numpy(image)[None].permute(0, 3, 1, 2)
    small = torch.nn.functional.interpolate(planes, (size, size), mode="bilinear", antialias=True)
    return np.ascontiguousarray(small[0].permute(1, 2, 0).numpy())


@contextlib.contextmanager
def decoding_pool(workers: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Threads that each decode and resize on one core, instead of libraries that each want all cores."""
    torch_threads, cv_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(workers or available(), thread_name_prefix="decode")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch_threads)
        cv2.setNumThreads(cv_threads)
