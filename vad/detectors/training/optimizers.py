"""Optimisers and learning-rate schedules under the names that entries use."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler

from vad.catalog import Catalog, Count, NotNegative, Whole, Within

Parameters = Iterable[nn.Parameter]
Schedule = lr_scheduler.LRScheduler
OPTIMIZERS: Catalog[Callable[..., Optimizer]] = Catalog("optimizer")
SCHEDULES: Catalog[Callable[..., Schedule]] = Catalog("schedule")


@OPTIMIZERS.register("adam", version=1)
def adam(parameters: Parameters, lr: float, weight_decay: float) -> Optimizer:
    """Adam with PyTorch's betas; weight decay is added to the gradient (L2)."""
    return torch.optim.Adam(weight_decay=weight_decay, **_fused(parameters, lr))


@OPTIMIZERS.register("adamw", version=1)
def adamw(parameters: Parameters, lr: float, weight_decay: float) -> Optimizer:
    """Adam with decoupled weight decay."""
    return torch.optim.AdamW(weight_decay=weight_decay, **_fused(parameters, lr))


def _fused(parameters: Parameters, lr: float) -> dict[str, Any]:
    """One kernel for all parameters. On a GPU the learning rate is a tensor there, so that a recorded graph sees it change."""
    parameters = list(parameters)
    device = parameters[0].device
    if device.type != "cuda":
        return {"params": parameters, "lr": lr, "fused": True}
    return {"params": parameters, "lr": torch.tensor(lr, device=device), "fused": True, "capturable": True}


@SCHEDULES.register("cosine", version=1)
def cosine(optimizer: Optimizer, epochs: int, *, t_max: Count | None = None, eta_min: NotNegative = 0.0) -> Schedule:
    """Cosine annealing from lr to `eta_min` over `t_max` epochs (all of them by default), stepped once an epoch."""
    return lr_scheduler.CosineAnnealingLR(optimizer, T_max=t_max or epochs, eta_min=eta_min)


@SCHEDULES.register("warm_restarts", version=1)
def warm_restarts(
    optimizer: Optimizer, epochs: int, *, t_0: Count, t_mult: Count = 1, eta_min: NotNegative = 0.0
) -> Schedule:
    """Cosine annealing that restarts after `t_0` epochs, then after `t_mult` times as many, and so on."""
    return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, t_0, t_mult, eta_min)


@SCHEDULES.register("step", version=1)
def step(
    optimizer: Optimizer, epochs: int, *, step_size: Count, gamma: Annotated[float, Within(above=0, high=1)] = 0.1
) -> Schedule:
    """lr times `gamma` after every `step_size` epochs."""
    return lr_scheduler.StepLR(optimizer, step_size, gamma)


@SCHEDULES.register("plateau", version=1)
def plateau(
    optimizer: Optimizer,
    epochs: int,
    *,
    factor: Annotated[float, Within(above=0, high=0.999)] = 0.1,
    patience: Whole = 10,
) -> Schedule:
    """lr times `factor` when the training loss has not fallen for more than `patience` epochs, by PyTorch's rule."""
    return lr_scheduler.ReduceLROnPlateau(optimizer, "min", factor, patience)
