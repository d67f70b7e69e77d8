"""One test video as a registered model sees it: its frames with the error burnt in, its scores below them."""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

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

# In this share of the frames no pixel is beyond the hottest colour: one outlier must not make all others pale.
_WITHIN = 0.95


@dataclass(frozen=True)
class Rendered:
    """A written video: how many frames of which size (width, height) by which codec, and what made them."""

    path: Path
    frames: int
    size: tuple[int, int]
    codec: str
    version: Version
    variant: str
    member: str


def render(request: Request, video: str, fps: float, home: Path) -> Rendered:
    """Write a test video with the scores of a registered model and the maps of its largest member. Raises InputError."""
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
    name = max(ensemble.members, key=lambda name: math.prod(ensemble.view(name).shape))
    seen = frames[ensemble.view(name)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "maps.npy"
        with Bar(f"maps of {name}", len(only)) as bar:
            if isinstance(ensemble, ModelProcess):
                peaks = ensemble.write_maps(name, seen, index, file, bar.advance)
            else:
                peaks = write_maps(model, name, seen, index, file, bar.advance)
        known = ~np.isnan(peaks)
        hottest = float(np.quantile(peaks[known], _WITHIN)) if known.any() else 0.0
        found = np.load(file, mmap_mode="r") if known.any() else peaks
        if not known.all():
            say(f"  {np.sum(~known)} frames have no heat map: {name} does not score them")
        labels = dataset.labels.values[span] if dataset.labels else None
        names = [f"video {only.videos[0].title}   frame {frame}" for frame in only.index.frame]
        made_by = f"model v{version.number}, {ensemble.variant_name}"
        scene = Scene(next(_originals(only)).shape, scores, labels, names, made_by, hottest or 1.0)
        maps = (found[n].astype(np.float32) if known[n] else None for n in range(len(only)))
        with Bar("write", len(only)) as bar:
            codec = write_movie(path, _pictures(scene, only, maps, bar.advance), scene.size, fps)
    return Rendered(path, len(only), scene.size, codec, version, ensemble.variant_name, name)


def _place(test: Split, video: str) -> int:
    """Return which of the videos has this name, a number with or without zeros in front. Raises InputError that names those there are."""
    titles, number = [known.title for known in test.videos], number_of(video)
    wanted = video if number is None else str(number)
    if wanted not in titles:
        raise InputError(f"VIDEO={video} is no test video; there are {', '.join(titles)}")
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
