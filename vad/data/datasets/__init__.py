"""The data sets that are read as they are published. To add one: write a module with `detect` and name it in `DATASETS`."""

from pathlib import Path

from vad.data.datasets import clips, common, nwpu, shanghaitech, street_scene, ubnormal, ucsd
from vad.data.datasets.base import Dataset, Layout, Place

# The first that knows a folder reads it; the last takes any with train and test videos.
DATASETS: tuple[Dataset, ...] = (ubnormal, street_scene, ucsd, shanghaitech, nwpu, common, clips)


def detect(root: Path) -> Layout:
    """Return the layout of the data set at `root`. Raises InputError where there is none, or several."""
    place = Place(root)
    return next(layout for layout in (dataset.detect(place) for dataset in DATASETS) if layout)
