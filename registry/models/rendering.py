"""Render a test video as a registered model sees it: its frames under the heat map, its scores below them."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from registry.console import Bar, plural, say
from registry.models.loaded import ModelProcess
from registry.models.submission import Request, model_and_data, require_data_of, require_file
from registry.models.versions import Version, Versions
from registry.models.worker import write_maps
from registry.store.tracking import Tracking
from vad.data.frame_index import number_of
from vad.data.frameset import Split
from vad.errors import InputError
from vad.frames.store import Advance, SplitSource
from vad.images.decode import Image
from vad.scoring.render import Scene, write_movie

# The hottest colour is this quantile of the frames' largest values, so that one outlier does not make all others pale.
_WITHIN = 0.95
_SOME = 64  # frames of which the median cell is taken


@dataclass(frozen=True)
class Rendered:
    """A written video: how many frames of which size (width, height) by which codec, and what made them."""

    path: Path
    frames: int
    size: tuple[int, int]
    codec: str
    version: Version
    variant: str
    members: tuple[str, ...]


def render(request: Request, video: str, fps: float, home: Path) -> Rendered:
    """Write a test video with the scores of a registered model and the mean of its members' maps. Raises InputError."""
    versions = Versions(Tracking())
    version, dataset = model_and_data(request, versions, home)
    assert dataset.frames is not None
    test = dataset.frames.test
    place = _place(test, video)
    span, only = test.index.spans[place], Split("test", (test.videos[place],))
    path = Path(request.out or f"renders/{dataset.name}-{only.videos[0].title}-v{version.number}.mp4")
    if path.suffix != ".mp4":
        raise InputError(f"OUT={path} must end with .mp4")
    require_file(path)
    for note in require_data_of(version, request.model, dataset, versions):
        say(f"  note: {note}")
    model = versions.load(version)
    ensemble = model.ensemble
    with Bar("decode test", len(test)) as bar:
        whole, index = ensemble.decode(test, home / "frames", bar.advance)
    frames = {view: values[span] for view, values in whole.items()}
    index = replace(only.index, usable=None if index.usable is None else index.usable[span])
    members = len(ensemble.members)
    with Bar(f"score, {plural(members, 'member')}", len(only) * members) as bar:
        scores = ensemble.score(frames, index, model.device, advance=bar.advance)
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        maps = []
        with Bar(f"maps, {plural(members, 'member')}", len(only) * members) as bar:
            for name in ensemble.members:
                given = name, frames[ensemble.view(name)], index, folder / f"{name}.npy", bar.advance
                peaks = ensemble.write_maps(*given) if isinstance(ensemble, ModelProcess) else write_maps(model, *given)
                maps.append(_Maps(peaks, given[3]))
        if without := sum(_mean(maps, position) is None for position in range(len(only))):
            say(f"  {plural(without, 'frame')} without a heat map: no member scores {'it' if without == 1 else 'them'}")
        labels = dataset.labels.values[span] if dataset.labels else None
        names = [f"video {only.videos[0].title}   frame {frame}" for frame in only.index.frame]
        made_by = f"model v{version.number}, {ensemble.variant_name}"
        scene = Scene(next(_originals(only)).shape, scores, labels, names, made_by, 1.0)
        drawn = (_mean(maps, position) for position in range(len(only)))
        with Bar("write", len(only)) as bar:
            codec = write_movie(path, _pictures(scene, only, drawn, bar.advance), scene.size, fps)
    return Rendered(path, len(only), scene.size, codec, version, ensemble.variant_name, tuple(ensemble.members))


class _Maps:
    """A member's maps of a video: the largest value of each frame's, (N,), NaN where it has none, and the file they are in."""

    def __init__(self, peaks: NDArray[np.float64], file: Path):
        self._known = ~np.isnan(peaks)
        self._maps = np.load(file, mmap_mode="r") if self._known.any() else None
        self._typical, self._hottest = 0.0, 1.0
        if self._maps is not None:
            places = np.flatnonzero(self._known)
            some = self._maps[places[:: max(1, len(places) // _SOME)]]
            self._typical, hottest = float(np.median(some)), float(np.quantile(peaks[places], _WITHIN))
            self._hottest = hottest if hottest > self._typical else self._typical + 1.0

    def of(self, position: int) -> NDArray[np.float32] | None:
        """Return a frame's map, (h, w), 0 where it is as most cells of the video or less, 1 where it is hottest; or None."""
        if self._maps is None or not self._known[position]:
            return None
        found = self._maps[position].astype(np.float32)
        return np.asarray(np.clip((found - self._typical) / (self._hottest - self._typical), 0, 1))


def _mean(maps: list[_Maps], position: int) -> NDArray[np.float32] | None:
    """Return the mean of a frame's maps, at the size of the largest; None where there is none."""
    found = [one for known in maps if (one := known.of(position)) is not None]
    if len(found) < 2:
        return found[0] if found else None
    height, width = max((one.shape for one in found), key=lambda shape: shape[0] * shape[1])
    sized = [cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in found]
    return np.asarray(np.mean(sized, axis=0), np.float32)


def _place(test: Split, video: str) -> int:
    """Return which of the videos has this name, a number with or without zeros in front. Raises InputError that names those there are."""
    titles, number = [known.title for known in test.videos], number_of(video)
    wanted = video if number is None else str(number)
    if wanted not in titles:
        raise InputError(f"VIDEO={video} is not a test video; there are {', '.join(titles)}")
    return titles.index(wanted)


def _originals(split: Split) -> Iterator[Image]:
    """Yield the frames of one video in their own size, RGB, in order."""
    for task in SplitSource(split).tasks():
        for _, image in task():
            yield image


def _pictures(scene: Scene, split: Split, errors: Iterator[Any], advance: Advance) -> Iterator[Image]:
    for position, (image, error) in enumerate(zip(_originals(split), errors, strict=True)):
        yield scene.draw(position, image, error)
        advance(1)
