"""A member: one detector, one input, one view, one seed; known by the digest of all that decides its state."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import nn

from vad.catalog import Catalog, Named
from vad.detectors.banks import BANKS, BankDetector
from vad.detectors.base import Detector
from vad.detectors.networks import INITS, NETWORKS, NetworkDetector, build
from vad.detectors.training.losses import LOSSES
from vad.detectors.training.optimizers import OPTIMIZERS, SCHEDULES
from vad.detectors.training.recipe import Training
from vad.images.decode import RESIZE_FILTER
from vad.images.view import View
from vad.inputs import INPUTS, Input, Shape
from vad.system.precision import Precision

# Raise these when a change to the code changes what comes out for the same settings.
TRAINING_CODE = 3
SCORING_CODE = 3


@dataclass(frozen=True)
class Member:
    """One detector to fit. `group` and `name` are what the entry calls it and decide nothing.

    A network has a seed, a recipe and perhaps a rule for its first weights; a bank has none of them.
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

    def detector(self) -> Detector:
        """The detector with these settings, not fitted yet."""
        return detector_class(self.model)(self)

    def settings(self) -> dict[str, Any]:
        """All that decides the state but the frames, as plain values.

        What is None is left out: members that were trained before there was such a setting keep their digest.
        """
        seen = self.view.plain()
        view = {"size": seen} if isinstance(seen, int) else {"view": seen}
        settings = {"model": self.model, **models()[self.model].bind(self.model, dict(self.options))}
        settings |= {"input": self.input.plain(), **view}
        settings |= {} if self.seed is None else {"seed": self.seed}
        settings |= {"init": self.init.plain()} if self.init else {}
        return settings | (self.training.plain() if self.training else {})

    def digest(self, train_digest: str) -> str:
        """Identity of the fitted detector: settings, train frames, resize filter, version of the code, your own code."""
        about = {"settings": self.settings(), "frames": train_digest, "filter": RESIZE_FILTER, "code": TRAINING_CODE}
        return digest_of(about | named_code(self.code()))

    def code(self) -> dict[str, str]:
        """The code of its blocks, as `Catalog.code` gives it: model, input, loss, optimiser, schedule, first weights."""
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
        """The network before training. Raises InputError where the settings do not fit it."""
        return build(self.model, self.shape(), dict(self.options), self.seed or 0, self.init)

    def trained_in(self, precision: Precision) -> "Member":
        """This member as it was trained, with the precision that `auto` came to."""
        return replace(self, training=self.training and replace(self.training, precision=precision))

    def timed(self) -> "Member":
        """This member without what decides nothing about how long a batch takes."""
        return replace(self, group="", seed=0, training=replace(self.recipe, epochs=1, lr=1e-3))

    def kind_of_input(self) -> Input:
        """How samples for this member are made."""
        return cast(Input, INPUTS.make(self.input))

    def shape(self) -> Shape:
        """The shape of its samples."""
        return self.kind_of_input().shape(self.view)


def detector_class(model: str) -> type[NetworkDetector] | type[BankDetector]:
    """Return the kind of detector that a model is."""
    return NetworkDetector if model in NETWORKS else BankDetector


def models() -> dict[str, Catalog[Any]]:
    """Return the catalog of each model by the model's name: networks and banks, which share one space of names."""
    return {name: catalog for catalog in (NETWORKS, BANKS) for name in catalog.names()}


def named_code(code: Mapping[str, str]) -> dict[str, Any]:
    """A digest's part for code; nothing where all of it is the project's first, so that old digests stay."""
    return {"blocks": dict(code)} if code else {}


def digest_of(value: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, in a spelling that does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
