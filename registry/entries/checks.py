"""What an entry's schema cannot see: names in the catalogs, their options, and references between sections.

The checks read plain data that may be wrong in other ways too, so that all faults of a file are
reported at once. Each passes over what is not of the shape that it needs; the schema reports that.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from registry.entries.entry import Group, TrainSpec
from registry.entries.yaml_reader import Key, Problem
from vad.catalog import Catalog
from vad.detectors.networks import INITS, NETWORKS
from vad.detectors.training.losses import LOSSES
from vad.detectors.training.optimizers import OPTIMIZERS, SCHEDULES
from vad.errors import nearest
from vad.inputs import INPUTS
from vad.scoring.reconstruction_errors import ERRORS
from vad.scoring.steps import COMBINING, FITS, STEPS

FUSIONS = ("max", "weights", "product")
_COLUMNS = ("video", "frame", "label")
_GROUP_KEYS = set(Group.model_fields)


def check(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Every fault in names, options and references."""
    yield from _check_train(data.get("train"), ("train",))
    groups = _mapping(data.get("members"))
    for name, group in groups.items():
        yield from _check_group(_mapping(group), ("members", name))
    streams = _mapping(data.get("streams"))
    for name, stream in streams.items():
        yield from _check_stream(_mapping(stream), groups, ("streams", name))
    for name, variant in _mapping(data.get("variants")).items():
        if name in _COLUMNS:
            yield Problem(
                ("variants", name), "the table of scores has a column of this name; call the variant otherwise"
            )
        yield from _check_variant(_mapping(variant), streams, ("variants", name))
    used = {_group(name, groups) for stream in streams.values() for name in _names(_mapping(stream).get("members"))}
    for name in groups:
        if streams and name not in used:
            yield Problem(("members", name), "no stream uses these members; add one or remove them")
    for name in _mapping(_mapping(data.get("reference")).get("variants")):
        if name not in _mapping(data.get("variants")):
            known = list(_mapping(data.get("variants")))
            yield Problem(("reference", "variants", name), f"there is no such variant{nearest(str(name), known)}")


def named_options(spec: Any, catalog: Catalog[Any]) -> tuple[str, dict[str, Any]] | str:
    """`name`, `{name: value}` or `{name: {option: value}}` to a name and its options; a sentence where it is neither."""
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping) or len(spec) != 1:
        return f"must be a name, as in `mean`, or one name with its value, as in `{{gaussian: 3}}`; several options go below the name, as in `{{normalize: {{percentile: 99, scope: video}}}}`; not {spec!r}"
    name, value = next(iter(spec.items()))
    if not isinstance(name, str):
        return f"must be a name, not {name!r}"
    if isinstance(value, Mapping):
        return name, dict(value)
    options = list(catalog.options(name)) if name in catalog else []
    if name in catalog and not options:
        return f'{catalog.kind} "{name}" takes no value; write `{name}`'
    return name, {options[0] if options else "value": value}


def _named(spec: Any, catalog: Catalog[Any], key: Key) -> Iterator[Problem]:
    parsed = named_options(spec, catalog)
    if isinstance(parsed, str):
        yield Problem(key, parsed)
        return
    name, options = parsed
    if name not in catalog:
        yield Problem(key, _unknown(catalog.kind, name, catalog.names()))
        return
    for _, fault in catalog.faults(name, options):
        yield Problem(key, fault)


def _unknown(kind: str, name: Any, known: list[str]) -> str:
    return f'unknown {kind} "{name}"{nearest(str(name), known)} (known: {", ".join(map(str, known)) or "none"})'


def _check_train(train: Any, key: Key) -> Iterator[Problem]:
    train = _mapping(train)
    optimizer, loss = train.get("optimizer"), train.get("loss")
    if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
        yield Problem((*key, "optimizer"), _unknown("optimizer", optimizer, OPTIMIZERS.names()))
    for name in [loss] if isinstance(loss, str) else _mapping(loss):
        if name not in LOSSES:
            yield Problem((*key, "loss"), _unknown("loss", name, LOSSES.names()))
    if isinstance(loss, Mapping) and not loss:
        yield Problem((*key, "loss"), "must name at least one loss, as in `{mse: 1, ssim: 0.5}`")
    if train.get("schedule") is not None:
        yield from _named(train["schedule"], SCHEDULES, (*key, "schedule"))


def _check_group(group: Mapping[str, Any], key: Key) -> Iterator[Problem]:
    train = _mapping(group.get("train"))
    for name in train:
        if name not in TrainSpec.model_fields:
            known = list(TrainSpec.model_fields)
            yield Problem((*key, "train", name), f"unknown key{nearest(str(name), known)} (known: {', '.join(known)})")
    yield from _check_train(train, (*key, "train"))
    seeds = group.get("seeds")
    if isinstance(seeds, list) and len({str(seed) for seed in seeds}) < len(seeds):
        yield Problem((*key, "seeds"), "a seed is there twice")
    for name, catalog in (("input", INPUTS), ("init", INITS)):
        if group.get(name) is not None:
            yield from _named(group[name], catalog, (*key, name))
    model = group.get("model")
    if not isinstance(model, str):
        return
    if model not in NETWORKS:
        yield Problem((*key, "model"), _unknown("model", model, NETWORKS.names()))
        return
    extra = {name: value for name, value in group.items() if name not in _GROUP_KEYS}
    known = [*_GROUP_KEYS, *NETWORKS.options(model)]
    for option, fault in NETWORKS.faults(model, extra):
        if option is not None and option not in NETWORKS.options(model):
            fault = f"unknown key{nearest(option, known)} (known: {', '.join(sorted(known))})"
        yield Problem((*key, option) if option else key, fault)


def _check_stream(stream: Mapping[str, Any], groups: Mapping[str, Any], key: Key) -> Iterator[Problem]:
    if (stream.get("members") is None) == (stream.get("scores") is None):
        yield Problem(key, "needs either `members` (with `error`) or `scores` (a predictions file)")
    count: int | None = 0
    named = list(_names(stream.get("members")))
    if len(set(named)) < len(named):
        yield Problem((*key, "members"), "names the same members twice")
    for name in named:
        if name not in groups and _group(name, groups) in groups:
            if _group(name, groups) in named:
                yield Problem(
                    (*key, "members"), f'{name} is a member of "{_group(name, groups)}", which is there already'
                )
            count = count + 1 if count is not None else None
            continue
        if name not in groups:
            yield Problem((*key, "members"), _unknown("member group", name, list(groups)))
            count = None
            continue
        seeds = _mapping(groups[name]).get("seeds")
        wanted = stream.get("seeds")
        if isinstance(seeds, list) and isinstance(wanted, list):
            if not wanted:
                yield Problem((*key, "seeds"), "must name at least one seed")
            for seed in wanted:
                if seed not in seeds:
                    yield Problem((*key, "seeds"), f'member group "{name}" has no seed {seed} (it has {seeds})')
            seeds = wanted
        count = count + len(seeds) if isinstance(seeds, list) and count is not None else None
    if "scores" in stream:
        for name in ("error", "seeds"):
            if name in stream:
                yield Problem((*key, name), f"a stream that reads a file has no `{name}`")
        count = 1
    elif "error" not in stream:
        yield Problem(key, f"needs `error`, how members score a frame (known: {', '.join(ERRORS.names())})")
    else:
        yield from _named(stream["error"], ERRORS, (*key, "error"))
    combining = yield from _check_steps(stream.get("steps"), key)
    if count and count > 1 and combining == 0:
        yield Problem(key, f"has {count} members and no step that combines them (mean, median or max)")
    if combining > 1:
        yield Problem(key, "combines its members twice; keep one of mean, median, max")


def _check_variant(variant: Mapping[str, Any], streams: Mapping[str, Any], key: Key) -> Iterator[Problem]:
    if (variant.get("stream") is None) == (variant.get("fuse") is None):
        yield Problem(key, "needs either `stream` (one) or `fuse` (several)")
    wanted = list(_names(variant.get("stream")))
    where: Key = (*key, "stream")
    fuse = variant.get("fuse")
    if isinstance(fuse, Mapping):
        where = (*key, "fuse")
        if len(fuse) != 1 or next(iter(fuse)) not in FUSIONS:
            yield Problem(where, f"must have exactly one of {', '.join(FUSIONS)}")
        else:
            kind, names = next(iter(fuse.items()))
            if kind == "weights":
                good = isinstance(names, Mapping) and all(_is_number(weight) for weight in names.values())
            else:
                good = isinstance(names, list) and all(isinstance(name, str) for name in names)
            if good and kind == "weights" and (min(names.values(), default=1) < 0 or not any(names.values())):
                yield Problem((*where, kind), "weights must not be negative, nor all zero")
            if not good or not names:
                form = "{stream: weight, ...}" if kind == "weights" else "[stream, ...]"
                yield Problem((*where, kind), f"must be {form}")
            else:
                wanted = list(names)
                if len(set(wanted)) < len(wanted):
                    yield Problem((*where, kind), "names a stream twice")
    for name in wanted:
        if name not in streams:
            yield Problem(where, _unknown("stream", name, list(streams)))
    combining = yield from _check_steps(variant.get("steps"), key)
    if combining:
        yield Problem((*key, "steps"), "a variant has one score a frame already; combine members in a stream")


def _check_steps(steps: Any, key: Key) -> Any:
    """Yields problems; returns how many steps combine members."""
    combining = 0
    for number, spec in enumerate(steps if isinstance(steps, list) else []):
        yield from _named(spec, STEPS, (*key, "steps", number))
        parsed = named_options(spec, STEPS)
        if isinstance(parsed, str) or parsed[0] not in STEPS:
            continue
        combining += parsed[0] in COMBINING
        if parsed[0] not in FITS and not STEPS.faults(*parsed):
            try:  # what only the step itself can know, as that one option must be below another
                STEPS[parsed[0]](np.zeros((1, 2)), [slice(0, 2)], **STEPS.bind(*parsed))
            except ValueError as error:
                yield Problem((*key, "steps", number), str(error))
    return combining


def _group(name: str, groups: Mapping[str, Any]) -> str:
    """The group of a single member (`group-seed`) that exists; any other name as it is."""
    group, _, seed = name.rpartition("-")
    seeds = _mapping(groups.get(group)).get("seeds")
    return group if isinstance(seeds, list) and seed in {str(known) for known in seeds} else name


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _names(value: Any) -> Iterator[str]:
    for name in value if isinstance(value, list) else [value]:
        if isinstance(name, str):
            yield name


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
