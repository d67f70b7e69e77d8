"""What all repairs have in common: fitted on train frames, applied to test frames one by one."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vad.catalog import Catalog, Named
from vad.data.frame_index import FrameIndex
from vad.errors import InputError
from vad.images.decode import Image
from vad.images.view import Sketch, View

State = dict[str, NDArray[Any]]
SKETCH = View(32, 32, "grey")
"""What most repairs see of train frames: small, so that fitting costs a moment."""


class Repair:
    """A kind of repair. What it takes from train frames is its state; a frame's repair depends on that and the frame alone."""

    sketch: ClassVar[Sketch] = SKETCH
    """What `fit` is given of each train frame."""
    drops: ClassVar[bool] = False
    """Whether members must not look at the frames that it finds; these get the scores of frames near them, by the step `fill`."""

    def fit(self, sketches: NDArray[np.uint8], index: FrameIndex) -> State:
        """Return the state for train frames given as sketches, uint8 (N, ...)."""
        raise NotImplementedError

    def apply(self, image: Image, state: Mapping[str, NDArray[Any]]) -> tuple[Image, float]:
        """Return a test frame repaired, or as it is, and the evidence, which is above 0 where it was repaired or is to be dropped."""
        raise NotImplementedError


REPAIRS: Catalog[Callable[..., Repair]] = Catalog("repair")


@dataclass(frozen=True)
class FittedRepair:
    """A repair with its state. Two of one digest are the same."""

    named: Named
    digest: str
    state: State = field(compare=False, repr=False)

    @property
    def label(self) -> str:
        return f"{self.named.name}_{self.digest[:12]}"

    @property
    def drops(self) -> bool:
        return bool(REPAIRS.make(self.named).drops)

    def apply(self, image: Image) -> tuple[Image, float]:
        repair: Repair = REPAIRS.make(self.named)
        made, evidence = repair.apply(image, self.state)
        if made.dtype != np.uint8 or made.ndim != 3 or not isinstance(evidence, (int, float, np.number)):
            gives = f"{made.dtype} {made.shape} and the evidence {evidence!r:.30}"
            raise InputError(f'repair "{self.named.name}" gives {gives}; it must give uint8 (H, W, 3) and a number')
        return made, float(evidence)


def fitted(named: Named, state: State) -> FittedRepair:
    """Return the repair with this state, known by the digest of options, code and state."""
    digest = hashlib.sha256(f"{named.plain()} {REPAIRS.code(named.name)}".encode())
    for name in sorted(state):
        values = np.ascontiguousarray(state[name])
        digest.update(f"{name} {values.dtype} {values.shape}".encode() + values.tobytes())
    return FittedRepair(named, digest.hexdigest(), state)


def fit(repairs: Sequence[Named], sketches: Sequence[NDArray[np.uint8]], index: FrameIndex) -> tuple[FittedRepair, ...]:
    """Fit repairs on sketches of train frames, those of each repair, which need no repair."""
    pairs = zip(repairs, sketches, strict=True)
    return tuple(fitted(named, REPAIRS.make(named).fit(seen, index)) for named, seen in pairs)


def sketches_of(repairs: Sequence[Named]) -> list[Sketch]:
    """Return what each repair sees of train frames."""
    return [REPAIRS.make(named).sketch for named in repairs]


def to_arrays(repairs: Sequence[FittedRepair]) -> State:
    """Return the states of repairs as arrays by name, fit for one file."""
    return {
        f"{number}/{name}": values for number, repair in enumerate(repairs) for name, values in repair.state.items()
    }


def from_arrays(named: Sequence[Named], arrays: Mapping[str, NDArray[Any]]) -> tuple[FittedRepair, ...]:
    """Return the repairs whose states `to_arrays` wrote."""
    states: list[State] = [{} for _ in named]
    for key, values in arrays.items():
        number, _, name = key.partition("/")
        states[int(number)][name] = values
    return tuple(fitted(one, state) for one, state in zip(named, states, strict=True))
