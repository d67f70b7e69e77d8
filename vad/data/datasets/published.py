"""The data sets that are told by how they are published, and the form that any other has: a function for each."""

import re

from vad.data.datasets.base import Layout, Place
from vad.system.files import names_in

_NWPU_LABELS = "gt.npz"
_NWPU_VIDEO = re.compile(r"D\d{3}_\d+(\..+)?")
_SHANGHAITECH_MASKS = ("test_frame_mask", "test_pixel_mask")
_STREET_CLIP = re.compile(r"test\d{3}", re.IGNORECASE)
_UCSD_CLIP = re.compile(r"(test|train)\d{3}", re.IGNORECASE)


def street_scene(place: Place) -> Layout | None:
    """Street Scene: `Train/Train001/001.jpg`, `Test/Test001/`, and a list of boxes, `Test001_gt.txt`, in the clip or beside it."""
    test = place.videos[1]
    names = place.names(test)
    for name in filter(_STREET_CLIP.fullmatch, names):
        boxes = f"{name}_gt.txt"
        if boxes in names or ((test / name).is_dir() and boxes in names_in(test / name)):
            return place.found("Street Scene as published", test)
    return None


def ucsd(place: Place) -> Layout | None:
    """UCSD Ped1 and Ped2: `Train/Train001/001.tif`, `Test/Test001/`, masks in `Test/Test001_gt/`, `Test/UCSDped2.m`.

    The list in the `.m` file labels all clips; masks are there for some.
    """
    test = place.videos[1]
    names = place.names(test)
    clip = next((name for name in names if _UCSD_CLIP.fullmatch(name) and (test / name).is_dir()), None)
    if clip is None or not any(name.lower().endswith(".tif") for name in names_in(test / clip)):
        return None
    lists = [test / name for name in names if name.endswith(".m")]
    return place.found("UCSD as published", lists[0] if len(lists) == 1 else None)


def shanghaitech(place: Place) -> Layout | None:
    """ShanghaiTech Campus: `training/videos/01_001.avi`, `testing/frames/01_0014/000.jpg`, `testing/test_frame_mask/01_0014.npy`.

    The scene stands in front of a video's name.
    """
    masks = [folder for name in _SHANGHAITECH_MASKS if (folder := place.halves[1] / name).is_dir()]
    return place.found("ShanghaiTech", masks[0], _before_underscore) if masks else None


def nwpu(place: Place) -> Layout | None:
    """NWPU Campus: `Train/D001_01/` and `Test/D001_03/` of frames or movies, and `gt.npz` with an array for each test video, by name.

    The scene stands in front of a video's name.
    """
    if not any(map(_NWPU_VIDEO.fullmatch, place.names(place.videos[1]))):
        return None
    folders = [folder for folder in (place.home, *place.home.parents) if folder.is_relative_to(place.root)]
    labels = next((folder / _NWPU_LABELS for folder in folders if (folder / _NWPU_LABELS).exists()), None)
    return place.found("NWPU Campus", labels, _before_underscore)


def common(place: Place) -> Layout | None:
    """The form in which most repositories of the field keep their data: `{training,testing}/frames/01/000.jpg`, or `videos/`.

    Labels such as `ped2.mat` lie beside these, and any other form will do.
    """
    (train, test), (inner_train, inner_test) = place.halves, place.videos
    if inner_train == train or inner_test == test:
        return None
    names = f"{train.name}/{inner_train.name}/NAME and {test.name}/{inner_test.name}/NAME"
    return place.found(f"the field's common form, {names}")


def clips(place: Place) -> Layout:
    """Any folders of train and test videos: the competition's, CUHK Avenue's, your own. Raises InputError where there are none."""
    train, test = place.halves
    return place.found(f"{train.name}/ and {test.name}/ of clips or movies")


def _before_underscore(name: str) -> str:
    """Return the scene of a video that is named by it, as `01` of `01_0014`."""
    return name.partition("_")[0]
