"""How a network is trained: all settings of it, complete."""

from dataclasses import dataclass
from typing import Any, Literal

from vad.catalog import Named
from vad.detectors.training.losses import Weighted
from vad.system.precision import Wish

_LATER = ("grad_clip",)  # settings that there were not always


@dataclass(frozen=True)
class Training:
    """A training recipe, complete: every default filled in.

    `precision: auto` stays so: each machine decides it for itself, and a member is the same member wherever it was trained.
    The number of threads is not part of it either. Both are recorded with the trained weights.
    """

    loss: str | Weighted
    optimizer: str
    lr: float
    weight_decay: float
    schedule: Named | None
    epochs: int
    patience: int | None
    min_delta: float
    keep: Literal["best", "last"]
    precision: Wish
    batch_size: int
    grad_clip: float | None = None

    def plain(self) -> dict[str, Any]:
        """As plain values. What is None and came later is left out: older members keep their digest."""
        settings = {key: value for key, value in vars(self).items() if value is not None or key not in _LATER}
        loss = self.loss if isinstance(self.loss, str) else dict(self.loss)
        return settings | {"loss": loss, "schedule": self.schedule and self.schedule.plain()}
