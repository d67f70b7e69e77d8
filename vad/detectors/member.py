"""A member: one detector, one input, one view, one seed; identified by a digest of all that determines its state."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import nn

from vad.catalog import Catalog, Named
from vad.detectors.banks import BANKS
from vad.detectors.networks import INITS, NETWORKS, build
from vad.detectors.training.losses import LOSSES
from vad.detectors.training.optimizers import OPTIMIZERS, SCHEDULES
from vad.detectors.training.recipe import Training
from vad.images.decode import RESIZE_FILTER
from vad.images.view import View
from vad.inputs import INPUTS, Input, Shape
from vad.system.precision import Precision

# Raise these when a change to the code changes the results of the same settings.
TRAINING_CODE = 3
SCORING_CODE = 3


@dataclass(frozen=True)
class Member:
    """One detector to fit. `group` and `name` come from the entry and do not affect results.

    A network has a seed, a training recipe and optionally an `init` for its weights; a bank has none of these.
    """

    group: str
    model: str
    options: tuple[tuple[str, Any], ...]
    input: Named
    view: View
    seed: int | None = None
    training: Training | None = None
    init: Named | None = None

    @property
    def name(self) -> str:
        return self.group if self.seed is None else f"{self.group}-{self.seed}"

    @property
    def recipe(self) -> Training:
        """The training recipe of a network."""
        assert self.training is not None
        return self.training

    def settings(self) -> dict[str, Any]:
        """Return all settings that determine the state, as plain values.

        None is left out, so that members trained before a setting existed keep their digest.
        """
        seen = self.view.plain()
        view = {"size": seen} if isinstance(seen, int) else {"view": seen}
        settings = {"model": self.model, **models()[self.model].bind(self.model, dict(self.options))}
        settings |= {"input": self.input.plain(), **view}
        settings |= {} if self.seed is None else {"seed": self.seed}
        settings |= {"init": self.init.plain()} if self.init else {}
        return settings | (self.training.plain() if self.training else {})

    def digest(self, train_digest: str) -> str:
        """Return the SHA-256 of settings, train frames, resize filter, code version and the code of your own blocks."""
        about = {"settings": self.settings(), "frames": train_digest, "filter": RESIZE_FILTER, "code": TRAINING_CODE}
        return digest_of(about | named_code(self.code()))

    def code(self) -> dict[str, str]:
        """Return `Catalog.code` of its blocks: model, input, loss, optimiser, schedule, init."""
        blocks: list[tuple[Catalog[Any], str]] = [(models()[self.model], self.model), (INPUTS, self.input.name)]
        if recipe := self.training:
            blocks += [(OPTIMIZERS, recipe.optimizer)]
            blocks += [
                (LOSSES, name) for name in ([recipe.loss] if isinstance(recipe.loss, str) else dict(recipe.loss))
            ]
            blocks += [(SCHEDULES, recipe.schedule.name)] if recipe.schedule else []
        blocks += [(INITS, self.init.name)] if self.init else []
        return {key: value for catalog, name in blocks for key, value in catalog.code(name).items()}

    def build(self) -> nn.Module:
        """Return the untrained network. Raises InputError where the settings do not fit it."""
        return build(self.model, self.shape(), dict(self.options), self.seed or 0, self.init)

    def trained_in(self, precision: Precision) -> "Member":
        """Return this member with the precision that `auto` resolved to."""
        return replace(self, training=self.training and replace(self.training, precision=precision))

    def timed(self) -> "Member":
        """Return this member with fixed values for settings that do not affect the time of a batch."""
        return replace(self, group="", seed=0, training=replace(self.recipe, epochs=1, lr=1e-3))

    def kind_of_input(self) -> Input:
        """Return the input that makes this member's samples."""
        return cast(Input, INPUTS.make(self.input))

    def shape(self) -> Shape:
        """Return the shape of its samples."""
        return self.kind_of_input().shape(self.view)


def models() -> dict[str, Catalog[Any]]:
    """Return the catalog of each model by the model's name; networks and banks never share a name."""
    return {name: catalog for catalog in (NETWORKS, BANKS) for name in catalog.names()}


def named_code(code: Mapping[str, str]) -> dict[str, Any]:
    """Return the part of a digest for code; empty for project blocks of version 1, so that old digests stay valid."""
    return {"blocks": dict(code)} if code else {}


def digest_of(value: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
