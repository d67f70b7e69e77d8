"""A video for people: the error as a heat map in each frame, the score as a curve with a moving cursor below it.

Frames come in as RGB, uint8 of shape (H, W, 3); what is drawn is BGR, as OpenCV writes it.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import Flags, Values
from vad.errors import InputError
from vad.images.decode import Image, decoding_pool
from vad.system.files import folder_beside, replacing
from vad.system.threads import available

# The first that OpenCV can write is taken: VP9 is in its wheels, H.264 in few builds, MPEG-4 in all, but in no browser.
CODECS = {"vp09": "VP9", "avc1": "H.264", "mp4v": "MPEG-4 part 2"}
IN_BROWSERS = ("VP9", "H.264")
# Pictures that are encoded as one part, a multiple of OpenCV's distance of key frames; how many parts at once.
_PART, _WORKERS = 24, 4
_NARROWEST, _WIDEST = 640, 1280
_STRONGEST = 0.85  # how much of a frame the hottest error covers

_GROUND, _RULE, _FAINT, _TEXT, _WHITE = (29, 24, 22), (62, 54, 50), (140, 128, 120), (218, 212, 206), (255, 255, 255)
_CURVE, _LABEL = (233, 180, 86), (0, 159, 230)  # Okabe and Ito's sky blue and orange
_BITS = 4  # fractional bits of a coordinate, so that nothing jumps from pixel to pixel


class Scene:
    """One video's frames with their errors and scores: `draw` gives each as a picture of `size` (width, height)."""

    def __init__(
        self, shape: Sequence[int], scores: Values, labels: Flags | None, names: Sequence[str], maker: str, most: float
    ):
        """`shape` is that of a frame; `scores`, `labels` and `names` are of its N frames; an error of `most` is the hottest."""
        height, width = shape[:2]
        self._width = _even(min(max(width, _NARROWEST), _WIDEST))
        self._height = _even(height * self._width / width)
        self._bar = _ScoreBar(self._width, scores, labels, names, maker)
        self._most = most
        self.size = self._width, self._height + self._bar.height

    def draw(self, position: int, frame: Image, error: NDArray[np.floating] | None) -> Image:
        """The frame at this position with its error, of shape (h, w) of any size, burnt in; None leaves it as it is."""
        filtering = cv2.INTER_AREA if self._width < frame.shape[1] else cv2.INTER_CUBIC
        image: Image = cv2.resize(frame[..., ::-1], (self._width, self._height), interpolation=filtering)  # type: ignore[assignment]  # the stubs lose the bytes
        if error is not None:
            image = burn_in(image, error, self._most)
        return np.concatenate([image, self._bar.draw(position)])


# For each of 256 levels of error its colour, without the darkest, which look like no error, and how much it covers.
_LEVELS = np.linspace(80, 255, 256).astype(np.uint8)
_HEAT = cv2.applyColorMap(_LEVELS[:, None], cv2.COLORMAP_INFERNO)[:, 0].astype(np.float32)
_COVERS = (_STRONGEST * np.clip((np.arange(256) / 255 - 0.06) / 0.5, 0, 1)).astype(np.float32)


def burn_in(image: Image, error: NDArray[np.floating], most: float) -> Image:
    """The image with the error over it: clear where there is none, bright yellow where it is `most` or more."""
    level = (255 * np.sqrt(np.clip(error / most, 0, 1))).astype(np.uint8)  # errors are squares
    level = cv2.resize(level, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(image + (_HEAT[level] - image) * _COVERS[level][..., None], np.uint8)


class _ScoreBar:
    """The strip below a frame: the score over the whole video, where in it the frame is, and both in words."""

    def __init__(self, width: int, scores: Values, labels: Flags | None, names: Sequence[str], made_by: str):
        self._unit = width / 640
        self.height = _even(124 * self._unit)
        self._scores, self._names = scores, names
        self._labels = np.zeros(len(scores), bool) if labels is None else labels
        self._left, self._right = self._px(32), width - self._px(96)
        self._top, self._bottom = self._px(44), self.height - self._px(16)
        low, high = float(scores.min()), float(scores.max())
        if low >= 0 and high <= 1:
            low, high = 0.0, 1.0  # most scores lie in 0 to 1; a quiet video shall look quiet
        self._x = np.linspace(self._left, self._right, max(2, len(scores)))[: len(scores)]
        self._y = self._bottom - (scores - low) / ((high - low) or 1.0) * (self._bottom - self._top)

        ground = np.full((self.height, width, 3), _GROUND, np.uint8)
        self._shade_labels(ground)
        for value, y in ((high, self._top), (low, self._bottom)):
            cv2.line(ground, (self._left, y), (self._right, y), _RULE, 1)
            self._write(ground, f"{value:.3g}", (-(self._left - self._px(6)), y + self._px(4)), 0.36, _FAINT)
        self._write(ground, made_by, (-(width - self._px(14)), self._px(22)), 0.42, _FAINT, 0.44 * width)
        self._write(ground, "score", (self._right + self._px(16), self._top + self._px(10)), 0.4, _FAINT)
        self._ahead, self._passed = ground.copy(), ground.copy()
        line = np.stack([self._x, self._y], 1)
        below = np.concatenate([line, [[self._x[-1], self._bottom], [self._x[0], self._bottom]]])
        cv2.fillPoly(self._passed, [_fine(below)], _CURVE, cv2.LINE_AA, _BITS)
        cv2.addWeighted(self._passed, 0.22, ground, 0.78, 0, self._passed)  # a tint below the curve
        for strip, colour, thick in ((self._ahead, _FAINT, 1), (self._passed, _CURVE, 2)):
            cv2.polylines(strip, [_fine(line)], False, colour, self._px(thick), cv2.LINE_AA, _BITS)

    def draw(self, position: int) -> Image:
        """The strip with the cursor on this frame: what has passed is bright, what is to come is faint."""
        strip, at = self._ahead.copy(), np.asarray([self._x[position], self._y[position]])
        here = round(at[0])
        strip[:, self._left : here] = self._passed[:, self._left : here]
        ends = _fine(np.asarray([[at[0], self._top - self._px(6)], [at[0], self._bottom + self._px(6)]]))
        cv2.line(strip, ends[0].tolist(), ends[1].tolist(), _WHITE, 1, cv2.LINE_AA, _BITS)
        for radius, colour in ((4.5, _WHITE), (3.0, _CURVE)):
            cv2.circle(strip, _fine(at).tolist(), round(radius * self._unit * 2**_BITS), colour, -1, cv2.LINE_AA, _BITS)
        end = self._write(strip, self._names[position], (self._px(14), self._px(22)), 0.46, _TEXT)
        if self._labels[position]:
            self._write(strip, "labelled anomalous", (end + self._px(14), self._px(22)), 0.46, _LABEL)
        number, room = f"{self._scores[position]:.3f}", self._px(78)
        self._write(strip, number, (self._right + self._px(15), self._top + self._px(36)), 0.72, _WHITE, room)
        return strip

    def _px(self, length: float) -> int:
        """A length of a bar 640 wide in pixels of this one."""
        return round(length * self._unit)

    def _write(
        self, strip: Image, text: str, at: tuple[int, int], scale: float, colour: tuple[int, ...], room: float = np.inf
    ) -> int:
        """Write text that starts at x, or ends at -x where x is negative, cut where it is wider than `room`; return its end."""
        (x, y), font, scale = at, cv2.FONT_HERSHEY_SIMPLEX, scale * self._unit

        def wide(words: str) -> int:
            return cv2.getTextSize(words, font, scale, 1)[0][0]

        if wide(text) > room:
            text = next(cut for n in range(len(text), -1, -1) if wide(cut := f"{text[:n]}...") <= room)
        start = x if x >= 0 else -x - wide(text)
        cv2.putText(strip, text, (start, y), font, scale, colour, 1, cv2.LINE_AA)
        return start + wide(text)

    def _shade_labels(self, strip: Image) -> None:
        """Labelled spans, from half a frame before the first frame to half a frame after the last."""
        step = (self._right - self._left) / max(1, len(self._x) - 1)
        for a, b in np.flatnonzero(np.diff(self._labels.astype(np.int8), prepend=0, append=0)).reshape(-1, 2):
            ends = np.clip([self._x[a] - step / 2, self._x[b - 1] + step / 2], self._left, self._right)
            area = strip[self._top : self._bottom, round(ends[0]) : max(round(ends[0]) + 2, round(ends[1]))]
            area[:] = 0.7 * area + 0.3 * np.asarray(_LABEL)


def _fine(points: NDArray[np.floating]) -> NDArray[np.int32]:
    """Coordinates as OpenCV takes them, with `_BITS` fractional bits."""
    return np.asarray(np.round(points * 2**_BITS), np.int32)


def _even(length: float) -> int:
    """As an even number: codecs halve the colours' resolution."""
    return max(2, 2 * round(length / 2))


def write_movie(path: Path, pictures: Iterable[Image], size: tuple[int, int], fps: float) -> str:
    """Write BGR pictures of this size (width, height) as an .mp4, whole or not at all; the codec that was written.

    Raises InputError where no codec can be written, and where not all of it fits on the disk.
    """
    with replacing(path) as temporary, folder_beside(path.with_name(f"{path.name}.parts")) as folder:
        whole = folder / "whole.mp4"  # OpenCV tells the format from the ending
        code = next((code for code in CODECS if _writer(whole, code, size, fps).isOpened()), None)
        if code == "vp09":
            count = _encode_in_parts(folder, whole, iter(pictures), size, fps)
        elif code:
            count = _encode(whole, code, pictures, size, fps)
        else:
            tried = f"OpenCV {cv2.__version__} can write no video here (tried {', '.join(CODECS.values())})"
            raise InputError(f"{tried}; reinstall opencv-python-headless by pip")
        kept = int(cv2.VideoCapture(str(whole)).get(cv2.CAP_PROP_FRAME_COUNT))
        if kept != count:  # a writer says nothing of it
            raise InputError(f"cannot write {path}: of {count} frames {kept} arrived; make room on the disk")
        os.replace(whole, temporary)
    return CODECS[code]


def _encode_in_parts(folder: Path, whole: Path, pictures: Iterator[Image], size: tuple[int, int], fps: float) -> int:
    """Encode VP9 on several cores, a part each; how many pictures there were.

    OpenCV leaves the encoder at its slow settings, a tenth of a second and more for a frame, on one core.
    """
    workers = min(_WORKERS, available())
    running: deque[Future[int]] = deque()
    parts: list[Path] = []
    count = 0
    with decoding_pool(workers) as pool:
        while chunk := list(islice(pictures, _PART)):
            parts.append(folder / f"{len(parts)}.mp4")
            running.append(pool.submit(_encode, parts[-1], "vp09", chunk, size, fps))
            if len(running) > workers:  # no more pictures in memory than are being encoded, and one part
                count += running.popleft().result()
        count += sum(part.result() for part in running)
    # Mark the key frames that the encoder made, none by counting: a browser cannot seek to a missing one.
    raw = (cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1, cv2.VIDEOWRITER_PROP_KEY_INTERVAL, 2**30)
    joined = _writer(whole, "vp09", size, fps, *raw)
    for part in parts:
        packets = cv2.VideoCapture(str(part), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        while (found := packets.read())[0]:
            joined.set(cv2.VIDEOWRITER_PROP_KEY_FLAG, packets.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME))
            joined.write(found[1])
        part.unlink()
    joined.release()
    return count


def _encode(path: Path, code: str, pictures: Iterable[Image], size: tuple[int, int], fps: float) -> int:
    writer = _writer(path, code, size, fps)
    count = 0
    for count, picture in enumerate(pictures, 1):  # noqa: B007  # counted past the loop
        writer.write(picture)
    writer.release()
    return count


def _writer(path: Path, code: str, size: tuple[int, int], fps: float, *options: int) -> cv2.VideoWriter:
    return cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), fps, size, options)
