"""Networks as detectors: fitting is training by gradient descent, a map is how far a frame is from what the network made of it."""

import time
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vad.catalog import Named
from vad.detectors.base import Listener, Output, Scorer, State, Trained
from vad.detectors.member import Member
from vad.detectors.networks import fold_batch_norm, parameter_count, place
from vad.detectors.networks.reconstruction_errors import ERRORS, MAPS
from vad.detectors.training.losses import weighted_loss
from vad.detectors.training.optimizers import OPTIMIZERS
from vad.detectors.training.train_step import Step
from vad.detectors.training.trainer import train
from vad.errors import InputError
from vad.inputs import Batch, Positions, Samples, fold_frames
from vad.system.memory import keep_freed_memory
from vad.system.precision import Wish, autocast, for_scoring, for_training
from vad.system.threads import limit
from vad.system.weights import fit_weights
from vad.user_code import told

# Samples of a pass. On a CPU it holds about so many pixels of what is scored, as a request for one frame pays for a whole pass; a GPU is
# filled by many samples only. Another number gives other last bits in bf16.
_PIXELS, _LEAST_SAMPLES, MOST_SAMPLES = 2**17, 16, 64
_MOST_PIXELS = 2**21
# Of an estimate: batches that are timed, pixels in each at most. A pass that only scores takes about a third of a training step.
_TIMED, _TIMED_PIXELS, _SCORING = 3, 2**19, 1 / 3
# Bytes of a process that has loaded PyTorch.
_PROCESS = 700_000_000


class NetworkDetector:
    """A network of the catalog of models under a training recipe."""

    trained: ClassVar[bool] = True
    maps: ClassVar[tuple[str, ...]] = tuple(MAPS)
    has_errors: ClassVar[bool] = True

    def __init__(self, member: Member):
        self._member = member

    def try_out(self) -> int:
        """See `Detector.try_out`. The project's networks were tried before; one of your own gets a batch of two."""
        member, network = self._member, self._member.build()
        if member.code():
            shape = member.shape()
            given, target = torch.zeros(2, *shape.sides), torch.zeros(2, *shape.target)
            try:
                with torch.random.fork_rng(devices=[]):
                    output = network(given)
                    if output.shape != target.shape:
                        shapes = f"{tuple(output.shape)} for a batch of two, not {tuple(target.shape)}"
                        raise InputError(f'model "{member.model}" gives {shapes}')
                    loss = weighted_loss(member.recipe.loss)(fold_frames(output), fold_frames(target))
                    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
                        made = tuple(loss.shape) if isinstance(loss, torch.Tensor) else f"a {type(loss).__name__}"
                        raise InputError(
                            f"loss {member.recipe.loss} gives {made}, but must give a tensor of one number"
                        )
                    if not loss.requires_grad:
                        why = "gives what does not depend on its weights; see its forward, and the loss"
                        raise InputError(f'model "{member.model}" {why}')
                    for what, values in ((f'model "{member.model}"', output), (f"loss {member.recipe.loss}", loss)):
                        if not values.isfinite().all():
                            raise InputError(f"{what} gives NaN or infinite values")
                    loss.backward()  # type: ignore[no-untyped-call]
            except (InputError, MemoryError):
                raise
            except Exception as error:
                raise InputError(f'model "{member.model}" fails: {told(error)}') from error
        return parameter_count(network)

    def require_samples(self, count: int) -> None:
        size = self._member.recipe.batch_size
        if count % size == 1 % size:  # a batch of one, on which batch norm over 1 x 1 maps cannot train
            try:
                with torch.no_grad():
                    self._member.build().train()(torch.zeros(1, *self._member.shape().sides))
            except ValueError as error:
                raise InputError(
                    f"batch_size: {size} leaves one of {count:,} samples for the last batch, on which this network "
                    f"cannot train ({error}); choose another"
                ) from None

    def seconds(self, fitted: int, scored: int, device: torch.device) -> float:
        return _seconds_a_sample(self._member.timed(), device) * (
            fitted * self._member.recipe.epochs + _SCORING * scored
        )

    def memory(self) -> int:
        activations = 0

        def count(module: nn.Module, given: object, output: object) -> None:
            nonlocal activations
            activations += output.numel() if isinstance(output, Tensor) else 0

        with torch.device("meta"), torch.no_grad():
            network = self._member.build().eval()
            for module in network.modules():
                if not list(module.children()):
                    module.register_forward_hook(count)
            network(torch.empty(self._member.recipe.batch_size, *self._member.shape().sides))
        # Weights, their gradients, two numbers each of Adam's, the kept ones, and the state on its way out.
        return _PROCESS + 4 * (9 * parameter_count(network) + 2 * activations)

    def fit(self, samples: Samples, device: torch.device, listener: Listener) -> Trained:
        member = self._member
        if member.code():  # an input of your own may give what it does not say
            given, said = samples.batch(np.zeros(1, np.intp)).given.shape[1:], member.shape().sides
            if tuple(given) != said:
                raise InputError(
                    f'input "{member.input.label}" gives samples of {tuple(given)}, but its shape is {said}'
                )
        return train(member.build(), samples, member.recipe, member.seed or 0, device, listener)

    def scorer(self, state: State, source: str, device: torch.device, *, leave_out: bool = False) -> Scorer:
        network = self._member.build()
        fit_weights(network, state, source)
        return NetworkScorer(network, self._member.recipe.precision, device)


class NetworkScorer:
    """A trained network in evaluation mode. Batch norm is folded, which takes as long as scoring a few frames."""

    def __init__(self, network: nn.Module, trained: Wish, device: torch.device):
        """`trained` is the precision of the training."""
        keep_freed_memory()
        limit()
        self._network, self._device = fold_batch_norm(network), device
        self._precision = for_scoring(trained, device)
        place(self._network, device)  # here, as weights that are moved while another thread reads them give any output

    def pass_size(self, samples: Samples) -> int:
        if not len(samples):
            return 1
        target = samples.batch(np.zeros(1, np.intp)).target
        pixels = target.numel() // target.shape[1]
        wanted = max(_LEAST_SAMPLES, _PIXELS // pixels) if self._device.type == "cpu" else MOST_SAMPLES
        return max(1, min(wanted, MOST_SAMPLES, _MOST_PIXELS // pixels))

    def run(self, samples: Samples, which: Positions) -> Output:
        batch = samples.batch(which)
        with autocast(self._precision, self._device):
            output = self._network(batch.given)
        return _Reconstruction(samples, fold_frames(output.float()), fold_frames(batch.target))


@dataclass(frozen=True)
class _Reconstruction:
    """What a network made of frames, and what it was to make of them, (F, C, H, W) both."""

    samples: Samples
    output: Tensor
    target: Tensor

    def map(self, kind: str) -> Tensor:
        return MAPS[kind](self.output, self.target)

    def error(self, error: Named) -> Tensor:
        found: Tensor = ERRORS.make(error, self.output, self.target)
        return found

    def pictures(self, frame: int) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        seen, made = (self.samples.picture(values[[frame]].cpu())[0].numpy() for values in (self.target, self.output))
        return seen, made


@cache
def _seconds_a_sample(member: Member, device: torch.device) -> float:
    limit()
    recipe, shape = member.recipe, member.shape()
    size = min(recipe.batch_size, max(2, _TIMED_PIXELS // (shape.height * shape.width)))
    given = torch.rand(size, *shape.sides, device=device)
    batch = Batch(given, given[:, 0] if shape.kind == "sequence" else given)
    network = member.build().train()
    place(network, device)
    optimizer = OPTIMIZERS[recipe.optimizer](network.parameters(), recipe.lr, recipe.weight_decay)
    step = Step(network, recipe, optimizer, for_training(recipe.precision, device), device)
    ends = []
    for _ in range(_TIMED):
        step(batch).item()  # waits for a GPU
        ends.append(time.perf_counter())
    # The first batch warms up; of the others the fastest counts, as other work on the machine only slows.
    return min(end - start for start, end in pairwise(ends)) / size
