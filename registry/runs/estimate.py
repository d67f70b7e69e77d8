"""What a training will take: its time from a few batches of it, its memory from the shapes alone."""

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from vad.data.frame_index import FrameIndex
from vad.detectors.member import Member
from vad.detectors.networks import parameter_count
from vad.detectors.training.trainer import Diverged, train
from vad.inputs import Batch, Positions, Samples

# Batches that are timed, and pixels in each at most. A pass that only scores takes about a third of a training step.
_BATCHES, _PIXELS, _SCORING = 3, 2**19, 1 / 3
# Bytes of a process that has loaded PyTorch.
_PROCESS = 700_000_000


class Noise(Samples):
    """Some batches of a member's shape, for the clock alone."""

    def __init__(self, member: Member, batch: int, device: torch.device):
        super().__init__(np.empty(0, np.uint8), np.zeros((_BATCHES * batch, 1), np.intp), device)
        shape = member.kind_of_input().shape(member.size)
        self._given = torch.rand(batch, *shape.sides, device=device)
        frame = (shape.channels, shape.size, shape.size)
        self._target = self._given if shape.kind != "sequence" else torch.rand(batch, *frame, device=device)

    def batch(self, which: Positions) -> Batch:
        return Batch(self._given, self._target)


class Estimator:
    """Seconds of training and scoring by member; each kind of network is timed once."""

    def __init__(self, device: torch.device):
        self._device = device
        self._known: dict[str, float] = {}

    def seconds(self, members: Iterable[Member], train: FrameIndex, scored: Sequence[FrameIndex]) -> float:
        """Of training on these frames for all epochs (early stopping may make it less) and scoring those, roughly."""
        total = 0.0
        for member in members:
            kind = member.kind_of_input()
            passes = len(kind.reach(train, training=True)) * member.training.epochs
            total += self._sample(member) * (passes + _SCORING * sum(len(kind.reach(index)) for index in scored))
        return total

    def _sample(self, member: Member) -> float:
        settings = {key: value for key, value in member.settings().items() if key not in ("seed", "epochs", "lr")}
        key = repr(sorted(settings.items(), key=lambda item: item[0]))
        if key not in self._known:
            self._known[key] = self._time(member)
        return self._known[key]

    def _time(self, member: Member) -> float:
        batch = min(member.training.batch_size, max(2, _PIXELS // member.size**2))
        recipe = replace(member.training, epochs=1, patience=None, batch_size=batch)
        ends: list[float] = []

        def tell(count: int, loss: Tensor) -> None:
            loss.item()  # waits for a GPU
            ends.append(time.perf_counter())

        # The first batch warms up; of the others the fastest counts, as other work on the machine only slows.
        with contextlib.suppress(Diverged):  # noise may do that, and the training itself will say so
            train(member.build(), Noise(member, batch, self._device), recipe, 0, self._device, on_batch=tell)
        return min(end - start for start, end in pairwise(ends)) / batch


def memory(member: Member) -> int:
    """Bytes that training takes, roughly and without the frames: the process, the weights' copies, a batch's activations."""
    activations = 0

    def count(module: nn.Module, given: object, output: object) -> None:
        nonlocal activations
        activations += output.numel() if isinstance(output, Tensor) else 0

    with torch.device("meta"), torch.no_grad():
        network = member.build().eval()
        for module in network.modules():
            if not list(module.children()):
                module.register_forward_hook(count)
        network(torch.empty(member.training.batch_size, *member.kind_of_input().shape(member.size).sides))
    # Weights, their gradients, two numbers each of Adam's, the kept ones, and the state on its way out.
    return _PROCESS + 4 * (9 * parameter_count(network) + 2 * activations)
