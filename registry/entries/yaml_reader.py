"""YAML by the core of its version 1.2, with the line of every key and every fault that a model finds in it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from yaml.error import MarkedYAMLError

from vad.errors import InputError, nearest
from vad.system.files import require_plain

Key = tuple[str | int, ...]
# Far more than any entry has. Anchors can make of a few lines what fills the memory.
_LONGEST, _MOST_VALUES, _DEEPEST, _LARGEST = 1_000_000, 10_000, 50, 2**63
_MERGE, _INT, _FLOAT, _STR = (f"tag:yaml.org,2002:{kind}" for kind in ("merge", "int", "float", "str"))


class Strict(BaseModel):
    """What a section of a file may say: typed and frozen; no unknown key is taken, and no value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Problem:
    """One fault in an entry: the path of the key (as in `members.large.size`) and what is wrong with it."""

    key: Key
    message: str


@dataclass
class Document:
    """A YAML file's plain data, the line of each key, and what is wrong; `settings` of the command line by the key they set."""

    path: Path
    data: Any
    lines: dict[Key, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    settings: dict[Key, str] = field(default_factory=dict)

    def line(self, key: Key) -> int:
        """The line of a key, or of the nearest one above it."""
        while key not in self.lines and key:
            key = key[:-1]
        return self.lines.get(key, 1)

    def where(self, *key: str | int) -> str:
        """Return file and line of a key, or the override that set it."""
        override = next((text for other, text in self.settings.items() if key[: len(other)] == other), None)
        return f"SET {override}" if override else f"{self.path}, line {self.line(key)}"


class _Loader(yaml.SafeLoader):
    """Plain data only, read by the core of YAML 1.2: 1e-5 is a number, `yes`, `on` and 2024-01-01 are words."""


# What YAML 1.1 or Python take for a number and the core does not: 010 (8 to some), 1:30 (90), 1_0 (10), 0x1f.
_OTHER_NUMBER = re.compile(
    r"[-+]?(?:\.?[0-9][0-9_]*(?::[0-9_]+)*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|0[xob][0-9a-fA-F_]+)$"
)
_CORE = {
    "tag:yaml.org,2002:null": r"(?:~|null|Null|NULL|)$",
    "tag:yaml.org,2002:bool": r"(?:true|false)$",
    _INT: r"[-+]?(?:0|[1-9][0-9]*)$",
    _FLOAT: r"(?:[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan)$",
    _MERGE: r"<<$",
}
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern in _CORE.items():
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), None)


def read_yaml(path: Path) -> Document:
    """Read one YAML document. Raises InputError with file and line where it is no YAML at all."""
    try:
        require_plain(path)
        if path.stat().st_size > _LONGEST:
            raise InputError(f"{path} is larger than {_LONGEST:,} bytes; no file of settings is")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text file in UTF-8") from None
    return _read(text, path)


def parse_value(text: str) -> Any:
    """A value as an entry would spell it: `3`, `1e-4`, `[42, 123]`, `best`. Raises InputError where it is none."""
    return _read(text, None).data


Sections = Mapping[tuple[str | int, int], type[BaseModel]]  # by the first part of a key and the number of its parts
Model = TypeVar("Model", bound=BaseModel)


def validated(document: Document, model: type[Model], sections: Sections | None = None) -> Model:
    """Return a document's data as a model. Raises InputError that lists every problem, with file, line and key."""
    problems = document.problems.copy()
    try:
        result = model.model_validate(document.data)
    except ValidationError as error:
        problems += [_problem(fault, document.data, {("", 1): model, **(sections or {})}) for fault in error.errors()]
    if problems:
        raise InputError(_report(document, list(dict.fromkeys(problems))))
    return result


def _problem(fault: Any, data: Any, sections: Sections) -> Problem:
    """A schema fault as a problem: the key without the names of union branches, the message in plain words."""
    key: list[str | int] = []
    here = data
    for part in fault["loc"]:
        try:
            here = here[part]
        except (LookupError, TypeError):
            if fault["type"] not in ("missing", "extra_forbidden"):
                continue
        key.append(part)
    if fault["type"] == "extra_forbidden":
        section = sections.get((key[0] if len(key) > 1 else "", len(key)))
        known = list(section.model_fields) if section else []
        message = f"unknown key{nearest(key[-1], known)}" + (f" (known: {', '.join(known)})" if known else "")
    elif fault["type"] == "missing":
        message = "this key is missing"
    elif fault["type"] == "model_type":
        section = sections.get((key[0] if key else "", len(key) + 1))
        names = f" ({', '.join(section.model_fields)})" if section else ""
        given = "and is empty" if fault["input"] is None else f"not {fault['input']!r}"
        message = f"must hold keys{names}, {given}"
    elif fault["type"] == "value_error":
        message = str(fault["ctx"]["error"])
    else:
        message = f"{fault['msg'][0].lower()}{fault['msg'][1:]}, not {fault['input']!r}"
    return Problem(tuple(key), message)


def _report(document: Document, problems: Sequence[Problem]) -> str:
    rows = []
    for problem in problems:
        name = ".".join(str(part) for part in problem.key) or "the file"
        where = document.where(*problem.key)
        line = 0 if where.startswith("SET ") else document.line(problem.key)
        rows.append((line, f"{where:.500}: {name:.100}: {problem.message:.500}"))
    rows.sort(key=lambda row: row[0])
    count = f"{len(rows)} faults" if len(rows) > 1 else "1 fault"
    return "\n  ".join([f"{document.path} has {count}:", *(text for _, text in rows)])


def _read(text: str, path: Path | None) -> Document:
    document = Document(path or Path(), None)
    try:
        loader = _Loader(text)
        if (node := loader.get_single_node()) is not None:
            document.data = _build(node, (), loader, document, count())
    except (yaml.YAMLError, RecursionError) as error:
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        if isinstance(error, RecursionError):
            said = "it is nested too deep, or an anchor contains itself"
        if path is None:
            raise InputError(f"{text!r:.200} is no YAML value: {said}") from None
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise InputError(f"{where}: this is no valid YAML: {said}") from None
    return document


def _build(node: yaml.Node, key: Key, loader: _Loader, document: Document, built: Iterator[int]) -> Any:
    document.lines.setdefault(key, node.start_mark.line + 1)
    if next(built) > _MOST_VALUES or len(key) > _DEEPEST:
        most = f"more than {_MOST_VALUES:,} values or {_DEEPEST} levels; does an anchor contain itself?"
        raise MarkedYAMLError(problem=most, problem_mark=node.start_mark)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for name_node, value_node in node.value:
            if name_node.tag == _MERGE:
                for part in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    if not isinstance(part, yaml.MappingNode):
                        raise MarkedYAMLError(problem="<< takes a mapping", problem_mark=part.start_mark)
                    merged = _build(part, key, loader, document, built) | merged
                continue
            name = _scalar(name_node, loader)
            here = (*key, name if isinstance(name, (str, int)) else str(name))
            line = name_node.start_mark.line + 1
            if name in result:
                first = document.lines[here]
                document.problems.append(Problem(here, f"this key is there twice (lines {first} and {line}); keep one"))
                continue
            document.lines[here] = line
            result[name] = _build(value_node, here, loader, document, built)
        return merged | result
    if isinstance(node, yaml.SequenceNode):
        return [_build(n, (*key, i), loader, document, built) for i, n in enumerate(node.value)]
    return _scalar(node, loader)


def _scalar(node: yaml.Node, loader: _Loader) -> Any:
    """A word or a number. Raises YAMLError for what its tag does not fit."""
    if isinstance(node, yaml.ScalarNode):
        if node.style is None and node.tag == _STR and _OTHER_NUMBER.match(node.value):
            other = f"{node.value!r:.60} is a number to some readers"
            plain = f"{other}; write a plain decimal number, or quotes for a word"
            raise MarkedYAMLError(problem=plain, problem_mark=node.start_mark)
        with suppress(ValueError, LookupError, TypeError, AttributeError):  # what PyYAML trips over
            if node.tag not in (_INT, _FLOAT) or re.match(_CORE[node.tag], node.value):
                value = loader.construct_object(node)
                if not isinstance(value, int) or abs(value) < _LARGEST:
                    return value
    wrong = f"{node.value!r:.60} is no word or number (of type {node.tag}) that can stand here"
    raise MarkedYAMLError(problem=wrong, problem_mark=node.start_mark)
