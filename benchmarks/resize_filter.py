"""How far scores move with the filter that shrinks frames.

    .venv/bin/python benchmarks/resize_filter.py --data FOLDER --labels PATH [--model production]

Scores the test frames of a data set by a registered model (its weights and stored normalisation
stay as they are) with the frames shrunk by each filter, and compares with the project's own.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from registry.console import table
from registry.data.datasets import open_frames_of
from registry.models.versions import Versions
from registry.store.tracking import Tracking
from vad.images.decode import Image, read_image, resize
from vad.images.view import square
from vad.measures.metrics import measure


def _own(image: Image, size: int) -> Image:
    return resize(image, size, size)


def _pil(image: Image, size: int) -> Image:
    from PIL.Image import Resampling, fromarray

    return np.asarray(fromarray(image).resize((size, size), Resampling.BILINEAR))


def _area(image: Image, size: int) -> Image:
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA))


def _plain(image: Image, size: int) -> Image:
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR))


FILTERS: dict[str, Callable[[Image, int], Image]] = {
    "antialiased bilinear (the project's)": _own,
    "PIL BILINEAR (the reference's)": _pil,
    "area": _area,
    "bilinear, not antialiased": _plain,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--labels")
    parser.add_argument("--model", default="production")
    given = parser.parse_args()
    dataset = open_frames_of(given.data, given.labels, Path(".vad"))
    versions = Versions(Tracking())
    version = versions.resolve(given.model)
    model = versions.load(version)
    if dataset.frames is None or dataset.labels is None:
        parser.error("labels are needed")
    files = [path for video in dataset.frames.test.videos for path in video.images or ()]
    if len(files) != len(dataset.index):
        parser.error("a data set of image files is needed")
    views = model.ensemble.views()
    if any(view != square(view.width) for view in views):
        parser.error("a model of whole frames in colour, squeezed to a square, without repairs, is needed")
    scores: dict[str, NDArray[np.float64]] = {}
    for name, shrink in FILTERS.items():
        frames = {view: np.empty((len(files), *view.shape), np.uint8) for view in views}
        for row, path in enumerate(files):
            image = read_image(path)
            for view in views:
                frames[view][row] = shrink(image, view.width)
        scores[name] = model.ensemble.score(frames, dataset.index, model.device)
    own = next(iter(scores.values()))
    rows = []
    for name, values in scores.items():
        found = measure(values, dataset.labels.values, dataset.index)
        moved = np.abs(values - own)
        rows.append(
            [
                name,
                f"{found.ap:.4f}",
                f"{spearmanr(values, own).statistic:.5f}",
                f"{moved.mean():.5f}",
                f"{moved.max():.5f}",
            ]
        )
    print(
        f"{version.tags['vad.variant']} of {version.tags['vad.entry']} (version {version.number}), {len(files):,} frames of {dataset.name}"
    )
    print(table(["filter", "AP", "Spearman with ours", "mean |change|", "max |change|"], rows, right=(1, 2, 3, 4)))


if __name__ == "__main__":
    main()
