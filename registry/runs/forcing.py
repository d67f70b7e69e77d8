"""FORCE=1 trains and scores everything again. When such a command is interrupted, the next one resumes it.

A file in VAD_HOME holds the id of the command until it finishes; its runs carry the id as a tag.
"""

import re
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from registry.console import Console
from registry.runs.context import RunContext
from vad.detectors.member import digest_of
from vad.system.files import replacing


def begin(works: Sequence[RunContext], console: Console) -> Path | None:
    """Mark forced runs with the id of their command, or with that of the interrupted command which this one resumes.

    Return the file to remove when all of them are finished; None without FORCE.
    """
    request = works[0].request
    if not request.force:
        return None
    place = request.home / "forced" / digest_of({"works": sorted(context.digest for context in works)})[:24]
    mark = place.read_text() if place.is_file() else ""
    if re.fullmatch("[0-9a-f]{32}", mark):
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(place.stat().st_mtime))
        console.say(
            f"  FORCE=1 goes on with what it finished since {when}, when it was cut off (without {place} it begins anew)"
        )
    else:
        mark = uuid.uuid4().hex
        with replacing(place) as new:
            new.write_text(mark)
    for context in works:
        context.forced = mark
    return place
