"""The registered model as MLflow loads it: models-from-code, so nothing is unpickled.

It needs its requirements and the model's own copy of `vad`, but not this project's checkout.
"""

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from numbers import Real
from pathlib import Path
from threading import Lock
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from numpy.typing import NDArray

from vad.data.frame_index import FrameIndex, number_of
from vad.errors import InputError
from vad.frames.repaired import usable
from vad.images.decode import decode_image
from vad.images.view import View, look
from vad.scoring import ensemble
from vad.system.devices import device
from vad.system.threads import available

_COLUMNS = ["video", "frame", "image"]
_LARGEST = 999_999_999


class Refused(InputError, MlflowException):  # type: ignore[misc]
    """Bad input: an InputError as everywhere, which MLflow's server answers with HTTP 400 and the message."""

    def __init__(self, message: str):
        super().__init__(message, INVALID_PARAMETER_VALUE)


class EnsembleModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Frames in, anomaly scores out. Several threads may ask at once."""

    def load_context(self, context: Any) -> None:
        self.ensemble = ensemble.load(Path(context.artifacts["ensemble"]))
        self.device = device()
        self._pool = ThreadPoolExecutor(available(), thread_name_prefix="decode")
        # A network takes all cores; two at once would wait for each other in every layer.
        self._turn = Lock()

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Score a table of video (whole number or name), frame (whole number) and image (JPEG or PNG, as bytes or base64).

        Returns video, frame, score in the order of the input; frames of a video are smoothed in the order of their numbers.
        Raises InputError with the row of an unusable image or number, or of a repeated frame.
        """
        try:
            return self._scored(model_input, (params or {}).get("normalization", "stored"))
        except InputError as error:
            raise Refused(str(error)) from None

    def _scored(self, table: pd.DataFrame, normalization: Any) -> pd.DataFrame:
        if normalization not in ("stored", "own"):
            raise InputError(f'normalization must be "stored" or "own", not {normalization!r}')
        if missing := [name for name in _COLUMNS if name not in table.columns]:
            raise InputError(f"there is no column {' or '.join(missing)}; a table has {', '.join(_COLUMNS)}")
        # A batch job may have an empty part; a request without a frame is a mistake.
        if table.empty and os.environ.get("_MLFLOW_IS_IN_SERVING_ENVIRONMENT"):
            raise InputError("there are no rows; send at least one frame")
        video = [_video(row, value) for row, value in enumerate(table["video"].tolist())]
        frame = [_number(row, "frame", value) for row, value in enumerate(table["frame"].tolist())]
        scores = np.empty(len(table))
        if len(table):
            index, order = FrameIndex.named([str(name) for name in video], frame)
            repeated = np.flatnonzero((np.diff(index.video) == 0) & (np.diff(index.frame) == 0))
            if len(repeated):
                raise InputError(f"row {order[repeated[0] + 1]}: frame {index.ids[repeated[0]]} appears twice")
            frames, index = self._decoded(table["image"].tolist(), index, order)
            with self._turn:
                scores[order] = self.ensemble.score(frames, index, self.device, normalization)
        return pd.DataFrame({"video": video, "frame": frame, "score": scores})

    def _decoded(
        self, images: list[Any], index: FrameIndex, order: NDArray[np.intp]
    ) -> tuple[dict[View, NDArray[np.uint8]], FrameIndex]:
        """Return every image, repaired, in every view of the ensemble, in the order of the index, and which are usable."""
        views = self.ensemble.views()

        def see(row: int, video: int, frame: int) -> list[tuple[NDArray[np.uint8], list[float]]]:
            where = f"row {row} (video {index.title(video)}, frame {frame})"
            return look(decode_image(_encoded(images[row], where), where), views)

        rows = list(self._pool.map(see, order.tolist(), index.video.tolist(), index.frame.tolist()))
        frames = {view: np.stack([row[i][0] for row in rows]) for i, view in enumerate(views)}
        evidence = np.asarray([row[0][1] for row in rows], np.float32)
        return frames, usable(index, evidence, self.ensemble.repairs)


def _video(row: int, value: Any) -> int | str:
    """Return a video's number, which may be written as text (`08`), or its name."""
    if not isinstance(value, str):
        return _number(row, "video", value)
    number = number_of(value)
    if number is None and not (value.strip() and value.isprintable()):
        raise InputError(
            f"row {row}: video is {value!r:.40}, but must be a whole number or a name in printable letters"
        )
    return value if number is None else number


def _number(row: int, column: str, value: Any) -> int:
    """Return a whole number. Whole floats are taken: a column with one gap in it has nothing else."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 <= value <= _LARGEST or value % 1:
        range_ = f"a whole number from 0 to {_LARGEST:,}"
        raise InputError(f"row {row}: {column} is {value!r:.40}, but must be {range_}")
    return int(value)


def _encoded(image: Any, where: str) -> bytes:
    """Return an image's own bytes, out of base64 where they come so."""
    if isinstance(image, str):
        try:
            image = base64.b64decode("".join(image.split()), validate=True)
        except ValueError:
            raise InputError(f"{where}: the image is not base64; encode the file's bytes") from None
    if not isinstance(image, (bytes, bytearray, memoryview)):
        raise InputError(f"{where}: the image is {image!r:.40}, but must be base64 text (in Python, bytes will do)")
    if not image:
        raise InputError(f"{where} has an empty image")
    return bytes(image)


mlflow.models.set_model(EnsembleModel())
