"""The SHA-256 of each file that a run logged, in tags of the run: they reveal a file that was changed in place."""

import json
from collections.abc import Mapping

from vad.errors import InputError

TAG = "vad.files"
"""The tag with the digests by path among the artifacts, as JSON. The rest is in `vad.files.1`, and so on."""
_MOST = 8000  # characters of the longest value that MLflow takes


class Altered(InputError):
    """An artifact is not what its run logged."""

    def __init__(self, run_id: str, path: str):
        altered = f"{path} of run {run_id} was altered: its SHA-256 is not the one recorded"
        super().__init__(f"{altered}; bring the file back, or run the experiment again with FORCE=1")


def recorded(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the digests by path; none where they cannot be read."""
    files: dict[str, str] = {}
    try:
        for tag in sorted(filter(is_record, tags), key=lambda tag: (len(tag), tag)):
            files |= json.loads(tags[tag])
    except (ValueError, TypeError):
        return {}
    return files


def is_record(tag: str) -> bool:
    """Whether a tag holds digests of files."""
    return tag == TAG or tag.startswith(f"{TAG}.")


def as_tags(files: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that hold the digests: adding to `files` changes only the last tag, or adds one."""
    parts: list[dict[str, str]] = [{}]
    for path, digest in files.items():
        if len(json.dumps(parts[-1] | {path: digest})) > _MOST:
            parts.append({})
        parts[-1][path] = digest
    return {f"{TAG}.{number}" if number else TAG: json.dumps(part) for number, part in enumerate(parts)}
