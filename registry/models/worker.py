"""A registered model by its own code, in a process of its own that answers requests of `loaded.ModelProcess`.

It imports the `vad` that lies with the model, and nothing of `registry`. Messages are JSON and arrays are files: no pickles.
"""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Advance = Callable[[int], object]


def write_errors(model: Any, name: str, frames: Mapping[int, Array], index: Any, path: Path, advance: Advance) -> Array:
    """Write a member's error in each frame into a file, (N, size, size) as float16: a long video's need much memory.

    Returns the largest error of each frame, (N,) float64, NaN where the member does not score it.
    """
    error_maps = _named("error_maps", "vad.scoring.frame_scores", "vad.scoring")
    available = _named("available", "vad.system.threads", "vad.threads") or os.cpu_count

    member, network = model.ensemble.members[name], model.ensemble.network(name)
    samples = member.kind_of_input().samples(frames[member.size], index, model.device)
    error_map = error_maps(network, samples, member.training.precision, model.device)
    peaks = np.full(len(index), np.nan)
    nothing = np.zeros((member.size, member.size), np.float16)

    def look(position: int) -> Array | None:
        seen = error_map(position)
        return None if seen is None else seen[2].numpy().astype(np.float16)

    # A frame at a time is work for one core.
    with path.open("wb") as file, ThreadPoolExecutor(available() or 1) as pool:
        for position, error in enumerate(pool.map(look, range(len(index)))):
            if error is not None:
                peaks[position] = error.max()
            file.write((nothing if error is None else error).tobytes())
            advance(1)
    return peaks


def _named(name: str, *modules: str) -> Any:
    """A name of the model's `vad`, from the first of the modules that has it: versions differ in where it stands."""
    for module in modules:
        with suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(module), name)
    return None


def _score(model: Any, request: dict[str, Any], advance: Advance) -> Any:
    index = _named("FrameIndex", "vad.data.frame_index", "vad.scores")(np.load("video.npy"), np.load("frame.npy"))
    files = request["frames"].items()
    frames = {int(size): np.memmap(path, np.uint8, "r", offset, tuple(shape)) for size, (path, offset, shape) in files}
    if request["member"]:
        return write_errors(model, request["member"], frames, index, Path(request["errors"]), advance)
    return model.ensemble.score(frames, index, model.device, request["normalization"], advance)


def main() -> None:
    folder, connection = sys.argv[1], Connection(int(sys.argv[2]))

    def tell(kind: str, value: Any) -> None:
        connection.send_bytes(json.dumps([kind, value]).encode())

    sys.path.insert(0, str(Path(folder) / "code"))
    try:
        import mlflow

        model = mlflow.pyfunc.load_model(folder).unwrap_python_model()
        sizes = {name: member.size for name, member in model.ensemble.members.items()}
        tell("result", [model.ensemble.variant_name, sizes])
        while True:
            request = json.loads(connection.recv_bytes())
            np.save("result.npy", _score(model, request, partial(tell, "advance")))
            tell("result", None)
    except EOFError:  # the process that asked has ended
        return
    except Exception as error:
        traceback.print_exc()
        tell("error", str(error) if type(error).__name__ == "InputError" else f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
