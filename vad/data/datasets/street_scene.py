"""Street Scene as published: `Train/Train001/001.jpg`, `Test/Test001/`, and a list of boxes, `Test001_gt.txt`, in the clip or next to it."""

import re

from vad.data.datasets.base import Layout, Place
from vad.system.files import names_in

_CLIP = re.compile(r"test\d{3}", re.IGNORECASE)


def detect(place: Place) -> Layout | None:
    """Look for clips called `Test001` with a list `Test001_gt.txt`."""
    test = place.videos[1]
    names = place.names(test)
    for name in filter(_CLIP.fullmatch, names):
        boxes = f"{name}_gt.txt"
        if boxes in names or ((test / name).is_dir() and boxes in names_in(test / name)):
            return place.found("Street Scene as published", test)
    return None
