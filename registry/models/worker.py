"""A registered model by its own code, in a process of its own: a program that reads requests, a line of JSON each.

It runs outside this project: of `vad` it imports what lies with the model, of `registry` nothing. Arrays go through files.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray


def write_errors(
    ensemble: Any,
    name: str,
    frames: Mapping[int, NDArray[np.uint8]],
    index: Any,
    device: Any,
    file: BinaryIO,
    advance: Callable[[int], object],
) -> NDArray[np.float64]:
    """Write a member's error in each frame, (N, size, size) as float16, one after another: those of a long video do
    not fit into memory. Return the largest of each frame, (N,), NaN where the member does not score it."""
    error_maps = _named("error_maps", "vad.scoring.frame_scores", "vad.scoring")

    member, network = ensemble.members[name], ensemble.network(name)
    samples = member.kind_of_input().samples(frames[member.size], index, device)
    error_map = error_maps(network, samples, member.training.precision, device)
    peaks = np.full(len(index), np.nan)
    nothing = np.zeros((member.size, member.size), np.float16)

    def look(position: int) -> NDArray[np.float16] | None:
        seen = error_map(position)
        return None if seen is None else seen[2].numpy().astype(np.float16)

    with ThreadPoolExecutor(_processors()) as pool:  # a frame at a time is work for one core
        for position, error in enumerate(pool.map(look, range(len(index)))):
            if error is not None:
                peaks[position] = error.max()
            file.write((nothing if error is None else error).tobytes())
            advance(1)
    file.flush()
    return peaks


def _named(name: str, *modules: str) -> Any:
    """A name of the model's `vad`, from the first of the modules that is there: versions differ in where it stands."""
    for module in modules:
        with suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(module), name)
    return None


def _processors() -> int:
    available = _named("available", "vad.system.threads", "vad.threads")
    return available() if available else os.cpu_count() or 1


def _answer(model: Any, request: dict[str, Any], advance: Callable[[int], object]) -> None:
    index = _named("FrameIndex", "vad.data.frame_index", "vad.scores")(
        np.load(request["video"]), np.load(request["frame"])
    )
    frames = {
        int(size): np.memmap(f["path"], np.uint8, "r", f["offset"], tuple(f["shape"]))
        for size, f in request["frames"].items()
    }
    if request["member"] is None:
        result = model.ensemble.score(frames, index, model.device, request["normalization"], advance)
    else:
        with Path(request["errors"]).open("wb") as file:
            result = write_errors(model.ensemble, request["member"], frames, index, model.device, file, advance)
    np.save(request["result"], result)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer

    def say(**told: Any) -> None:
        print(json.dumps(told), file=answers, flush=True)

    def attempt(work: Callable[[], dict[str, Any]]) -> None:
        try:
            told = work()
        except Exception as error:  # one line for the one who asked; the traceback for the log
            import traceback

            traceback.print_exc()
            yours = type(error).__name__ == "InputError"
            told = {"error": str(error) if yours else f"{type(error).__name__}: {error}"}
        say(**told)

    def load() -> dict[str, Any]:
        import mlflow

        models.append(mlflow.pyfunc.load_model(sys.argv[1]).unwrap_python_model())
        ensemble = models[0].ensemble
        sizes = {name: member.size for name, member in ensemble.members.items()}
        return {"variant": ensemble.variant_name, "members": sizes, "sizes": ensemble.sizes()}

    def answer(line: str) -> dict[str, Any]:
        _answer(models[0], json.loads(line), lambda count: say(advance=count))
        return {"done": True}

    models: list[Any] = []
    sys.path.insert(0, str(Path(sys.argv[1]) / "code"))
    attempt(load)
    for line in sys.stdin:
        attempt(partial(answer, line))


if __name__ == "__main__":
    main()
