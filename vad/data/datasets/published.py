"""The data sets that are told by how they are published, and the form that any other has: a function for each."""

import os
import re
from pathlib import Path

from vad.data.datasets.base import Half, Layout, Place
from vad.data.names import is_movie, some
from vad.errors import InputError
from vad.system.files import lines_of, names_in

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


_SCENE = re.compile(r"scene\d+", re.IGNORECASE)
_VIDEO = re.compile(r"(?:ab)?normal_scene_(\d+)_scenario\w*", re.IGNORECASE)
# A detector learns from normal videos alone, so abnormal ones for training are left out, and so is validation.
_TRAIN = ("normal_training_video_names.txt",)
_TEST = ("normal_test_video_names.txt", "abnormal_test_video_names.txt")


def ubnormal(place: Place) -> Layout | None:
    """UBnormal: `Scene1/normal_scene_1_scenario_1.mp4`, `*_annotations/*_tracks.txt`, and lists of names that make the split.

    Raises InputError where the lists are missing.
    """
    home = _home(place.root)
    if home is None:
        return None
    movies = {
        Path(name).stem: home / scene / name
        for scene in filter(_SCENE.fullmatch, names_in(home))
        for name in names_in(home / scene)
        if is_movie(name)
    }
    train, test = (_listed(home, lists, movies) for lists in (_TRAIN, _TEST))
    left_out = len(movies) - len(train) - len(test)
    note = f"{home}: {left_out} videos are left out: abnormal ones for training, and those for validation"
    notes = (note,) if left_out else ()
    return Layout("UBnormal", home, Half(home, train), Half(home, test), home, scene_of, notes)


def scene_of(name: str) -> str:
    """Return the scene of a video, as `Scene1` of `normal_scene_1_scenario_1`."""
    match = _VIDEO.fullmatch(name)
    return f"Scene{match[1]}" if match else ""


def _home(root: Path) -> Path | None:
    """Return the folder with the scenes: the one that was named, or one in it."""
    if not os.path.isdir(root):  # False, too, for what can be no path
        return None
    for folder in (root, *(root / name for name in names_in(root) if (root / name).is_dir())):
        for scene in filter(_SCENE.fullmatch, names_in(folder)):
            inside = folder / scene
            if inside.is_dir() and any(is_movie(n) and _VIDEO.fullmatch(Path(n).stem) for n in names_in(inside)):
                return folder
    return None


def _listed(home: Path, lists: tuple[str, ...], movies: dict[str, Path]) -> tuple[Path, ...]:
    """The movies that the lists name."""
    names: list[str] = []
    for file in lists:
        places = [folder / file for folder in (home, home / "scripts", home.parent)]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            fix = f"put the published {some([*_TRAIN, *_TEST])} beside the scenes"
            raise InputError(f"{home} is UBnormal, but {file} is missing, which says which videos are whose; {fix}")
        named = [Path(line).name.removesuffix(".mp4") for _, line in lines_of(path)]
        if lost := [name for name in named if name not in movies]:
            raise InputError(f"{path} names {some(lost)}, and there is no such movie in {home}; restore it")
        names += named
    return tuple(movies[name] for name in names)
