"""Use a registered model like an ensemble of this process, though it runs with its own code in another one."""

import json
import mmap
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vad.blocks import sources
from vad.data.frame_index import FrameIndex, Values
from vad.data.frameset import Split
from vad.errors import InputError
from vad.frames.store import Advance, Frames, SplitSource, open_frames
from vad.images.view import View
from vad.scoring.ensemble import Normalization, read_views
from vad.system.files import last_line, sha256


def has_this_code(folder: Path) -> bool:
    """Whether the code that is stored with a model is this project's, file by file."""
    code = folder / "code" / "vad"
    theirs = {path.relative_to(code).as_posix(): sha256(path) for path in code.rglob("*.py")}
    return theirs == {name: sha256(path) for name, path in sources().items()}


class ModelProcess:
    """A model in another process, used like MLflow's Python model and its ensemble. Raises InputError."""

    def __init__(self, folder: Path, uri: str):
        self._uri = uri
        self._work = Path(tempfile.mkdtemp(prefix="work-", dir=folder))
        self._log = self._work / "log.txt"
        self._connection, theirs = Pipe()
        worker = str(Path(__file__).with_name("worker.py"))
        program = [sys.executable, "-P", worker, str(folder), str(theirs.fileno())]
        with self._log.open("wb") as log, theirs:
            self._process = subprocess.Popen(
                program, cwd=self._work, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[theirs.fileno()]
            )
        self._end = weakref.finalize(self, _end, self._connection, self._process)
        self.variant_name = self._answer(None)
        self.ensemble, self.device = self, torch.device("cpu")  # the other process chooses its own
        self.members = read_views(folder / "artifacts" / "ensemble")

    def view(self, name: str) -> View:
        return self.members[name]

    def views(self) -> list[View]:
        return list(dict.fromkeys(self.members.values()))

    def decode(
        self, split: Split, folder: Path, advance: Advance | None = None
    ) -> tuple[dict[View, Frames], FrameIndex]:
        """Decode as `Ensemble.decode` does: where the model has repairs, by its own code."""
        if not any(view.repairs for view in self.members.values()):
            return open_frames(SplitSource(split), self.views(), folder, advance), split.index
        videos = [asdict(video) for video in split.videos]
        places = self._request({"decode": videos, "folder": str(folder.resolve())}, advance)
        usable = np.load(self._work / "usable.npy")
        frames = {self.view(name): np.load(path, mmap_mode="r") for name, path in places.items()}
        return frames, replace(split.index, usable=usable if len(usable) else None)

    def score(
        self,
        frames: Mapping[View, Frames],
        index: FrameIndex,
        device: torch.device | None = None,
        normalization: Normalization = "stored",
        advance: Advance | None = None,
    ) -> Values:
        """Score as `Ensemble.score` does; `device` is ignored."""
        return self._ask(frames, index, advance, normalization=normalization, member=None)

    def write_maps(self, member: str, frames: Frames, index: FrameIndex, path: Path, advance: Advance) -> Values:
        """Write anomaly maps as the worker's `write_maps` does."""
        return self._ask({self.view(member): frames}, index, advance, member=member, maps=str(path.resolve()))

    def _ask(self, frames: Mapping[View, Frames], index: FrameIndex, advance: Advance | None, **request: Any) -> Values:
        np.save(self._work / "video.npy", index.video)
        np.save(self._work / "frame.npy", index.frame)
        np.save(self._work / "usable.npy", [] if index.usable is None else index.usable)
        stored = {view: self._file(view, values) for view, values in frames.items() if view in self.members.values()}
        files = {name: stored[view] for name, view in self.members.items() if view in stored}
        self._request({**request, "frames": files}, advance)
        return np.asarray(np.load(self._work / "result.npy"))

    def _request(self, request: dict[str, Any], advance: Advance | None) -> Any:
        with suppress(BrokenPipeError):  # `_answer` says why
            self._connection.send_bytes(json.dumps(request, default=str).encode())
        return self._answer(advance)

    def _file(self, view: View, values: Frames) -> tuple[str, int, tuple[int, ...]]:
        """Return path, offset and shape of frames on disk; frames that are only a part of a file are copied."""
        # A part of a map has the map as its base, and the map's offset.
        if isinstance(values, np.memmap) and values.filename and isinstance(values.base, mmap.mmap):
            return str(Path(values.filename).resolve()), values.offset, values.shape
        path = self._work / f"frames-{view.label}.bin"
        values.tofile(path)
        return str(path), 0, values.shape

    def _answer(self, advance: Advance | None) -> Any:
        """Return the answer to the last request; progress goes to `advance`."""
        try:
            while True:
                kind, value = json.loads(self._connection.recv_bytes())
                if kind == "error":
                    raise InputError(f"{self._uri}, by its own code: {' '.join(value.split()):.300}")
                if kind == "result":
                    return value
                if advance:
                    advance(value)
        except (EOFError, ConnectionResetError):
            status = self._process.wait()
            ended = f"it ended with status {status}: {last_line(self._log)}"
            raise InputError(f"{self._uri}, by its own code: {ended}") from None
        except BaseException:
            self._end()
            raise


def _end(connection: Connection, process: subprocess.Popen[bytes]) -> None:
    connection.close()
    process.kill()
    process.wait()
