"""Frames on a GPU: one copy of a whole array for all its users, where it fits."""

from threading import Lock
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# The largest share of free memory that is taken: networks and their activations need the rest.
_SHARE = 0.6
_PIECE = 256 * 2**20

# By file, address, shape and device.
_held: WeakValueDictionary[tuple[object, ...], Tensor] = WeakValueDictionary()
_lock = Lock()


def on_device(array: NDArray[np.generic], device: torch.device) -> Tensor | None:
    """Return `array` as a tensor on `device`, a GPU; None where it does not fit, and on a CPU.

    Calls with the same memory map share one tensor while it is in use. Bytes are copied unchanged, and samples are
    computed from them on the device either way, so results do not depend on the free memory.
    """
    if device.type == "cpu":
        return None
    with _lock:
        place = array.__array_interface__["data"][0]
        key = (getattr(array, "filename", None), place, array.shape, str(device))
        if (tensor := _held.get(key)) is None and array.nbytes <= _SHARE * _room(device):
            tensor = _copy(array, device)
            if device.type == "cuda":  # so that other streams see the finished copy
                torch.cuda.current_stream(device).synchronize()
            if isinstance(array, np.memmap):  # addresses of other arrays are reused; a file of frames never changes
                _held[key] = tensor
        return tensor


def _room(device: torch.device) -> int:
    """Return the free bytes of the device, including what PyTorch's allocator caches."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _copy(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """Copy piece by piece, so that a memory map may be larger than main memory."""
    dtype = torch.from_numpy(array[:0].copy()).dtype
    tensor = torch.empty(array.shape, dtype=dtype, device=device)
    step = max(1, _PIECE // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        tensor[start : start + step].copy_(torch.from_numpy(np.array(array[start : start + step])))
    return tensor
