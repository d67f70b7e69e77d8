"""Check what an entry's schema cannot: names that one section uses of another, and the options of a group's model."""

from collections.abc import Iterator, Mapping
from typing import Any

from registry.entries.entry import CHOICES, Group, unknown
from registry.entries.yaml_reader import Key, Problem
from vad.detectors.kinds import detector_class
from vad.detectors.member import models
from vad.errors import nearest
from vad.scoring.steps import COMBINING

_COLUMNS = ("video", "frame", "label")


def check(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the faults of an entry's plain values.

    All faults of a file are reported at once, so `data` may have faults that the schema reports: values of a wrong type
    are skipped here.
    """
    groups, streams, variants = (_mapping(data.get(section)) for section in ("members", "streams", "variants"))
    for name, group in groups.items():
        yield from _check_model(_mapping(group), ("members", name))
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
    choose = data.get("choose", CHOICES[0])
    if isinstance(choose, str) and choose not in (*CHOICES, *variants):
        yield Problem(("choose",), unknown("variant", choose, [*CHOICES, *variants]))
    for name in _mapping(_mapping(data.get("reference")).get("variants")):
        if name not in variants:
            hint = nearest(str(name), list(variants))
            yield Problem(("reference", "variants", name), f"there is no such variant{hint}")


def _check_model(group: Mapping[str, Any], key: Key) -> Iterator[Problem]:
    model = group.get("model")
    if not isinstance(model, str) or model not in models():
        return
    catalog = models()[model]
    extra = {name: value for name, value in group.items() if name not in Group.model_fields}
    known = sorted({*Group.model_fields, *catalog.options(model)})
    for option, fault in catalog.faults(model, extra):
        if option is not None and option not in known:
            fault = f"unknown key{nearest(option, known)} (known: {', '.join(known)})"
        yield Problem((*key, option) if option else key, fault)
    trained = detector_class(model).trained
    for name in ("batch_size", "seeds", "init", "train"):
        if trained and name not in group and name in ("batch_size", "seeds"):
            yield Problem((*key, name), "is missing; a network needs it")
        if not trained and name in group:
            yield Problem((*key, name), f'model "{model}" is not trained; remove it')


def _check_members(stream: Mapping[str, Any], groups: Mapping[str, Any], key: Key) -> Iterator[Problem]:
    """Check that the members of a stream exist, each once, and that several are combined."""
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
        elif seeds is None and group in groups:
            count += 1
        else:
            countable = False
    used = [_mapping(groups.get(_group(name, groups))).get("model") for name in named]
    yield from _check_score(stream, [model for model in used if isinstance(model, str) and model in models()], key)
    steps = stream.get("steps")
    combined = {next(_names(step), None) for step in steps} & COMBINING if isinstance(steps, list) else ()
    if countable and count > 1 and not combined:
        yield Problem(key, f"has {count} members and no step that combines them (mean, median or max)")


def _check_score(stream: Mapping[str, Any], used: list[str], key: Key) -> Iterator[Problem]:
    """Check that only networks are scored by an `error`, and that the detectors have the `map`."""
    for model in dict.fromkeys(used):
        kind = detector_class(model)
        if stream.get("error") is not None and not kind.has_errors:
            yield Problem((*key, "error"), f'model "{model}" has no errors; write `reduce`, as in `reduce: {{top: 9}}`')
        wanted = stream.get("map")
        if isinstance(wanted, str) and wanted not in kind.maps:
            yield Problem(
                (*key, "map"),
                f'model "{model}" has no such map{nearest(wanted, list(kind.maps))} (known: {", ".join(kind.maps)})',
            )


def _group(name: str, groups: Mapping[str, Any]) -> str:
    """Return the group of a member that is called `group-seed`; any other name as it is."""
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
