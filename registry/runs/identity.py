"""What a run was made of, down to each frame's file: kept with it, so that a later run can say what changed since."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from registry.provenance import checkout
from registry.runs.context import RunContext
from vad.data.frame_index import natural
from vad.data.frameset import Split
from vad.detectors.member import SCORING_CODE, TRAINING_CODE
from vad.images.decode import RESIZE_FILTER
from vad.system.threads import limit

FILE = "identity.json"
_SHORT = 12  # digits of a file's SHA-256: enough to see that it changed


def identity(context: RunContext) -> dict[str, Any]:
    """Plan, code, files and data of a run, as plain values.

    `videos` holds, for each split and video, its frame numbers as ranges and the first digits of the SHA-256 of each
    image, one after the other; of a movie, those of its one file.
    """
    data = context.data
    frames = data.frames
    return {
        "name": context.plan.name,
        "profile": context.loaded.profile,
        "set": list(context.loaded.overrides),
        "plan": context.plan.settings(),
        "files": context.file_digests,
        "code": {
            "training": TRAINING_CODE,
            "scoring": SCORING_CODE,
            "filter": RESIZE_FILTER,
            "blocks": context.plan.code(),
            **checkout(),
        },
        "data": {
            "name": data.name,
            "train": context.train_digest,
            "test": data.test_digest,
            "judge": context.labels.digest if context.labels else "",
            "labels": context.labels.source if context.labels else "",
            "figure": data.metric,
        },
        "threads": limit(),
        "videos": {} if frames is None else {"train": videos_of(frames.train), "test": videos_of(frames.test)},
    }


def changed_frames(before: Mapping[str, Any], now: Mapping[str, Any], split: str) -> list[str]:
    """Which frames of a split are new, gone or have other contents; a line for each video."""
    old, new = (side.get("videos", {}).get(split, {}) for side in (before, now))
    lines = []
    for video in sorted({*old, *new}, key=natural):
        if video not in old or video not in new:
            lines.append(f"video {video} is {'new' if video in new else 'gone'}")
        elif old[video] != new[video]:
            was, is_now = _contents(old[video]), _contents(new[video])
            changed = {number for number in was.keys() & is_now.keys() if was[number] != is_now[number]}
            facts = {"new": is_now.keys() - was.keys(), "gone": was.keys() - is_now.keys(), "changed": changed}
            parts = [f"{_ranges(sorted(numbers))} {word}" for word, numbers in facts.items() if numbers]
            lines.append(f"video {video}: frame{'s' if sum(map(len, facts.values())) > 1 else ''} {', '.join(parts)}")
    return lines


def changed_code(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Which files of your own, or versions of the project's blocks, are not as they were."""
    old, new = (side.get("blocks", {}) for side in (before, now))
    return [
        f"{name} {'is new' if name not in old else 'is gone' if name not in new else 'changed'}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def videos_of(split: Split) -> dict[str, dict[str, str]]:
    """Frame numbers and contents of each video, as a run records them."""
    return {
        video.title: {
            "numbers": _ranges(video.numbers),
            "contents": "".join(content[:_SHORT] for content in video.contents),
        }
        for video in split.videos
    }


def _contents(video: Mapping[str, str]) -> dict[int, str]:
    """The digest of each frame by its number; all frames of a movie have that of its file."""
    numbers: list[int] = []
    for part in video["numbers"].split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    text = video["contents"]
    digests = [text[start : start + _SHORT] for start in range(0, len(text), _SHORT)]
    return dict(zip(numbers, digests if len(digests) == len(numbers) else digests * len(numbers), strict=False))


def _ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers as `0-9,12,14-20`."""
    parts = [[n for _, n in part] for _, part in groupby(enumerate(numbers), lambda item: item[1] - item[0])]
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
