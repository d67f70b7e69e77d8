"""NWPU Campus: `Train/D001_01/` and `Test/D001_03/` of frames or movies, and `gt.npz` with an array for each test video, by name."""

import re

from vad.data.datasets.base import Layout, Place, before_underscore

LABELS = "gt.npz"
_VIDEO = re.compile(r"D\d{3}_\d+(\..+)?")


def detect(place: Place) -> Layout | None:
    """Look for videos called `D001_03`; the scene stands in front."""
    if not any(map(_VIDEO.fullmatch, place.names(place.videos[1]))):
        return None
    home = place.home
    folders = [folder for folder in (home, *home.parents) if folder.is_relative_to(place.root)]
    labels = next((folder / LABELS for folder in folders if (folder / LABELS).exists()), None)
    return place.found("NWPU Campus", labels, before_underscore)
