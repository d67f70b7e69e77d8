"""What the readers of data sets have in common: where they look, and what they say."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vad.data.datasets.halves import find_halves
from vad.data.frame_index import number_of
from vad.data.names import is_litter, is_movie
from vad.system.files import names_in


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
        """What lies in a folder, without what systems leave behind."""
        return [name for name in names_in(folder) if not is_litter(name)]

    def found(self, reader: str, labels: Path | None = None, scene: Callable[[str], str] = lambda name: "") -> Layout:
        """The layout of two halves that hold their videos and nothing else."""
        train, test = self.videos
        notes = tuple(
            f"{half}: frames/ counts, not videos/"
            for half in self.halves
            if _inner(half).name.casefold() == "frames" and (half / "videos").is_dir()
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
