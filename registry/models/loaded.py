"""A registered model by its own code, in a process of its own, used like an ensemble in this one."""

import json
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

import vad
from registry.servers import last_line
from vad.data.frame_index import FrameIndex, Values
from vad.errors import InputError
from vad.frames.store import Advance, Frames
from vad.scoring.ensemble import Normalization
from vad.system.files import sha256


def has_this_code(folder: Path) -> bool:
    """Whether the code that lies with a model is this project's, file by file."""
    return _sources(folder / "code" / "vad") == _sources(Path(vad.__file__).parent)


def _sources(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*.py")}


@dataclass(frozen=True)
class About:
    """What this process knows of a member in another."""

    name: str
    size: int


class Apart:
    """A model by its own code, in a process that lives as long as this object. It is used like MLflow's Python model.

    Raises InputError for what the other process complains of.
    """

    def __init__(self, folder: Path, uri: str):
        self._uri = uri
        self._work = Path(tempfile.mkdtemp(prefix="work-", dir=folder))
        self._log = self._work / "log.txt"
        program = [sys.executable, "-P", str(Path(__file__).with_name("worker.py")), str(folder)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                program, cwd=self._work, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._end = weakref.finalize(self, _end, self._process)
        about = self._wait(None)
        self.ensemble, self.device = self, torch.device("cpu")  # the other process chooses its own
        self.variant_name = str(about["variant"])
        self.members = {name: About(name, size) for name, size in about["members"].items()}

    def sizes(self) -> list[int]:
        return sorted({member.size for member in self.members.values()})

    def score(
        self,
        frames: Mapping[int, Frames],
        index: FrameIndex,
        device: torch.device | None = None,
        normalization: Normalization = "stored",
        advance: Advance | None = None,
    ) -> Values:
        """As `Ensemble.score`; `device` is not heeded."""
        return self._ask(frames, index, advance, normalization=normalization, member=None)

    def errors(
        self, member: str, frames: Mapping[int, Frames], index: FrameIndex, file: BinaryIO, advance: Advance
    ) -> Values:
        """As `write_errors`."""
        path = self._work / "errors.bin"
        peaks = self._ask(frames, index, advance, member=member, errors=str(path))
        with path.open("rb") as written:
            while block := written.read(2**24):
                file.write(block)
        file.flush()
        path.unlink()
        return peaks

    def _ask(self, frames: Mapping[int, Frames], index: FrameIndex, advance: Advance | None, **request: Any) -> Values:
        for name in ("video", "frame"):
            np.save(self._work / f"{name}.npy", getattr(index, name))
        files = {size: self._file(size, values) for size, values in frames.items() if size in self.sizes()}
        request |= {name: str(self._work / f"{name}.npy") for name in ("video", "frame", "result")}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({**request, "frames": files}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it is told below why
        self._wait(advance)
        return np.asarray(np.load(self._work / "result.npy"))

    def _file(self, size: int, values: Frames) -> dict[str, Any]:
        """Where frames lie on disk; those that are a part of a file are copied."""
        if isinstance(values, np.memmap) and values.filename and values.flags.c_contiguous:
            path = Path(values.filename)
            if values.offset + values.nbytes == path.stat().st_size:
                return {"path": str(path.resolve()), "offset": values.offset, "shape": values.shape}
        path = self._work / f"frames-{size}.bin"
        values.tofile(path)
        return {"path": str(path), "offset": 0, "shape": values.shape}

    def _wait(self, advance: Advance | None) -> dict[str, Any]:
        """The answer to the last request; progress goes to `advance`."""
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                told = json.loads(line)
                if "error" in told:
                    raise InputError(f"{self._uri}, by its own code: {' '.join(told['error'].split()):.300}")
                if "advance" not in told:
                    return dict(told)
                if advance:
                    advance(told["advance"])
        except BaseException:
            self._end()
            raise
        status = self._process.wait()
        raise InputError(f"{self._uri}, by its own code: it ended with status {status}: {last_line(self._log)}")


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.kill()
    process.wait()
