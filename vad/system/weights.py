"""Weights and training states as safetensors: tensors and text, nothing that could be code."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vad.errors import InputError
from vad.system.files import replacing


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors and a JSON-able description, whole or not at all."""
    from safetensors.torch import save

    # The file knows shapes, not strides; scalars and strided views are written as plain copies.
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        # Not by `save_file`, which leaves a temporary file behind when the process is killed.
        temporary.write_bytes(save(plain, metadata={"about": json.dumps(about, sort_keys=True)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_tensors` wrote. Raises InputError where the file is damaged or is not such a file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged or no safetensors file: {error}") from None


def fit_weights(network: torch.nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load `state` into `network`. Raises InputError that names the first tensor that does not match."""
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{source}: the weights do not fit the network: {reason}") from None
