"""The registered model as MLflow loads it: models-from-code, so nothing is unpickled.

Runs in a process that has MLflow, the packages of its requirements and the copy of `vad` that lies
with the model; this project's checkout is not needed.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch

from vad import ensemble
from vad.errors import InputError
from vad.frames.decode import decode_image, decoding_pool, resize
from vad.scores import FrameIndex


class EnsembleModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Frames in, anomaly scores out."""

    def load_context(self, context: Any) -> None:
        self.ensemble = ensemble.load(Path(context.artifacts["ensemble"]))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Score a table of video (whole number), frame (whole number) and image (encoded bytes).

        Gives video, frame, score in the order of the input. Frames of a video are smoothed in the
        order of their numbers. Raises InputError that names the row for an image that cannot be
        decoded, or a frame that is there twice.
        """
        normalization = (params or {}).get("normalization", "stored")
        if normalization not in ("stored", "own"):
            raise InputError(f'normalization must be "stored" or "own", not {normalization!r}')
        video, frame = model_input["video"].to_numpy(np.int64), model_input["frame"].to_numpy(np.int64)
        if model_input.empty:
            return pd.DataFrame({"video": video, "frame": frame, "score": np.empty(0)})
        index, order = FrameIndex.sorted(video.tolist(), frame.tolist())
        repeated = np.flatnonzero((np.diff(index.video) == 0) & (np.diff(index.frame) == 0))
        if len(repeated):
            raise InputError(f"row {order[repeated[0] + 1]}: frame {index.ids[repeated[0]]} is there twice")
        images = model_input["image"].tolist()
        sizes = self.ensemble.sizes()

        def shrink(row: int) -> list[np.ndarray]:
            where = f"row {row} (video {video[row]}, frame {frame[row]})"
            if not images[row]:
                raise InputError(f"{where} has an empty image")
            image = decode_image(bytes(images[row]), where)
            return [resize(image, size) for size in sizes]

        with decoding_pool() as pool:
            rows = list(pool.map(shrink, order.tolist()))
        frames = {size: np.stack([row[i] for row in rows]) for i, size in enumerate(sizes)}
        scores = np.empty(len(index))
        scores[order] = self.ensemble.score(frames, index, self.device, normalization)
        return pd.DataFrame({"video": video, "frame": frame, "score": scores})


mlflow.models.set_model(EnsembleModel())
