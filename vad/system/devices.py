"""The device on which networks compute: the one asked for by `VAD_DEVICE`, else a GPU where there is one."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vad.errors import InputError

VARIABLE = "VAD_DEVICE"
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def device() -> torch.device:
    """Return the device to compute on. Raises InputError where the requested one is missing."""
    asked = os.environ.get(VARIABLE)
    chosen = _checked(asked) if asked else torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if chosen.type == "cuda":
        _same_bits_each_time()
    return chosen


def _same_bits_each_time() -> None:
    """Take kernels that add in one order, as cuDNN's fastest for transposed convolutions do not. Source: PyTorch's notes on
    reproducibility."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
    torch.backends.cudnn.deterministic = True


@contextmanager
def computing_on(asked: str) -> Iterator[None]:
    """Let this process, and each that it starts, compute on a device, as in `cpu`, `cuda`, `cuda:1`. Raises InputError."""
    chosen = _checked(asked)
    given = {VARIABLE: chosen.type}
    # Libraries, and models with code of an earlier version, look for GPUs themselves: they find this one or none.
    if chosen.type == "cpu":
        given[_VISIBLE] = ""
    elif chosen.index is not None:
        known = os.environ.get(_VISIBLE)
        given[_VISIBLE] = known.split(",")[chosen.index] if known else str(chosen.index)
    before = {name: os.environ.get(name) for name in given}
    os.environ |= given
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ |= {name: value} if value is not None else {}


def _checked(asked: str) -> torch.device:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", asked):
        raise InputError(f"device {asked}: give cpu, cuda, or cuda:N for one of several GPUs, as in cuda:1")
    chosen, count = torch.device(asked), torch.cuda.device_count()
    if chosen.type == "cuda" and (chosen.index or 0) >= count:
        there = f"the GPUs here are cuda:0 to cuda:{count - 1}" if count else "PyTorch finds no GPU here"
        raise InputError(f"device {asked}: {there}; give another by --device or {VARIABLE}, or leave it out")
    return chosen
