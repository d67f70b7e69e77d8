"""One test video as a registered model sees it: its frames with the error burnt in, its scores below them."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from registry.console import Console, plural
from registry.models.loaded import Apart
from registry.models.submission import model_and_data, require_data_of, require_file
from registry.models.versions import Version, Versions
from registry.models.worker import write_errors
from registry.store.tracking import Tracking
from vad.data.frameset import Split
from vad.errors import InputError
from vad.frames.store import Advance, SplitSource, open_frames
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


@dataclass(frozen=True, eq=False)
class _Errors:
    """A member's error in each frame of a video, (N, size, size), on disk; `known` says which frames have one."""

    maps: NDArray[np.float16]
    known: NDArray[np.bool_]
    most: float

    def at(self, position: int) -> NDArray[np.float32] | None:
        return self.maps[position].astype(np.float32) if self.known[position] else None


def render(
    model: str,
    video: str,
    data: str | None,
    out: str | None,
    fps: float,
    home: Path,
    console: Console,
    first_frame: int | None = None,
) -> Rendered:
    """Write a test video of `data` with the scores of a registered model and the error of its largest member.

    The scores are those of `submit`. Raises InputError for a model, data or video that are not
    there, and for an `out` that cannot be written.
    """
    versions = Versions(Tracking())
    version, dataset = model_and_data(model, data, versions, home, first_frame)
    assert dataset.frames is not None
    test = dataset.frames.test
    place = _place(test, video)
    span, only = test.index.spans[place], Split("test", (test.videos[place],))
    path = Path(out) if out else Path("renders") / f"{dataset.name}-{only.videos[0].id}-v{version.number}.mp4"
    if path.suffix != ".mp4":
        raise InputError(f"OUT={path} must end with .mp4")
    require_file(path)
    for note in require_data_of(version, model, dataset, versions):
        console.say(f"  note: {note}")
    python_model = versions.load(version)
    ensemble, device = python_model.ensemble, python_model.device
    with console.bar("decode test", len(test)) as bar:
        whole = open_frames(SplitSource(test), ensemble.sizes(), home / "frames", bar.advance)
    frames = {size: values[span] for size, values in whole.items()}
    networks = len(ensemble.members)
    with console.bar(f"score, {plural(networks, 'network')}", len(only) * networks) as bar:
        scores = ensemble.score(frames, only.index, device, advance=bar.advance)
    member = max(ensemble.members.values(), key=lambda member: member.size).name
    with tempfile.TemporaryFile(dir=home) as file:
        with console.bar(f"error of {member}", len(only)) as bar:
            if isinstance(ensemble, Apart):
                peaks = ensemble.errors(member, frames, only.index, file, bar.advance)
            else:
                peaks = write_errors(ensemble, member, frames, only.index, device, file, bar.advance)
        errors = _errors(peaks, ensemble.members[member].size, file)
        if not errors.known.all():
            console.say(f"  {np.sum(~errors.known)} frames have no heat map: {member} does not score them")
        labels = dataset.labels.values[span] if dataset.labels else None
        names = [
            f"video {video}   frame {frame}" for video, frame in zip(only.index.video, only.index.frame, strict=True)
        ]
        made_by = f"model v{version.number}, {ensemble.variant_name}"
        scene = Scene(next(_originals(only)).shape, scores, labels, names, made_by, errors.most)
        with console.bar("write", len(only)) as bar:
            codec = write_movie(path, _pictures(scene, only, errors, bar.advance), scene.size, fps)
    return Rendered(path, len(only), scene.size, codec, version, ensemble.variant_name, member)


def _place(test: Split, video: str) -> int:
    """Which of the videos has this id, with or without zeros in front. Raises InputError that names those there are."""
    ids = [known.id for known in test.videos]
    if not (video.isascii() and video.isdigit() and int(video) in ids):
        raise InputError(f"VIDEO={video} is no test video; there are {', '.join(map(str, ids))}")
    return ids.index(int(video))


def _errors(peaks: NDArray[np.float64], size: int, file: BinaryIO) -> _Errors:
    """The errors that were written into `file`, of which the largest of each frame are known."""
    known = ~np.isnan(peaks)
    most = float(np.quantile(peaks[known], _WITHIN)) if known.any() else 0.0
    return _Errors(np.memmap(file, np.float16, "r", shape=(len(peaks), size, size)), known, most or 1.0)


def _originals(split: Split) -> Iterator[Image]:
    """The frames of one video in their own size, RGB, in order."""
    for task in SplitSource(split).tasks():
        for _, image in task():
            yield image


def _pictures(scene: Scene, split: Split, errors: _Errors, advance: Advance) -> Iterator[Image]:
    for position, image in enumerate(_originals(split)):
        yield scene.draw(position, image, errors.at(position))
        advance(1)
