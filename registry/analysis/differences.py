"""What differs between two plans, as the keys that a person would change."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.entries.entry import TrainSpec


@dataclass(frozen=True)
class Change:
    """One key, what it was and what it is; `ABSENT` where it was or is not there."""

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key}: {spelt(self.before)} -> {spelt(self.now)}"


ABSENT = object()


def changes(before: Any, now: Any, key: str = "") -> list[Change]:
    """The keys in which two plain values differ, the deepest that tell it; lists count as one value."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        found = []
        for name in [*before, *(name for name in now if name not in before)]:
            below = f"{key}.{name}" if key else str(name)
            found += changes(before.get(name, ABSENT), now.get(name, ABSENT), below)
        return found
    return [] if before == now else [Change(key, before, now)]


def plan_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """What differs between two resolved plans. What all members of both share in changing is told once."""
    found = changes(before, now)
    members = [change for change in found if change.key.startswith("members.")]
    rest = [change for change in found if not change.key.startswith("members.")]
    return [*_together(members, before, now), *rest]


def _together(found: list[Change], before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """`members.small-42.lr` and `members.small-123.lr` as one `members.small.lr`, if all seeds changed alike;
    as `train.lr` if all members did."""
    told: list[Change] = []
    both = [name for name in before["members"] if name in now["members"]]
    alike_by: dict[tuple[str, str, str], list[Change]] = {}
    for change in found:
        _, name, *path = change.key.split(".")
        if not path:
            told.append(Change(f"members.{name}", _brief(change.before), _brief(change.now)))
            continue
        alike_by.setdefault((".".join(path), repr(change.before), repr(change.now)), []).append(change)
    for (where, _, _), alike in alike_by.items():
        names = [change.key.split(".")[1] for change in alike]
        if names == both and where.partition(".")[0] in TrainSpec.model_fields:
            told.append(Change(f"train.{where}", alike[0].before, alike[0].now))
            continue
        for group in dict.fromkeys(map(_group, names)):
            of_group = [change for change, name in zip(alike, names, strict=True) if _group(name) == group]
            if len(of_group) == len([name for name in both if _group(name) == group]):
                told.append(Change(f"members.{group}.{where}", alike[0].before, alike[0].now))
            else:
                told += of_group
    return told


def _group(member: str) -> str:
    return member.rpartition("-")[0]


def _brief(member: Any) -> Any:
    """A whole member in a few words."""
    if not isinstance(member, Mapping):
        return member
    return f"{member.get('model')}, {member.get('size')} px, seed {member.get('seed')}"


def spelt(value: Any) -> str:
    """A value as it stands in an entry."""
    if value is ABSENT:
        return "not there"
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {spelt(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(spelt, value)) + "]"
    return str(value)
