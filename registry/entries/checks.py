"""What an entry's schema cannot see: what sections say of one another, and the options of a group's network.

The checks read plain data that may be wrong in other ways too, so that all faults of a file are reported at once. Each
passes over what is not of the shape that it needs; the schema reports that.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from registry.entries.entry import Group, unknown
from registry.entries.yaml_reader import Key, Problem
from vad.detectors.networks import NETWORKS
from vad.errors import nearest
from vad.scoring.steps import COMBINING

_COLUMNS = ("video", "frame", "label")


def check(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Every fault in options of networks and in references."""
    groups, streams, variants = (_mapping(data.get(section)) for section in ("members", "streams", "variants"))
    for name, group in groups.items():
        yield from _check_network(_mapping(group), ("members", name))
    used = set()
    for name, stream in streams.items():
        used |= {_group(member, groups) for member in _names(_mapping(stream).get("members"))}
        yield from _check_members(_mapping(stream), groups, ("streams", name))
    for name in groups if streams else ():
        if name not in used:
            yield Problem(("members", name), "no stream uses these members; add one or remove them")
    for name, variant in variants.items():
        if name in _COLUMNS:
            yield Problem(("variants", name), "the table of scores has a column of this name; choose another")
        for key in ("stream", "fuse"):
            wanted = _mapping(variant).get(key)
            for stream in _names(next(iter(wanted.values()), None) if isinstance(wanted, Mapping) else wanted):
                if stream not in streams:
                    yield Problem(("variants", name, key), unknown("stream", stream, list(streams)))
    for name in _mapping(_mapping(data.get("reference")).get("variants")):
        if name not in variants:
            hint = nearest(str(name), list(variants))
            yield Problem(("reference", "variants", name), f"there is no such variant{hint}")


def _check_network(group: Mapping[str, Any], key: Key) -> Iterator[Problem]:
    model = group.get("model")
    if not isinstance(model, str) or model not in NETWORKS:
        return
    extra = {name: value for name, value in group.items() if name not in Group.model_fields}
    known = sorted({*Group.model_fields, *NETWORKS.options(model)})
    for option, fault in NETWORKS.faults(model, extra):
        if option is not None and option not in known:
            fault = f"unknown key{nearest(option, known)} (known: {', '.join(known)})"
        yield Problem((*key, option) if option else key, fault)


def _check_members(stream: Mapping[str, Any], groups: Mapping[str, Any], key: Key) -> Iterator[Problem]:
    """The members that a stream names must be there, each once, and several must be combined."""
    named, wanted = list(_names(stream.get("members"))), stream.get("seeds")
    count, countable = 0, True
    for name in named:
        group = _group(name, groups)
        seeds = _mapping(groups.get(group)).get("seeds")
        if group not in groups:
            yield Problem((*key, "members"), unknown("member group", name, list(groups)))
        elif group != name:
            if group in named:
                yield Problem((*key, "members"), f'{name} is a member of "{group}", which is there already')
            count += 1
            continue
        elif isinstance(seeds, list) and isinstance(wanted, list):
            for seed in wanted:
                if seed not in seeds:
                    yield Problem((*key, "seeds"), f'member group "{name}" has no seed {seed} (it has {seeds})')
            seeds = wanted
        if isinstance(seeds, list):
            count += len(seeds)
        else:
            countable = False
    steps = stream.get("steps")
    combined = {next(_names(step), None) for step in steps} & COMBINING if isinstance(steps, list) else ()
    if countable and count > 1 and not combined:
        yield Problem(key, f"has {count} members and no step that combines them (mean, median or max)")


def _group(name: str, groups: Mapping[str, Any]) -> str:
    """The group of a single member (`group-seed`) that exists; any other name as it is."""
    group, _, seed = name.rpartition("-")
    seeds = _mapping(groups.get(group)).get("seeds")
    return group if isinstance(seeds, list) and seed in {str(known) for known in seeds} else name


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _names(value: Any) -> Iterator[str]:
    """The names among a name, a list of names or a mapping by name."""
    for name in [value] if isinstance(value, str) else value if isinstance(value, (list, Mapping)) else ():
        if isinstance(name, str):
            yield name
