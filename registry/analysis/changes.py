"""Differences between two runs: keys of the entry, files of the data, versions of the code, one line each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from registry.entries.entry import TrainSpec
from registry.runs.identity import FILE, changed_code, changed_frames
from registry.store.tracking import Found, Tracking

FEW = 12  # most lines of each kind in a terminal
_FIRST = ("repair", "model", "input", "size", "view", "epochs")
_ABSENT = object()


@dataclass(frozen=True)
class Change:
    """One key with its old and new value; `_ABSENT` where the key is missing."""

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key}: {_spelt(self.before)} -> {_spelt(self.now)}"


def changes(before: Any, now: Any, key: str = "") -> list[Change]:
    """Return the keys in which two plain values differ, as deep as possible; a list counts as one value."""
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        return [] if before == now else [Change(key, before, now)]
    prefix = f"{key}." if key else ""
    pairs = ((f"{prefix}{n}", before.get(n, _ABSENT), now.get(n, _ABSENT)) for n in dict.fromkeys([*before, *now]))
    return [change for below, old, new in pairs for change in changes(old, new, below)]


def plan_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Return the differences between two resolved plans, most important first; a change that all members share appears once."""
    found = changes(before, now)
    members = [change for change in found if change.key.startswith("members.")]
    rest = [change for change in found if not change.key.startswith("members.")]
    both = {
        name: name.removesuffix(f"-{member.get('seed')}")
        for name, member in before["members"].items()
        if name in now["members"]
    }
    merged = [*_together(members, both), *rest]
    return sorted(merged, key=_importance)


def _importance(change: Change) -> int:
    """Return the rank of a change, the most important first."""
    section, *below = change.key.split(".")
    names = {"members": below[1:], "train": below}.get(section, [section])
    first = next((_FIRST.index(name) for name in names if name in _FIRST), len(_FIRST))
    return first + (section not in ("members", "train", *_FIRST))


def _together(found: list[Change], both: Mapping[str, str]) -> list[Change]:
    """Merge `members.small-42.lr` and `members.small-123.lr` into `members.small.lr` if all seeds changed alike, and into
    `train.lr` if all members did. `both` are the members that both plans have, each with its group."""
    merged: list[Change] = []
    alike_by: dict[tuple[str, str, str], dict[str, Change]] = {}
    for change in found:
        _, name, *path = change.key.split(".")
        if path:
            alike_by.setdefault((".".join(path), repr(change.before), repr(change.now)), {})[name] = change
        else:
            merged.append(Change(f"members.{name}", _brief(change.before), _brief(change.now)))
    for (where, _, _), alike in alike_by.items():
        any_of_them = next(iter(alike.values()))
        if list(alike) == list(both) and where.partition(".")[0] in TrainSpec.model_fields:
            merged.append(replace(any_of_them, key=f"train.{where}"))
            continue
        members_of = {group: [*names] for group, names in groupby(both, both.__getitem__)}
        for group, names in members_of.items():
            changed = [alike[name] for name in names if name in alike]
            merged += [replace(changed[0], key=f"members.{group}.{where}")] if len(changed) == len(names) else changed
    return merged


def _brief(member: Any) -> Any:
    """Return a member's model, input, size and seed."""
    if not isinstance(member, Mapping):
        return member
    size, view, given = member.get("size"), member.get("view", {}), member.get("input")
    seen = f"{view.get('width')} x {view.get('height')} px" if view else f"{size} px"
    parts = [member.get("model"), next(iter(given)) if isinstance(given, Mapping) else given, seen]
    return ", ".join(map(str, [*parts, *([f"seed {member['seed']}"] if "seed" in member else [])]))


def _spelt(value: Any) -> str:
    """Return a value as it is written in an entry."""
    if value is _ABSENT:
        return "absent"
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_spelt(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_spelt, value)) + "]"
    return str(value)


def identity_of(run: Found, tracking: Tracking, home: Path) -> dict[str, Any]:
    """Return what a run was made of; for an older run, from its tags and its resolved entry."""
    if stored := tracking.read_json(run.run_id, FILE, home):
        return stored
    tags = run.tags
    path = tracking.fetch(run.run_id, "resolved.yaml", home)
    plan = yaml.safe_load(path.read_text()) if path else {}
    return {
        "profile": tags.get("vad.profile", ""),
        "plan": {key: plan.get(key, {}) for key in ("members", "streams", "variants", "holdout")},
        "data": {key: tags.get(f"vad.{key}_digest", "") for key in ("train", "test")},
        "code": {"commit": tags.get("mlflow.source.git.commit", ""), "dirty": tags.get("vad.dirty", "")},
    }


def run_changes(
    before: dict[str, Any], now: dict[str, Any], names: tuple[str, str] = ("A", "B")
) -> tuple[list[str], list[str], list[str]]:
    """Return the differences between two runs, by their identities: in the entry, in the data, in the code."""
    profile = changes(before.get("profile"), now.get("profile"), "profile")
    entry = [str(change) for change in (*profile, *plan_changes(before["plan"], now["plan"]))]
    return entry, _data_changes(before, now), _code_changes(before["code"], now["code"], names)


def as_lines(entry: Sequence[str], data: Sequence[str], code: Sequence[str], most: int | None = None) -> list[str]:
    """Format the result of `run_changes` for a terminal, with at most `most` lines of each kind."""
    lines = []
    for title, found in (("entry", entry), ("data", data), ("code", code)):
        first, *others = found[:most] or ["the same"]
        lines += [f"{title:<6} {first}", *(f"       {line}" for line in others)]
        if more := len(found) - len(found[:most]):
            lines.append(f"       and {more} more (--json has all)")
    return lines


def _data_changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return which files of the data differ, one line for each split, and whether labels do."""
    lines = []
    for key, what in (("train", "train frames"), ("test", "test frames"), ("judge", "labels")):
        old, new = before["data"].get(key), now["data"].get(key)
        if old is None or new is None or old == new:
            continue
        told = changed_frames(before, now, key) if before.get("videos") and now.get("videos") else []
        if key == "judge":
            told = [now["data"].get("labels", "")]
        more = f"; and {len(told) - FEW} more" if len(told) > FEW else ""
        lines.append(f"{what} differ{': ' if any(told) else ''}{'; '.join(told[:FEW])}{more}")
    return lines


def _code_changes(old: dict[str, Any], new: dict[str, Any], names: tuple[str, str]) -> list[str]:
    """Return the changed code versions and commit, and which of the two runs had uncommitted changes."""
    words = {"training": "version of the training code", "scoring": "version of the scoring code", "commit": "commit"}
    both = {key: word for key, word in words.items() if key in old and key in new}
    lines = [f"{word}: {old[key]} -> {new[key]}" for key, word in both.items() if old[key] != new[key]]
    lines += changed_code(old, new)
    if dirty := [name for name, side in zip(names, (old, new), strict=True) if side.get("dirty") == "yes"]:
        lines.append(f"{' and '.join(dirty)} had uncommitted changes")
    return lines
