"""What files and folders are by their names."""

from collections.abc import Collection

IMAGES = ("jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp")
MOVIES = ("avi", "mp4", "mov", "mkv", "webm", "m4v", "mpg", "ts")
# Images and movies in formats that are not read.
_OTHER_IMAGES = ("gif", "jp2", "pgm", "ppm", "heic", "avif", "jxl", "exr", "dng", "raw")
_OTHER_MOVIES = ("wmv", "flv", "mpeg", "mts", "m2ts", "3gp", "ogv", "vob", "asf", "h264", "y4m")
# Files that Windows, network disks and Mac archives add; hidden files come on top.
_LITTER = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "lost+found"}
# Labels that data sets keep next to their clips, or in them.
_LABELS = ("_gt", "_gt.txt", "_annotations", "_tracks.txt", ".m", ".mat", ".npy", ".npz")
_FEW = 3


def is_litter(name: str) -> bool:
    """Return whether a file or folder is hidden or added by the operating system, so never data."""
    return name.startswith(".") or name.casefold() in _LITTER


def is_label(name: str) -> bool:
    """Whether a file or folder holds the labels of the clip next to it, as `Test001_gt` does."""
    return name.casefold().endswith(_LABELS)


def is_movie(name: str) -> bool:
    """Whether a file is a movie."""
    return name.rpartition(".")[2].lower() in MOVIES and not is_litter(name)


def is_other_movie(name: str) -> bool:
    """Whether a file is a movie of a format that is not read."""
    return name.rpartition(".")[2].lower() in _OTHER_MOVIES and not is_litter(name)


def is_media(name: str) -> bool:
    """Whether a file is an image or a movie, be it of a format that is not read."""
    other = name.rpartition(".")[2].lower() in _OTHER_IMAGES and not is_litter(name)
    return other or is_image(name) or is_movie(name) or is_other_movie(name)


def is_image(name: str) -> bool:
    """Whether a file is an image."""
    return name.rpartition(".")[2].lower() in IMAGES and not is_litter(name)


def some(names: Collection[str], separator: str = ", ") -> str:
    """The first few of these, and how many more there are."""
    shown = separator.join(list(names)[:_FEW])
    return shown if len(names) <= _FEW else f"{shown} and {len(names) - _FEW:,} more"
