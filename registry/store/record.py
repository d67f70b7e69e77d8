"""What a run logged, known by its SHA-256. The digests stand in tags of the run, apart from the files.

So a file that was changed where it lies is not taken for what the run logged.
"""

import json
from collections.abc import Mapping

from vad.errors import InputError

TAG = "vad.files"
"""The tag with the SHA-256 of each file that a run logged, by its path among the artifacts; as JSON. What does not fit
into it stands in `vad.files.1`, and so on."""
_MOST = 8000  # characters of the longest value that MLflow takes


class Altered(InputError):
    """An artifact is not what its run logged."""

    def __init__(self, run_id: str, path: str):
        super().__init__(
            f"{path} of run {run_id} was altered: its SHA-256 is not the one recorded; bring the file back, or run the "
            "experiment again with FORCE=1"
        )


def recorded(tags: Mapping[str, str]) -> dict[str, str]:
    """The digests by path. Without them, or where they cannot be read, nothing that the run holds can be trusted."""
    files: dict[str, str] = {}
    try:
        for tag in sorted((tag for tag in tags if is_record(tag)), key=lambda tag: (len(tag), tag)):
            files |= json.loads(tags[tag])
    except (ValueError, TypeError):
        return {}
    return files


def is_record(tag: str) -> bool:
    """Whether a tag holds digests of files."""
    return tag == TAG or tag.startswith(f"{TAG}.")


def as_tags(files: Mapping[str, str]) -> dict[str, str]:
    """The tags that hold the digests, in their order: what is added to `files` changes the last tag alone, or adds one."""
    parts: list[dict[str, str]] = [{}]
    length = 0
    for path, digest in files.items():
        more = len(json.dumps({path: digest}))  # its braces are as long as the comma and the space before the next
        if length + more > _MOST:
            parts.append({})
            length = 0
        parts[-1][path] = digest
        length += more
    return {f"{TAG}.{number}" if number else TAG: json.dumps(part) for number, part in enumerate(parts)}
