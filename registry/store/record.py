"""What a run logged, known by its SHA-256. The digests stand in a tag of the run, apart from the files.

So a file that was changed where it lies is not taken for what the run logged.
"""

import json
from collections.abc import Mapping

from vad.errors import InputError

TAG = "vad.files"
"""The tag with the SHA-256 of each file that a run logged, by its path among the artifacts; as JSON."""
_MOST = 8000  # the longest value that MLflow takes


class Altered(InputError):
    """An artifact is not what its run logged."""

    def __init__(self, run_id: str, path: str):
        super().__init__(
            f"{path} of run {run_id} was altered: its SHA-256 is not the one recorded; bring the file back, or run the "
            "experiment again with FORCE=1"
        )


def recorded(tags: Mapping[str, str]) -> dict[str, str]:
    """The digests by path. Without them, or where they cannot be read, nothing that the run holds can be trusted."""
    try:
        return dict(json.loads(tags.get(TAG, "{}")))
    except (ValueError, TypeError):
        return {}


def as_tag(files: Mapping[str, str]) -> str:
    """The tag's value. Where there are too many the oldest are left out: scores, which are computed again."""
    kept = dict(files)
    while len(value := json.dumps(kept)) > _MOST:
        kept.pop(next(iter(kept)))
    return value
