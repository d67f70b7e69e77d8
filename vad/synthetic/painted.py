"""Painted anomalies on held-out normal frames, to measure without labels: patches of other frames that move through them."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import FrameIndex
from vad.data.frameset import Split
from vad.frames.store import SplitSource, Task, read_whole_movie
from vad.images.decode import Image, decode_image, read_image
from vad.synthetic.corruption import as_jpeg, corrupt, draw_kinds
from vad.synthetic.found_damage import Damage

PAINTING_CODE = 1  # raise it when a change to the code paints other frames for the same seed

SHARE = 0.3
SHORTEST, LONGEST = 8, 24
HEIGHTS = (0.12, 0.30)
SCALES = (0.6, 1.8)

_CANDIDATES = 6
_APART = 0.25
_FEATHER = 0.3
_LAYOUT, _FRAME = 1, 2

_Point = tuple[float, float]


@dataclass(frozen=True)
class _Stretch:
    """Frames `start` to `stop`, and the patch that moves through them. Lengths are fractions of the frame's sides."""

    start: int
    stop: int
    donor: int
    places: tuple[_Point, ...]  # around one of which it is cut, `height / scale` high
    height: float
    scale: float
    aspect: float  # its width by its height
    begin: _Point
    end: _Point


class PaintedSource(SplitSource):
    """A split's frames with painted anomalies, each by split, seed, position and damage alone; `labels` says which are painted.

    With `damage` the frames are put under what was found in test frames, else under the competition's law.
    """

    def __init__(self, split: Split, seed: int, damage: Damage | None = None):
        super().__init__(split)
        self._damage = damage
        self._seeds = (seed, int(split.digest[:16], 16))
        self.index: FrameIndex = split.index
        self._stretches = _plan(self.index.spans, np.random.default_rng([*self._seeds, _LAYOUT]))
        self._stretch_of = {p: s for s in self._stretches for p in range(s.start, s.stop)}
        self.labels: NDArray[np.bool_] = np.isin(np.arange(len(split)), list(self._stretch_of))
        found = f" under {damage.digest}" if damage else ""
        self.digest = hashlib.sha256(f"painted {PAINTING_CODE} {seed} {split.digest}{found}".encode()).hexdigest()

    def tasks(self) -> list[Task]:
        def work(task: Task) -> Iterator[tuple[int, Image]]:
            for position, image in task():
                yield position, self.corrupt(position, self.paint(position, image))

        _ = self._patches  # cut here, before threads ask for them
        return [partial(work, task) for task in super().tasks()]

    def paint(self, position: int, image: Image) -> Image:
        """The frame at a position with its anomaly, or, where there is none, as it is; uint8 of shape (H, W, 3)."""
        if (stretch := self._stretch_of.get(position)) is None:
            return image
        gone = (position - stretch.start) / max(1, stretch.stop - stretch.start - 1)
        x, y = (a + (b - a) * gone for a, b in zip(stretch.begin, stretch.end, strict=True))
        return _paste(image, self._patches[stretch], _box(image, (x, y), stretch.height, stretch.aspect))

    def corrupt(self, position: int, image: Image) -> Image:
        """Return the frame at a position with the noise and flip of a test frame, or corrupted by the competition's law and stored as JPEG."""
        generator = np.random.default_rng([*self._seeds, _FRAME, position])
        if self._damage:
            return self._damage.apply(image, generator)
        (kind,) = draw_kinds(1, generator)
        return decode_image(as_jpeg(corrupt(image, kind, generator)), f"painted frame {position}")

    @cached_property
    def _patches(self) -> dict[_Stretch, Image]:
        """The patch of each stretch. A movie is read once more for this."""
        patches: dict[_Stretch, Image] = {}
        for video, span in zip(self._split.videos, self.index.spans, strict=True):
            wanted = {s: s.donor - span.start for s in self._stretches if span.start <= s.donor < span.stop}
            if video.images is not None:
                images = {place: read_image(video.images[place]) for place in wanted.values()}
            else:
                frames = islice(read_whole_movie(video, 0), max(wanted.values(), default=-1) + 1)
                images = {place: image for place, image in frames if place in wanted.values()}
            patches |= {s: _cut(s, images[place]) for s, place in wanted.items()}
        return patches


def _plan(spans: tuple[slice, ...], generator: np.random.Generator) -> tuple[_Stretch, ...]:
    """Where patches are painted, from which frames they come, and how they move."""
    runs = [run for span in spans for run in _runs(span, generator)]
    total = spans[-1].stop
    if not runs and total > 1:
        # Videos too short for a share of their own: one frame in so many, at least one and never all.
        count = max(1, round(SHARE * total))
        runs = [(int(p), int(p) + 1) for p in sorted(generator.choice(total, count, replace=False))]
    return tuple(_stretch(run, spans, generator) for run in runs)


def _runs(span: slice, generator: np.random.Generator) -> list[tuple[int, int]]:
    """Runs of frames (start, stop) in one video that cover SHARE of it; shorter than SHORTEST only if they must be."""
    length = span.stop - span.start
    covered = round(SHARE * length)
    if covered == 0:
        return []
    count = max(1, round(covered / ((SHORTEST + LONGEST) / 2)))
    runs = np.full(count, min(SHORTEST, covered // count))
    for _ in range(covered - int(runs.sum())):
        runs[generator.choice(np.flatnonzero(runs < LONGEST))] += 1
    # A few frames at least lie between two runs, the others anywhere, before and after them included.
    between = min(SHORTEST // 2, (length - covered) // (count + 1))
    gaps = np.full(count + 1, between)
    gaps[[0, -1]] = 0
    gaps += generator.multinomial(length - covered - int(gaps.sum()), np.full(count + 1, 1 / (count + 1)))
    starts = span.start + np.cumsum(gaps[:-1]) + np.concatenate([[0], np.cumsum(runs)[:-1]])
    return [(int(start), int(start + run)) for start, run in zip(starts, runs, strict=True)]


def _stretch(run: tuple[int, int], spans: tuple[slice, ...], generator: np.random.Generator) -> _Stretch:
    start, stop = run
    own = next(span for span in spans if span.start <= start < span.stop)
    total = spans[-1].stop
    # From another video where there is one, else from outside the stretch, else from the stretch itself.
    outside = [p for p in range(total) if not own.start <= p < own.stop]
    choices = outside or [p for p in range(total) if not start <= p < stop] or list(range(total))
    height = float(generator.uniform(*HEIGHTS))
    scale = float(np.exp(generator.uniform(*np.log(SCALES))))
    begin = _point(margin := height / 2, generator)
    angle, step = generator.uniform((0.0, 0.004), (2 * math.pi, 0.020)).tolist()
    way = step * (stop - start - 1)
    x, y = np.clip(np.add(begin, (way * math.cos(angle), way * math.sin(angle))), margin, 1 - margin).tolist()
    donor = int(choices[int(generator.integers(len(choices)))])
    places = tuple(_elsewhere((begin, (x, y)), height / scale / 2, generator) for _ in range(_CANDIDATES))
    aspect = float(generator.uniform(0.5, 1.3))
    return _Stretch(start, stop, donor, places, height, scale, aspect, begin, (x, y))


def _point(margin: float, generator: np.random.Generator) -> _Point:
    x, y = generator.uniform(margin, 1 - margin, 2).tolist()
    return x, y


def _elsewhere(path: tuple[_Point, _Point], margin: float, generator: np.random.Generator) -> _Point:
    """A place away from where the patch will be: the camera is fixed, and there it would change nothing."""
    tried = [_point(margin, generator) for _ in range(12)]
    away = [min(math.dist(place, end) for end in path) for place in tried]
    return next((p for p, d in zip(tried, away, strict=True) if d >= _APART), tried[int(np.argmax(away))])


def _cut(stretch: _Stretch, donor: Image) -> Image:
    """The patch, at the donor's own scale: of all candidates the one of most contrast, as bare walls show nothing."""
    height = stretch.height / stretch.scale
    candidates = [donor[_box(donor, place, height, stretch.aspect)] for place in stretch.places]
    return max(candidates, key=lambda patch: float(patch.std())).copy()


def _box(image: Image, middle: _Point, height: float, aspect: float) -> tuple[slice, slice]:
    """The rows and columns of a patch with its middle there, moved so that it lies within the image."""
    rows, columns = image.shape[:2]
    high = min(max(2, round(height * rows)), rows)
    wide = min(max(2, round(high * aspect)), columns)
    left = min(max(0, round(middle[0] * columns - wide / 2)), columns - wide)
    top = min(max(0, round(middle[1] * rows - high / 2)), rows - high)
    return slice(top, top + high), slice(left, left + wide)


def _paste(image: Image, patch: Image, place: tuple[slice, slice]) -> Image:
    """A copy of the image with the patch in that box, its edges feathered."""
    painted = image.copy()
    box = painted[place]
    high, wide = box.shape[:2]
    way = cv2.INTER_AREA if patch.shape[0] > high else cv2.INTER_LINEAR
    scaled = np.asarray(cv2.resize(patch, (wide, high), interpolation=way), np.float32)
    x, y = np.linspace(-1, 1, wide)[None], np.linspace(-1, 1, high)[:, None]
    alpha = np.clip((1 - (x**4 + y**4) ** 0.25) / _FEATHER, 0, 1)[..., None].astype(np.float32)
    box[:] = np.rint(box + (scaled - box) * alpha).astype(np.uint8)
    return painted
