"""UCSD Ped1 and Ped2 as published: `Train/Train001/001.tif`, `Test/Test001/`, masks in `Test/Test001_gt/`, `Test/UCSDped2.m`."""

import re

from vad.data.datasets.base import Layout, Place
from vad.system.files import names_in

_CLIP = re.compile(r"(test|train)\d{3}", re.IGNORECASE)


def detect(place: Place) -> Layout | None:
    """Look for clips called `Test001` of TIFF files. The list in the `.m` file labels all of them; masks are there for some."""
    test = place.videos[1]
    names = place.names(test)
    clip = next((name for name in names if _CLIP.fullmatch(name) and (test / name).is_dir()), None)
    if clip is None or not any(name.lower().endswith(".tif") for name in names_in(test / clip)):
        return None
    lists = [test / name for name in names if name.endswith(".m")]
    return place.found("UCSD as published", lists[0] if len(lists) == 1 else None)
