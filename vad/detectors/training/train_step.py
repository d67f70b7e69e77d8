"""One training step: a batch in, its loss out, the weights changed. On a GPU it is recorded once and played back."""

from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor, nn

from vad.detectors.training.losses import weighted_loss
from vad.detectors.training.recipe import Training
from vad.inputs import Batch, fold_frames
from vad.system.precision import Precision, autocast

# Steps before a recording: the first ones choose kernels and make the optimiser's state.
_WARM_UP = 3
# A recording must not see another one begin.
_recording = Lock()


@dataclass
class Step:
    """Forward and backward pass and the optimiser's step, one after the other."""

    network: nn.Module
    recipe: Training
    optimizer: torch.optim.Optimizer
    precision: Precision
    device: torch.device

    def __post_init__(self) -> None:
        self._measure = weighted_loss(self.recipe.loss)

    def __call__(self, batch: Batch) -> Tensor:
        """The loss of the batch, before the step, on the device."""
        with autocast(self.precision, self.device):
            output = self.network(batch.given)
        loss = self._measure(fold_frames(output.float()), fold_frames(batch.target))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.grad_clip)
        self.optimizer.step()
        return loss.detach()


class RecordedStep(Step):
    """The same as one CUDA graph, so that small batches do not wait for Python to launch a hundred kernels.

    The first steps are plain ones, and so is that of a batch of another size, as an epoch's last may be.

    Source: PyTorch's notes on CUDA graphs, "whole network capture".
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self._warm = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: Batch
        self._loss: Tensor

    def __call__(self, batch: Batch) -> Tensor:
        if len(batch.given) != self.recipe.batch_size:
            return super().__call__(batch)
        if self._warm < _WARM_UP:
            self._warm += 1
            return self._aside(batch)
        if self._graph is None:
            self._record(batch)
        assert self._graph is not None
        self._batch.given.copy_(batch.given)
        if batch.target is not batch.given:
            self._batch.target.copy_(batch.target)
        self._graph.replay()
        return self._loss.clone()

    def _aside(self, batch: Batch) -> Tensor:
        """A plain step on a stream of its own, as a recording wants them before it."""
        self._side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._side):
            loss = super().__call__(batch)
        torch.cuda.current_stream(self.device).wait_stream(self._side)
        return loss

    def _record(self, batch: Batch) -> None:
        given = batch.given.clone()
        self._batch = Batch(given, given if batch.target is batch.given else batch.target.clone())
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with _recording, torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._loss = super().__call__(self._batch)
        self._graph = graph


def make_step(
    network: nn.Module, recipe: Training, optimizer: torch.optim.Optimizer, precision: Precision, device: torch.device
) -> Step:
    """The fastest kind of step on this device."""
    return (RecordedStep if device.type == "cuda" else Step)(network, recipe, optimizer, precision, device)
