"""Decode images and movies to RGB frames, and resize frames."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import simplejpeg
from numpy.typing import NDArray

from vad.errors import InputError
from vad.system.files import reading, require_no_pointer, require_plain
from vad.system.threads import available, using

# The triangle filter, widened with the scale: what PIL calls BILINEAR and the reference resizes with.
RESIZE_FILTER = "antialiased-bilinear"
# An 8K image. Read from the header before decoding: a small file can hold more pixels than memory.
MOST_PIXELS = 2**25

_TO_8_BITS = "and frames have 8: scale all frames, train and test alike, by one range to 8 bits first"

Image = NDArray[np.uint8]
# Where Pillow warns, this module raises: OpenCV fails, or the image is too large.
warnings.filterwarnings("ignore", module=r"PIL\.")
_JPEG_START, _LOSS = b"\xff\xd8", 127
_READ_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
# Movies with the exact number of frames in the header; for others it is an estimate from the duration.
_EXACT_COUNT = {".avi", ".mp4", ".mov", ".m4v"}
FEWER_AT_THE_END, _ESTIMATE_OFF = 2, 0.05


def decode_image(data: bytes, where: str) -> Image:
    """Decode a JPEG, PNG, BMP, TIFF or WebP to RGB, uint8 of shape (H, W, 3), EXIF's orientation ignored. Raises InputError."""
    image = _decode(data, where)
    if image.dtype != np.uint8:
        fix = "(as in `magick mogrify -level LOW,HIGH -depth 8`, with the lowest and highest train value)"
        raise InputError(f"{where} has {image.itemsize * 8} bits a value, {_TO_8_BITS} {fix}")
    return image


def _decode(data: bytes, where: str) -> NDArray[Any]:
    if not data:
        raise InputError(f"{where} is empty (0 bytes); restore or remove it")
    if not data.startswith(_JPEG_START):
        return _decode_other(data, where)
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        _require_few_pixels(height, width, where)
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB", strict=True), np.uint8)
    except ValueError as error:
        raise InputError(f"{where} is a damaged JPEG ({error}); restore or remove it") from None


def _decode_other(data: bytes, where: str) -> NDArray[Any]:
    require_no_pointer(data, where)
    try:
        header = PIL.Image.open(io.BytesIO(data), formats=("PNG", "BMP", "TIFF", "WEBP"))
        pictures = getattr(header, "n_frames", 1)
    except PIL.Image.DecompressionBombError:
        raise InputError(f"{where} is too large; an image may have {MOST_PIXELS:,} pixels at most") from None
    except PIL.UnidentifiedImageError:
        raise InputError(f"{where} is not a JPEG, PNG, BMP, TIFF or WebP; restore or remove it") from None
    except Exception as error:  # a damaged header raises many kinds
        raise InputError(f"{where} is a damaged image ({error}); restore or remove it") from None
    _require_few_pixels(header.height, header.width, where)
    if pictures > 1:
        raise InputError(f"{where} holds {pictures} images; a frame is one: write each to its own file")
    image = None
    with contextlib.suppress(Exception):  # of many kinds
        if header.format == "TIFF":  # OpenCV skips strips that it cannot decode
            header.load()
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _READ_FLAGS)
    if image is None:
        raise InputError(f"{where} is a damaged {header.format}, or of an unsupported kind; restore or remove it")
    return np.asarray(image)


def _require_few_pixels(height: int, width: int, where: str) -> None:
    if height * width > MOST_PIXELS:
        raise InputError(f"{where} is {width:,} x {height:,}; an image may have {MOST_PIXELS:,} pixels at most")


def read_image(path: Path) -> Image:
    """Read an image file as RGB, uint8 of shape (H, W, 3). Raises InputError with the path."""
    with reading(path):
        return decode_image(path.read_bytes(), str(path))


def read_mask(path: Path) -> NDArray[Any]:
    """Read an image of a mask as grey values of 8 or 16 bits, (H, W); those of a JPEG, which is lossy, count above 127. Raises InputError."""
    with reading(path):
        data = path.read_bytes()
        values = cv2.cvtColor(_decode(data, str(path)), cv2.COLOR_RGB2GRAY)
    return np.where(values > _LOSS, values, 0) if data.startswith(_JPEG_START) else values


def read_movie(path: Path) -> Iterator[Image]:
    """Yield the frames of a video file, RGB, uint8 of shape (H, W, 3). Raises InputError; for lost frames only after the last one."""
    with _opened(path) as capture:
        for _ in _grabbed(capture, path):
            good, frame = capture.retrieve()
            if not good:
                raise InputError(f"{path} holds a frame that cannot be decoded; restore or remove it")
            yield np.ascontiguousarray(frame[..., ::-1])


def count_movie_frames(path: Path) -> int:
    """Return how many frames a video file really holds, by decoding them all. Raises InputError as `read_movie` does."""
    with _opened(path) as capture:
        count = sum(1 for _ in _grabbed(capture, path))
    if not count:
        raise InputError(f"{path} holds no frame that can be decoded; restore or remove it")
    return count


def _grabbed(capture: cv2.VideoCapture, path: Path) -> Iterator[int]:
    """Yield the number of each decoded frame; then compare the count with the header's: a few less are normal."""
    claimed, rate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
    times: list[float] = []  # of each frame, in frames of the header's rate
    while capture.grab():
        now = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 * rate
        times.append(max([now, *times[-1:]]))  # the last of an .mpg comes without a time
        yield len(times) - 1
    if not (count := len(times)) or claimed <= 0:
        return
    lost, some, exact = claimed - count, FEWER_AT_THE_END, path.suffix.lower() in _EXACT_COUNT
    if not exact:  # the rate may vary, so compare the last frame's time with the duration
        lost, some = round(claimed - 1 - times[-1]), some + round(_ESTIMATE_OFF * claimed)
    if lost > some:
        there = f"gave {count} of its {claimed} frames" if exact else f"ends about {lost} frames too early"
        raise InputError(f"{path} {there}: it is cut off or damaged; restore or remove it")
    if exact and lost > 0 and (times[-1] > count - 0.5 or _ends_whole(path, claimed) or capture.grab()):
        raise InputError(f"{path} lost {lost} of its {claimed} frames before its end; restore or remove it")
    if not exact and (gap := _gap(times)) is not None:
        fault = f"{path} has a gap after frame {gap}: it is damaged, or the camera dropped frames"
        raise InputError(f"{fault}; restore it, or fill the gap (`ffmpeg -i OLD -fps_mode cfr NEW.mp4`)")


def _ends_whole(path: Path, claimed: int) -> bool:
    """Return whether an .avi lacks frames although its index, at the end, is there. Its frames have no usable timestamps."""
    if path.suffix.lower() != ".avi":
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64 * claimed - 2**16))  # 16 bytes for a video or audio packet
        if b"idx1" not in file.read():
            return False
    packets = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
    count = sum(1 for _ in iter(lambda: packets.read()[0], False))
    packets.release()
    return 0 < count < claimed


def _gap(times: list[float]) -> int | None:
    """Return the frame after which others are missing, if all others come at one rate; None for a variable rate."""
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 0.0
    odd = np.abs(steps - usual) > usual / 2
    wide = np.flatnonzero(steps > 1.5 * usual)
    return int(wide[0]) if len(wide) and usual > 0 and odd.mean() < 0.1 else None  # beyond, the rate varies


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    with contextlib.suppress(OSError):  # then it cannot be opened either
        require_plain(path)
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise InputError(f"{path} is not a video that can be decoded; restore or remove it")
        height, width = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
        _require_few_pixels(height, width, str(path))
        pixels = int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)).to_bytes(4, "little", signed=True)
        kind, bits = (pixels[:2], pixels[3]) if pixels[:1].isalpha() else (pixels[:1:-1], pixels[0])
        if (kind == b"Y1" and bits > 8) or (
            kind[1:].isdigit() and bits in (14, 16)
        ):  # else 10 or 12, as cameras show them
            raise InputError(f"{path} has {bits} bits a value, {_TO_8_BITS}")
        yield capture
    finally:
        capture.release()


def resize(image: Image, height: int, width: int) -> Image:
    """Resize an image, (H, W, 3) or (H, W), to height and width by antialiased bilinear filtering, within one grey level of PIL's BILINEAR."""
    if image.shape[:2] == (height, width):
        return image
    import torch  # commands that resize nothing start a second earlier without it

    grey = image.ndim == 2
    # Add the batch axis before permuting: only then does the kernel see the channels_last layout, and keeps it.
    planes = torch.from_numpy(image[..., None] if grey else image)[None].permute(0, 3, 1, 2)
    small = torch.nn.functional.interpolate(planes, (height, width), mode="bilinear", antialias=True)
    return np.ascontiguousarray(small[0, 0].numpy() if grey else small[0].permute(1, 2, 0).numpy())


@contextlib.contextmanager
def decoding_pool(workers: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads that each decode and resize on one core; by default each library would use all cores."""
    cv_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with using(1):
        pool = ThreadPoolExecutor(workers or available(), thread_name_prefix="decode")
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
            cv2.setNumThreads(cv_threads)
