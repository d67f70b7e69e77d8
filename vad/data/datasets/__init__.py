"""The data sets that are read as they are published. To add one: write a module with `detect` and name it in `DATASETS`."""

from collections.abc import Callable
from pathlib import Path

from vad.data.datasets import clips, common, nwpu, shanghaitech, street_scene, ubnormal, ucsd
from vad.data.datasets.base import Layout, Place

# The first that knows a folder reads it; the last takes any with train and test videos. Each returns None where it is another data
# set, and raises InputError where it is incomplete.
DATASETS: tuple[Callable[[Place], Layout | None], ...] = tuple(
    dataset.detect for dataset in (ubnormal, street_scene, ucsd, shanghaitech, nwpu, common, clips)
)


def detect(root: Path) -> Layout:
    """Return the layout of the data set at `root`. Raises InputError where there is none, or several."""
    place = Place(root)
    return next(layout for dataset in DATASETS if (layout := dataset(place)))
