"""A member: one network, one input, one recipe, one seed; known by the digest of all that decides its weights."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import nn

from vad.frames.decode import RESIZE_FILTER
from vad.inputs import INPUTS
from vad.models import NETWORKS, build
from vad.precision import Precision

# Raise these when a change to the code changes what comes out for the same settings.
TRAINING_CODE = 1
SCORING_CODE = 1


@dataclass(frozen=True)
class Training:
    """A training recipe, complete: every default filled in, the precision decided."""

    loss: str
    optimizer: str
    lr: float
    weight_decay: float
    schedule: tuple[str, tuple[tuple[str, Any], ...]] | None
    epochs: int
    patience: int | None
    min_delta: float
    keep: Literal["best", "last"]
    precision: Precision
    batch_size: int


@dataclass(frozen=True)
class Member:
    """One network to train. `group` and `name` are what the entry calls it and decide nothing."""

    group: str
    model: str
    options: tuple[tuple[str, Any], ...]
    input: str
    size: int
    seed: int
    training: Training

    @property
    def name(self) -> str:
        return f"{self.group}-{self.seed}"

    def settings(self) -> dict[str, Any]:
        """All that decides the weights but the frames, as plain values."""
        bound = NETWORKS.bind(self.model, dict(self.options))
        settings = {"model": self.model, **bound, "input": self.input, "size": self.size, "seed": self.seed}
        training = asdict(self.training)
        if self.training.schedule is not None:
            training["schedule"] = {self.training.schedule[0]: dict(self.training.schedule[1])}
        return {**settings, **training}

    def digest(self, train_digest: str) -> str:
        """Identity of the trained weights: settings, training frames, resize filter, version of the code."""
        return digest_of(
            {"settings": self.settings(), "frames": train_digest, "filter": RESIZE_FILTER, "code": TRAINING_CODE}
        )

    def build(self) -> nn.Module:
        """The network before training. Raises InputError where the settings do not fit it."""
        return build(self.model, self.size, INPUTS[self.input]().channels, dict(self.options), self.seed)


def digest_of(value: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, in a spelling that does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
