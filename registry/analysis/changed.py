"""What changed between two runs: in the entry, in the data, in the code."""

from pathlib import Path
from typing import Any

import yaml

from registry.analysis.differences import changes, plan_changes
from registry.runs.identity import changed_code, changed_frames, stored_identity
from registry.store.tracking import Found, Tracking

_FEW = 12


def identity_of(run: Found, tracking: Tracking, home: Path) -> dict[str, Any]:
    """What a run was made of; of an older run, what its tags and its resolved entry tell."""
    if stored := stored_identity(tracking, run, home):
        return stored
    tags = run.tags
    path = tracking.fetch(run.run_id, "resolved.yaml", home / "fetched" / run.run_id)
    plan = yaml.safe_load(path.read_text()) if path else {}
    return {
        "profile": tags.get("vad.profile", ""),
        "plan": {key: plan.get(key, {}) for key in ("members", "streams", "variants", "holdout")},
        "data": {
            "name": tags.get("vad.data_name", ""),
            "train": tags.get("vad.train_digest", ""),
            "test": tags.get("vad.test_digest", ""),
        },
        "code": {"commit": tags.get("mlflow.source.git.commit", ""), "dirty": tags.get("vad.dirty", "")},
    }


def entry_changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The keys of the entry in which two runs differ, as lines."""
    profile = changes(before.get("profile"), now.get("profile"), "profile")
    return [str(change) for change in (*profile, *plan_changes(before["plan"], now["plan"]))]


def data_changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Which files of the data differ, a line for each split, and whether labels do."""
    lines = []
    for key, what in (("train", "train frames"), ("test", "test frames"), ("judge", "labels")):
        old, new = before["data"].get(key), now["data"].get(key)
        if old is None or new is None or old == new:
            continue
        told: list[str] = []
        if key == "judge":
            told = [now["data"].get("labels", "")]
        elif before.get("videos") and now.get("videos"):
            told = changed_frames(before, now, key)
        more = f"; and {len(told) - _FEW} more" if len(told) > _FEW else ""
        lines.append(f"{what} differ{': ' if any(told) else ''}{'; '.join(told[:_FEW])}{more}")
    return lines


def code_changes(before: dict[str, Any], now: dict[str, Any], names: tuple[str, str] = ("A", "B")) -> list[str]:
    """Versions of the code, the commit, and which of the two had files that were not committed."""
    old, new = dict(before["code"]), dict(now["code"])
    words = {"training": "version of the training code", "scoring": "version of the scoring code", "commit": "commit"}
    lines = [
        f"{words[key]}: {old[key]} -> {new[key]}" for key in words if key in old and key in new and old[key] != new[key]
    ]
    lines += changed_code(old, new)
    dirty = [letter for letter, side in zip(names, (old, new), strict=True) if side.get("dirty") == "yes"]
    if dirty:
        lines.append(f"{' and '.join(dirty)} had files that were not committed")
    return lines
