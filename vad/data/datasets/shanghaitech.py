"""ShanghaiTech Campus: `training/videos/01_001.avi`, `testing/frames/01_0014/000.jpg`, `testing/test_frame_mask/01_0014.npy`."""

import re

from vad.data.datasets.base import Layout, Place, before_underscore
from vad.data.names import is_label

_VIDEO = re.compile(r"\d{2}_\d{3,4}(\.\w+)?", re.ASCII)
FRAME_MASKS, PIXEL_MASKS = "test_frame_mask", "test_pixel_mask"


def detect(place: Place) -> Layout | None:
    """Look for the masks, a file for each test video, or for videos called `01_0014`; the scene stands in front of a video's name."""
    test = place.halves[1]
    for name in (FRAME_MASKS, PIXEL_MASKS):
        if (test / name).is_dir():
            return place.found("ShanghaiTech", test / name, before_underscore)
    videos = [name for name in place.names(place.videos[1]) if not is_label(name)]
    if videos and all(map(_VIDEO.fullmatch, videos)):  # with labels as most repositories keep them
        return place.found("ShanghaiTech", None, before_underscore)
    return None
