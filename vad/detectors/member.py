"""A member: one network, one input, one recipe, one seed; known by the digest of all that decides its weights."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from torch import nn

from vad.catalog import Catalog, Named
from vad.detectors.networks import INITS, NETWORKS, build
from vad.detectors.training.losses import LOSSES, Weighted
from vad.detectors.training.optimizers import OPTIMIZERS, SCHEDULES
from vad.images.decode import RESIZE_FILTER
from vad.inputs import INPUTS, Input
from vad.system.precision import Precision, Wish

# Raise these when a change to the code changes what comes out for the same settings.
TRAINING_CODE = 3
SCORING_CODE = 2

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


@dataclass(frozen=True)
class Member:
    """One network to train. `group` and `name` are what the entry calls it and decide nothing."""

    group: str
    model: str
    options: tuple[tuple[str, Any], ...]
    input: Named
    size: int
    seed: int
    training: Training
    init: Named | None = None

    @property
    def name(self) -> str:
        return f"{self.group}-{self.seed}"

    def settings(self) -> dict[str, Any]:
        """All that decides the weights but the frames, as plain values.

        What is None is left out: members that were trained before there was such a setting keep their digest.
        """
        bound = NETWORKS.bind(self.model, dict(self.options))
        settings = {"model": self.model, **bound, "input": self.input.plain(), "size": self.size, "seed": self.seed}
        recipe = self.training
        settings |= {"init": self.init.plain()} if self.init else {}
        settings |= {key: value for key, value in vars(recipe).items() if value is not None or key not in _LATER}
        loss = recipe.loss if isinstance(recipe.loss, str) else dict(recipe.loss)
        return settings | {"loss": loss, "schedule": recipe.schedule and recipe.schedule.plain()}

    def digest(self, train_digest: str) -> str:
        """Identity of the trained weights: settings, training frames, resize filter, version of the code, your own code."""
        about = {"settings": self.settings(), "frames": train_digest, "filter": RESIZE_FILTER, "code": TRAINING_CODE}
        return digest_of(about | named_code(self.code()))

    def code(self) -> dict[str, str]:
        """The code of its blocks, as `Catalog.code` gives it: network, input, loss, optimiser, schedule, first weights."""
        recipe = self.training
        blocks: list[tuple[Catalog[Any], str]] = [(NETWORKS, self.model), (INPUTS, self.input.name)]
        blocks += [(OPTIMIZERS, recipe.optimizer)]
        blocks += [(LOSSES, name) for name in ([recipe.loss] if isinstance(recipe.loss, str) else dict(recipe.loss))]
        blocks += [(SCHEDULES, recipe.schedule.name)] if recipe.schedule else []
        blocks += [(INITS, self.init.name)] if self.init else []
        return {key: value for catalog, name in blocks for key, value in catalog.code(name).items()}

    def build(self) -> nn.Module:
        """The network before training. Raises InputError where the settings do not fit it."""
        shape = self.kind_of_input().shape(self.size)
        return build(self.model, shape, dict(self.options), self.seed, self.init)

    def trained_in(self, precision: Precision) -> "Member":
        """This member as it was trained, with the precision that `auto` came to."""
        return replace(self, training=replace(self.training, precision=precision))

    def kind_of_input(self) -> Input:
        """How samples for this member are made."""
        return cast(Input, INPUTS.make(self.input))


def named_code(code: Mapping[str, str]) -> dict[str, Any]:
    """A digest's part for code; nothing where all of it is the project's first, so that old digests stay."""
    return {"blocks": dict(code)} if code else {}


def digest_of(value: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, in a spelling that does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
