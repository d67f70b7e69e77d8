"""What the readers of data sets have in common: where they look, and what they say. A data set has two halves, of train and of test videos."""

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vad.data.frame_index import number_of
from vad.data.names import is_litter, is_movie, some
from vad.errors import InputError
from vad.system.files import names_in

TRAIN, TEST = "training_videos", "testing_videos"
# The names of the two halves, in any case.
_HALVES = ((TRAIN, TEST), ("training", "testing"), ("train", "test"))
_OTHER_HALF = dict(_HALVES) | {test: train for train, test in _HALVES}


def find_halves(root: Path) -> tuple[Path, Path]:
    """Return the folders of train and test videos at or below `root`. Raises InputError where there are none, or several pairs."""
    if not os.path.isdir(root):  # False, too, for what can be no path
        fault = "is a file" if os.path.exists(root) else "does not exist"
        raise InputError(f"DATA={root} {fault}; give the folder that contains {TRAIN}/ and {TEST}/")
    pairs = list[tuple[Path, Path]]()
    halves, closed = list[Path](), list[OSError]()
    for folder, children, _ in os.walk(root, onerror=closed.append):
        here = {child.casefold(): Path(folder, child) for child in children if child.casefold() in _OTHER_HALF}
        whole = [(here[train], here[test]) for train, test in _HALVES if here.keys() >= {train, test}]
        pairs += whole
        halves += [] if whole else here.values()
        children[:] = sorted(child for child in children if child.casefold() not in here and not is_litter(child))
    if len(pairs) == 1:
        return pairs[0]
    if pairs:
        homes = {train.parent: (train, test) for train, test in pairs}
        twice = {home.name.casefold() for home in homes} == {"frames", "videos"} and len(homes) == len(pairs) == 2
        if twice and len({home.parent for home in homes}) == 1:  # NWPU Campus: the same videos as frames and as movies
            return next(halves for home, halves in homes.items() if home.name.casefold() == "frames")
        places = [str(home) for home in homes]
        if len(places) == 1:
            names = " and ".join(f"{train.name}/" for train, _ in pairs)
            raise InputError(f"DATA={root}: {names} in {places[0]} could both hold the train videos; keep one pair")
        raise InputError(f"DATA={root} holds {len(places)} data sets ({', '.join(places)}); name one of them")
    if halves:
        missing = _OTHER_HALF[halves[0].name.casefold()]
        raise InputError(f"DATA={root}: beside {halves[0]} there must be a folder {missing}/, and there is none")
    if closed:
        raise InputError(f"cannot read {closed[0].filename}: {closed[0].strerror}")
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not is_litter(path.name)]
    held = some([f"{path.name}/" for path in folders]) or "no folder"
    if root.resolve().name.casefold() in _OTHER_HALF:
        held += f"; it is one half itself: give the folder above it, DATA={shlex.quote(str(root.resolve().parent))}"
    elif folders:
        held += f"; call the one of normal footage {TRAIN}/ and the one of test footage {TEST}/"
    pairs_of = ", ".join(f"{train}/ and {test}/" for train, test in _HALVES)
    raise InputError(f"DATA={root} must contain {pairs_of}, at any depth; it holds {held}")


@dataclass(frozen=True)
class Half:
    """Where the train or the test videos lie: all that are in `folder`, or `only` these files."""

    folder: Path
    only: tuple[Path, ...] | None = None


@dataclass(frozen=True)
class Layout:
    """A data set that was recognised: `reader` says as what. `labels` are its own; `scene` gives a video's by its name."""

    reader: str
    home: Path
    train: Half
    test: Half
    labels: Path | None = None
    scene: Callable[[str], str] = lambda name: ""
    notes: tuple[str, ...] = ()


class Place:
    """The folder that was named, looked through once for all readers."""

    def __init__(self, root: Path):
        self.root = root

    @cached_property
    def halves(self) -> tuple[Path, Path]:
        """The folders of train and test videos. Raises InputError where there are none."""
        return find_halves(self.root)

    @cached_property
    def home(self) -> Path:
        """The folder of the two halves."""
        return self.halves[0].parent

    @cached_property
    def videos(self) -> tuple[Path, Path]:
        """The folders in which the train and the test videos lie: the halves, or `frames/` or `videos/` in them."""
        train, test = (_inner(half) for half in self.halves)
        return train, test

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, without files that operating systems add."""
        return [name for name in names_in(folder) if not is_litter(name)]

    def found(self, reader: str, labels: Path | None = None, scene: Callable[[str], str] = lambda name: "") -> Layout:
        """The layout of two halves that hold their videos and nothing else."""
        train, test = self.videos
        chosen = {half: _inner(half) for half in self.halves}
        chosen |= {self.home.parent: self.home} if self.home != self.root else {}
        notes = tuple(
            f"{folder}: frames/ counts, not videos/"
            for folder, inner in chosen.items()
            if inner.name.casefold() == "frames" and (folder / "videos").is_dir()
        )
        return Layout(reader, self.home, Half(train), Half(test), labels, scene, notes)


def _inner(half: Path) -> Path:
    """Return the folder of a half's videos: `frames/`, else `videos/`, where such a folder holds folders or movies."""
    inside = {name.casefold(): half / name for name in names_in(half)}
    if any(number_of(name) is not None or is_movie(name) for name in inside):
        return half  # it has clips of its own
    for name in ("frames", "videos"):
        folder = inside.get(name)
        if (
            folder
            and folder.is_dir()
            and any((folder / child).is_dir() or is_movie(child) for child in names_in(folder))
        ):
            return folder
    return half


def before_underscore(name: str) -> str:
    """Return the scene of a video that is named by it, as `01` of `01_0014`."""
    return name.partition("_")[0]
