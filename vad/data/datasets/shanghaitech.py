"""ShanghaiTech Campus: `training/videos/01_001.avi`, `testing/frames/01_0014/000.jpg`, `testing/test_frame_mask/01_0014.npy`."""

from vad.data.datasets.base import Layout, Place, before_underscore

FRAME_MASKS, PIXEL_MASKS = "test_frame_mask", "test_pixel_mask"


def detect(place: Place) -> Layout | None:
    """Look for the masks, a file for each test video; the scene stands in front of a video's name."""
    test = place.halves[1]
    for name in (FRAME_MASKS, PIXEL_MASKS):
        if (test / name).is_dir():
            return place.found("ShanghaiTech", test / name, before_underscore)
    return None
