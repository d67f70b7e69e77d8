"""What all detectors have in common: fitted on samples of train frames, they map samples to anomaly maps.

Nothing outside `vad.detectors` asks which kind a detector is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from vad.catalog import Named
from vad.inputs import Positions, Samples
from vad.system.precision import Precision

State = dict[str, Tensor]


@dataclass(frozen=True)
class Epoch:
    """One epoch, counted from 1: its mean loss, the learning rate that it used, its wall time."""

    number: int
    loss: float
    lr: float
    seconds: float


@dataclass(frozen=True)
class Trained:
    """A fitted detector: its state on the CPU, and how it was computed.

    Of a network also the epochs, the one that its weights come from, and its loss; others have none.
    """

    state: State
    epoch: int | None
    loss: float | None
    epochs: tuple[Epoch, ...]
    precision: Precision
    threads: int
    resumed_after: int = 0
    fit_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of the training, those before an interruption too."""
        return self.fit_seconds + sum(epoch.seconds for epoch in self.epochs)


@dataclass(frozen=True)
class Listener:
    """What follows a training: `on_batch` gets the number of samples and the loss of each batch, `on_epoch` each epoch.

    The file `resume` gets the state after each epoch, and training resumes from a state found there.
    """

    on_batch: Callable[[int, Tensor], None] | None = None
    on_epoch: Callable[[Epoch], None] | None = None
    resume: Path | None = None


class Output(Protocol):
    """The output of one pass of samples: for the F frames that the samples score, in their order."""

    def map(self, kind: str) -> Tensor:
        """Return the anomaly maps of this kind, float32 (F, C, H, W), on the device; higher is more anomalous."""

    def error(self, error: Named) -> Tensor:
        """Return a frame error of the catalog of errors, (F,). Raises InputError where the detector has none."""

    def pictures(self, frame: int) -> tuple[NDArray, NDArray | None]:  # type: ignore[type-arg]
        """Return what the detector saw of a frame of this pass and, if it makes one, what it made of it: uint8 (H, W, 3), RGB."""


class Scorer(Protocol):
    """A fitted detector on its device. Several threads may use it."""

    def pass_size(self, samples: Samples) -> int:
        """How many samples every pass has, even the last: kernels differ between shapes, and so may last bits."""

    def run(self, samples: Samples, which: Positions) -> Output:
        """Run the samples with these numbers through the detector."""


class Detector(Protocol):
    """A kind of detector with the settings of one member."""

    trained: ClassVar[bool]
    """Whether fitting is training: with a seed and a recipe, by an engine, in epochs after which it can resume."""
    maps: ClassVar[tuple[str, ...]]
    """The kinds of its anomaly maps; the first is the default."""
    has_errors: ClassVar[bool]
    """Whether the frame errors of the catalog apply to it."""

    def try_out(self) -> int:
        """Build it and, where code of one's own is in it, run it once; return how many numbers training can change.

        Raises InputError that says what does not fit.
        """

    def require_samples(self, count: int) -> None:
        """Raise InputError where it cannot be fitted on this many samples."""

    def seconds(self, fitted: int, scored: int, device: torch.device) -> float:
        """Return roughly the seconds to fit and score these numbers of samples, by timing a few on this device."""

    def memory(self) -> int:
        """Roughly the bytes that fitting takes in a process of its own, without the frames."""

    def fit(self, samples: Samples, device: torch.device, listener: Listener) -> Trained:
        """Fit it on train samples."""

    def scorer(self, state: State, source: str, device: torch.device, *, leave_out: bool = False) -> Scorer:
        """Return the fitted detector on a device. Raises InputError that names `source` where the state does not fit.

        `leave_out`: the samples to come are train frames, so a detector that holds frames leaves those near each out.
        """


class Diverged(RuntimeError):
    """The loss became NaN or infinite. `trained` holds the last good state, or None if there is none."""

    def __init__(self, epoch: int, trained: Trained | None):
        super().__init__(epoch, trained)  # by which it is made again where it comes from another process
        self.epoch, self.trained = epoch, trained

    def __str__(self) -> str:
        return f"the loss became NaN or infinite in epoch {self.epoch}"
