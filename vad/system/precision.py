"""In which number format a network computes: what was asked for, and what the processor at hand is good at."""

import functools
import logging
import os
import timeit
from typing import Literal

import torch
from torch.nn import functional

Precision = Literal["fp32", "bf16"]
Wish = Literal["auto", "fp32", "bf16"]

_log = logging.getLogger("vad")

# oneDNN computes in bf16 itself from these instruction sets on; below them it converts number by number, in software.
_ISA_WITH_BF16 = ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX10", "DEFAULT", "ALL")


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16, within `ATEN_CPU_CAPABILITY` and `ONEDNN_MAX_CPU_ISA`."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "DEFAULT"
    capability = torch.backends.cpu.get_cpu_capability()
    if not limit.upper().startswith(_ISA_WITH_BF16) or capability in ("DEFAULT", "NO AVX", "AVX2"):
        return False
    features = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in features)


def for_training(wish: Wish, device: torch.device) -> Precision:
    """`auto` is bf16 where the device computes in it, else fp32. A `bf16` that is emulated is obeyed, with a warning."""
    native = computes_in_bf16(device)
    if wish == "bf16" and not native:
        slower = f"measured {slowdown(device):.0f} times slower than fp32"
        _warn_once(f"precision: bf16 is emulated on this processor, {slower}; precision: auto takes fp32 here")
    return wish if wish != "auto" else "bf16" if native else "fp32"


def for_scoring(trained: Wish, device: torch.device) -> Precision:
    """The format in which the network was trained, but fp32 where the device only emulates bf16; that is logged once."""
    if trained != "bf16" or computes_in_bf16(device):
        return for_training(trained, device)
    # By `python -m benchmarks.precision --sizes 64 128 256`.
    _warn_once(
        "trained in bf16, which this processor only emulates, so scored in fp32: "
        "on the demo street at 64 to 256 px a frame's score differs by up to 0.004, AP by 0.005"
    )
    return "fp32"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context in which a network's forward pass runs."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@functools.cache
def _warn_once(message: str) -> None:
    _log.warning(message)


@functools.cache
def slowdown(device: torch.device) -> float:
    """How many times longer a small convolution takes in bf16 than in fp32, measured now in a fraction of a second."""

    def seconds(dtype: torch.dtype) -> float:
        maps = torch.ones(1, 32, 16, 16, device=device, dtype=dtype)
        weight = torch.ones(32, 32, 3, 3, device=device, dtype=dtype)
        work = lambda: float(functional.conv2d(maps, weight).sum())  # noqa: E731  # the number waits for a GPU
        return min(timeit.repeat(work, number=1, repeat=6))

    return seconds(torch.bfloat16) / seconds(torch.float32)
