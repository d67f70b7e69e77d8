"""Run a registered model with the code that it was registered with, in a separate process that answers `loaded.ModelProcess`.

It imports the `vad` that is stored with the model, and nothing of `registry`. Messages are JSON and arrays are files: no pickles.
"""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Advance = Callable[[int], object]


def write_maps(model: Any, name: str, frames: Array, index: Any, path: Path, advance: Advance) -> Array:
    """Write a member's anomaly map of each frame, float16 (N, h, w), as .npy: the maps of a long video would fill the memory.

    `frames` are in the view of the member. Returns the largest value of each frame, (N,) float64, NaN where the member has no map.
    """
    available = _named("available", "vad.system.threads", "vad.threads") or os.cpu_count
    look = _maps(model, name, frames, index)
    peaks, file = np.full(len(index), np.nan), None
    # One frame keeps only one core busy.
    with ThreadPoolExecutor(available() or 1) as pool:
        for position, found in enumerate(pool.map(look, range(len(index)))):
            if found is not None:
                if file is None:
                    file = np.lib.format.open_memmap(path, "w+", np.float16, (len(index), *found.shape))
                peaks[position], file[position] = found.max(), found
            advance(1)
    return peaks


def _maps(model: Any, name: str, frames: Array, index: Any) -> Callable[[int], Array | None]:
    """Return a function from a frame to its map, (h, w), or None, whatever version the model's code is."""
    ensemble = model.ensemble
    if hasattr(ensemble, "explain"):
        explain = ensemble.explain(name, frames, index, model.device)
    else:  # a model from before there were detectors
        member = ensemble.members[name]
        samples = member.kind_of_input().samples(frames, index, model.device)
        error_maps = _named("error_maps", "vad.scoring.frame_scores", "vad.scoring")
        explain = error_maps(ensemble.network(name), samples, member.training.precision, model.device)

    def look(position: int) -> Array | None:
        found = explain(position)
        return None if found is None else np.asarray(found.map if hasattr(found, "map") else found[2])

    return look


def _named(name: str, *modules: str) -> Any:
    """Import a name of the model's `vad` from the first of these modules that has it: it moved between versions."""
    for module in modules:
        with suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(module), name)
    return None


def _score(model: Any, request: dict[str, Any], advance: Advance) -> Any:
    usable = np.load("usable.npy")
    frames_of = _named("FrameIndex", "vad.data.frame_index", "vad.scores")
    index = frames_of(np.load("video.npy"), np.load("frame.npy"), **({"usable": usable} if len(usable) else {}))
    frames = {n: np.memmap(path, np.uint8, "r", at, tuple(shape)) for n, (path, at, shape) in request["frames"].items()}
    ensemble, name = model.ensemble, request["member"]
    if name:
        return write_maps(model, name, frames[name], index, Path(request["maps"]), advance)
    seen = ensemble.view if hasattr(ensemble, "view") else lambda member: ensemble.members[member].size
    by_view = {seen(member): values for member, values in frames.items()}
    return ensemble.score(by_view, index, model.device, request["normalization"], advance)


def _decode(model: Any, request: dict[str, Any], advance: Advance) -> dict[str, str]:
    """Decode test frames, with the repairs of the model; return the file of each member's view."""
    frameset, store = (importlib.import_module(f"vad.{name}") for name in ("data.frameset", "frames.store"))
    known, videos = {field.name for field in fields(frameset.Video)}, []
    for given in request["decode"]:
        video = {key: value for key, value in given.items() if key in known}
        images, movie = given["images"], given["movie"]
        video |= {"images": images and tuple(map(Path, images)), "movie": movie and Path(movie)}
        videos.append(frameset.Video(**{key: tuple(v) if isinstance(v, list) else v for key, v in video.items()}))
    split, folder = frameset.Split("test", tuple(videos)), Path(request["folder"])
    _, index = model.ensemble.decode(split, folder, advance)
    np.save("usable.npy", [] if index.usable is None else index.usable)
    source = store.SplitSource(split)
    return {n: str(store.map_path(folder, source, model.ensemble.view(n))) for n in model.ensemble.members}


def main() -> None:
    folder, connection = sys.argv[1], Connection(int(sys.argv[2]))

    def tell(kind: str, value: Any) -> None:
        connection.send_bytes(json.dumps([kind, value]).encode())

    sys.path.insert(0, str(Path(folder) / "code"))
    try:
        import mlflow

        model = mlflow.pyfunc.load_model(folder).unwrap_python_model()
        tell("result", model.ensemble.variant_name)
        while True:
            request = json.loads(connection.recv_bytes())
            advance = partial(tell, "advance")
            if "decode" in request:
                tell("result", _decode(model, request, advance))
                continue
            np.save("result.npy", _score(model, request, advance))
            tell("result", None)
    except EOFError:  # the process that asked has ended
        return
    except Exception as error:
        traceback.print_exc()
        tell("error", str(error) if type(error).__name__ == "InputError" else f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
