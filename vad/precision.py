"""In which number format a network computes."""

from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


def resolve(wish: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """`auto` is bf16 where the processor computes in it, else fp32. The answer is part of a member's digest."""
    if wish != "auto":
        return wish
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    capable = getattr(torch.cpu, "_is_avx512_bf16_supported", None) or getattr(
        torch.cpu, "_is_amx_tile_supported", None
    )
    return "bf16" if capable is not None and capable() else "fp32"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context in which a network's forward pass runs."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
