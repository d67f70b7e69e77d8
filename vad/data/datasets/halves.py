"""The two halves of a data set: the folders of its train and of its test videos."""

import os
import shlex
from pathlib import Path

from vad.data.names import is_litter, some
from vad.errors import InputError

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
        places = list(dict.fromkeys(str(train.parent) for train, _ in pairs))
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
