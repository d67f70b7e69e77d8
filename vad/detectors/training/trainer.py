"""One member's training: epochs over all samples, early stopping on the training loss, best state restored.

An epoch's loss is the unweighted mean of its batch losses in train mode, the last, partial batch included, as in the
reference. The order of samples depends only on seed and epoch, so an interrupted training resumes exactly.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from vad.detectors.base import Diverged, Epoch, Listener, State, Trained
from vad.detectors.networks import place
from vad.detectors.training.optimizers import OPTIMIZERS, SCHEDULES
from vad.detectors.training.recipe import Training
from vad.detectors.training.train_step import Step, make_step
from vad.errors import InputError
from vad.inputs import Samples
from vad.system.memory import keep_freed_memory
from vad.system.precision import Precision, for_training
from vad.system.threads import limit
from vad.system.weights import fit_weights, load_tensors, save_tensors

_NOBODY = Listener()


@dataclass
class Progress:
    """The progress of a training; with the weights, all that is needed to continue it.

    `precision` and `threads` are those of the process that trained last. `stale` counts the epochs since the loss last
    improved on `best_loss`; `kept_epoch` is the one whose weights will be returned, 0 before the first.
    """

    precision: Precision
    threads: int
    epochs: list[Epoch] = field(default_factory=list)
    best_loss: float = math.inf
    kept_epoch: int = 0
    stale: int = 0


def train(
    network: nn.Module,
    samples: Samples,
    recipe: Training,
    seed: int,
    device: torch.device,
    listener: Listener = _NOBODY,
) -> Trained:
    """Train `network` in place by `recipe`. Raises Diverged where the loss is no longer finite."""
    resume = listener.resume
    keep_freed_memory()
    threads, precision = limit(), for_training(recipe.precision, device)
    place(network, device)
    optimizer = OPTIMIZERS[recipe.optimizer](network.parameters(), recipe.lr, recipe.weight_decay)
    schedule = SCHEDULES.make(recipe.schedule, optimizer, recipe.epochs) if recipe.schedule else None
    progress, kept = Progress(precision, threads), _copy(network)
    if resume is not None and resume.exists():
        progress, kept = _take_up(resume, network, optimizer, schedule)
        progress.precision, progress.threads = precision, threads
    resumed_after = len(progress.epochs)
    samples.settle()
    network.train()
    step = make_step(network, recipe, optimizer, precision, device)

    patience = math.inf if recipe.patience is None else recipe.patience
    while len(progress.epochs) < recipe.epochs and progress.stale < patience:
        number = len(progress.epochs) + 1
        lr = float(optimizer.param_groups[0]["lr"])
        started = time.perf_counter()
        loss = _one_epoch(samples, step, _order(len(samples), seed, number), listener.on_batch)
        if not math.isfinite(loss):
            raise Diverged(number, _trained(kept, progress, resumed_after) if progress.kept_epoch else None)
        epoch = Epoch(number, loss, lr, time.perf_counter() - started)
        progress.epochs.append(epoch)
        improved = loss < progress.best_loss - recipe.min_delta
        progress.stale = 0 if improved else progress.stale + 1
        if improved:
            progress.best_loss = loss
        if improved or recipe.keep == "last":
            progress.kept_epoch, kept = number, _copy(network)
        _step(schedule, loss)
        if resume is not None:
            _put_down(resume, network, optimizer, kept, progress)
        if listener.on_epoch:
            listener.on_epoch(epoch)

    network.load_state_dict(kept)
    return _trained(kept, progress, resumed_after)


def so_far(resume: Path) -> Trained:
    """Return the result so far of the training state in this file. Raises InputError where the file is damaged."""
    parts, progress = _read(resume)
    return _trained(parts["kept"] or parts["now"], progress, 0)


def _trained(kept: State, progress: Progress, resumed_after: int) -> Trained:
    loss, epochs = progress.epochs[progress.kept_epoch - 1].loss, tuple(progress.epochs)
    return Trained(kept, progress.kept_epoch, loss, epochs, progress.precision, progress.threads, resumed_after)


def _order(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))


def _one_epoch(samples: Samples, step: Step, order: Tensor, on_batch: Callable[[int, Tensor], None] | None) -> float:
    total = torch.zeros((), dtype=torch.float64, device=step.device)
    parts = torch.split(order, step.recipe.batch_size)
    for positions in parts:
        try:
            loss = step(samples.batch(positions.numpy()))
        except ValueError as error:
            # Batch normalisation over 1 x 1 maps needs two samples.
            batch = f"a batch of {len(positions)} ({len(order):,} samples in batches of {step.recipe.batch_size})"
            raise InputError(f"{batch} is too small: {error}; choose another batch_size") from None
        total += loss
        if on_batch:
            on_batch(len(positions), loss)
    return float(total) / len(parts)


def _step(schedule: LRScheduler | None, loss: float) -> None:
    if isinstance(schedule, ReduceLROnPlateau):
        schedule.step(loss)
    elif schedule is not None:
        schedule.step()


def _copy(network: nn.Module) -> State:
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in network.state_dict().items()}


def _put_down(path: Path, network: nn.Module, optimizer: Optimizer, kept: State, progress: Progress) -> None:
    """Write the state after an epoch. The kept weights are left out where they are the present ones."""
    tensors = {f"now/{name}": tensor for name, tensor in network.state_dict().items()}
    if progress.kept_epoch != len(progress.epochs):
        tensors |= {f"kept/{name}": tensor for name, tensor in kept.items()}
    for number, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{slot}": value for slot, value in slots.items()}
    save_tensors(path, tensors, {**asdict(progress), "best_loss": repr(progress.best_loss)})


def _take_up(
    path: Path, network: nn.Module, optimizer: Optimizer, schedule: LRScheduler | None
) -> tuple[Progress, State]:
    """Restore what `_put_down` wrote. The schedule has no state of its own: it is stepped through the past losses."""
    parts, progress = _read(path)
    for part in ("kept", "now"):
        if parts[part] or part == "now":
            fit_weights(network, parts[part], str(path))
    parameters = list(network.parameters())
    slots: dict[int, dict[str, Tensor]] = {}
    try:
        for key, tensor in parts["optimizer"].items():
            number, slot = key.split("/")
            parameter = parameters[int(number)]
            if tensor.shape:  # fused kernels need the parameter's strides; the file has none
                tensor = torch.empty_like(parameter).copy_(tensor.reshape(parameter.shape))
            slots.setdefault(int(number), {})[slot] = tensor
    except (ValueError, LookupError, RuntimeError) as error:
        raise _unusable(path, error) from None
    for epoch in progress.epochs:
        optimizer._opt_called = True  # type: ignore[attr-defined]  # its steps are in the state: no warning
        _step(schedule, epoch.loss)
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress, parts["kept"] or _copy(network)


def _read(path: Path) -> tuple[dict[str, State], Progress]:
    """What `_put_down` wrote: the tensors of each part, and where the training stood."""
    tensors, about = load_tensors(path)
    parts: dict[str, State] = {"now": {}, "kept": {}, "optimizer": {}}
    try:
        for key, tensor in tensors.items():
            part, name = key.split("/", 1)
            parts[part][name] = tensor
        epochs = [Epoch(e["number"], float(e["loss"]), float(e["lr"]), float(e["seconds"])) for e in about["epochs"]]
        best_loss, kept_epoch, stale = float(about["best_loss"]), int(about["kept_epoch"]), int(about["stale"])
        progress = Progress(about["precision"], int(about["threads"]), epochs, best_loss, kept_epoch, stale)
        if [e.number for e in epochs] != list(range(1, len(epochs) + 1)) or not 0 < progress.kept_epoch <= len(epochs):
            raise ValueError("its epochs do not follow one another")
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise _unusable(path, error) from None
    return parts, progress


def _unusable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is not a training state: {error!r:.200}; remove it, and the training starts again")
