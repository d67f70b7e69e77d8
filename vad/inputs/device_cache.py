"""Frames on a GPU: the whole array once for all who look at it, where there is room."""

from threading import Lock
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Of the memory that is free, at most this share: networks and their activations want the rest.
_SHARE = 0.6
_PIECE = 256 * 2**20

# By file, place and shape in it, device.
_held: WeakValueDictionary[tuple[object, ...], Tensor] = WeakValueDictionary()
_lock = Lock()


def on_device(array: NDArray[np.generic], device: torch.device) -> Tensor | None:
    """`array` as a tensor on `device`, a GPU; None where there is no room, or nothing to be won as it is a CPU.

    Who asks for the same memory map gets the same tensor, as long as anybody holds it. Bytes go as they are: what
    is computed from them is computed there, so that results do not depend on the room.
    """
    if device.type == "cpu":
        return None
    with _lock:
        place = array.__array_interface__["data"][0]
        key = (getattr(array, "filename", None), place, array.shape, str(device))
        if (tensor := _held.get(key)) is None and array.nbytes <= _SHARE * _room(device):
            tensor = _copy(array, device)
            if device.type == "cuda":  # whoever looks at it from another stream finds it there
                torch.cuda.current_stream(device).synchronize()
            if isinstance(array, np.memmap):  # another array may lie there tomorrow; a file of frames never changes
                _held[key] = tensor
        return tensor


def _room(device: torch.device) -> int:
    """Bytes that are free on the device, those that PyTorch keeps for later among them."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _copy(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """Piece by piece, so that a memory map larger than main memory goes through it."""
    dtype = torch.from_numpy(array[:0].copy()).dtype
    tensor = torch.empty(array.shape, dtype=dtype, device=device)
    step = max(1, _PIECE // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        tensor[start : start + step].copy_(torch.from_numpy(np.array(array[start : start + step])))
    return tensor
