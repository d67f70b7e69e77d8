"""UBnormal: `Scene1/normal_scene_1_scenario_1.mp4`, `*_annotations/*_tracks.txt`, and lists of names that define the split."""

import os
import re
from pathlib import Path

from vad.data.datasets.base import Half, Layout, Place
from vad.data.names import is_movie, some
from vad.errors import InputError
from vad.system.files import lines_of, names_in

_SCENE = re.compile(r"scene\d+", re.IGNORECASE)
_VIDEO = re.compile(r"(?:ab)?normal_scene_(\d+)_scenario\w*", re.IGNORECASE)
# A detector learns from normal videos alone, so abnormal ones for training are left out, and so is validation.
_TRAIN = ("normal_training_video_names.txt",)
_TEST = ("normal_test_video_names.txt", "abnormal_test_video_names.txt")


def detect(place: Place) -> Layout | None:
    """Look for the folders of scenes. Raises InputError where the lists of names are missing."""
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
    """Return the folder with the scenes: `root` or a folder in it."""
    if not os.path.isdir(root):  # also False for an impossible path
        return None
    for folder in (root, *(root / name for name in names_in(root) if (root / name).is_dir())):
        for scene in filter(_SCENE.fullmatch, names_in(folder)):
            inside = folder / scene
            if inside.is_dir() and any(is_movie(n) and _VIDEO.fullmatch(Path(n).stem) for n in names_in(inside)):
                return folder
    return None


def _listed(home: Path, lists: tuple[str, ...], movies: dict[str, Path]) -> tuple[Path, ...]:
    """Return the movies that the lists name."""
    names: list[str] = []
    for file in lists:
        places = [folder / file for folder in (home, home / "scripts", home.parent)]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            fix = f"put the published {some([*_TRAIN, *_TEST])} next to the scenes"
            raise InputError(
                f"{home} is UBnormal, but {file} is missing, which says which videos belong to the split; {fix}"
            )
        named = [Path(line).name.removesuffix(".mp4") for _, line in lines_of(path)]
        if lost := [name for name in named if name not in movies]:
            raise InputError(f"{path} names {some(lost)}, and there is no such movie in {home}; restore it")
        names += named
    return tuple(movies[name] for name in names)
