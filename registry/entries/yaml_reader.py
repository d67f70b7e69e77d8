"""YAML with the line of every key, duplicate keys found, and 1e-5 read as the number that it is."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vad.errors import InputError

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One fault in an entry: the path of the key (as in `members.large.size`) and what is wrong with it."""

    key: Key
    message: str


@dataclass
class Document:
    """A YAML file's plain data, the line of each key, and the keys that stand there twice."""

    path: Path
    data: Any
    lines: dict[Key, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, key: Key) -> int:
        """The line of a key, or of the nearest one above it."""
        while key not in self.lines and key:
            key = key[:-1]
        return self.lines.get(key, 1)


class _Loader(yaml.SafeLoader):
    """Plain data only. Numbers as in YAML 1.2: 1e-5 is one, and `yes` and `on` are words."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:float", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.inf|\.nan)$"),
    list("-+.0123456789"),
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)$"), ["t", "f"])


def read_yaml(path: Path) -> Document:
    """Read one YAML document. Raises InputError with file and line where it is no YAML at all."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text file in UTF-8") from None
    document = Document(path, None)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            document.data = _build(node, (), loader, document, frozenset())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise InputError(f"{where}: this is no valid YAML: {getattr(error, 'problem', None) or error}") from None
    return document


def parse_value(text: str) -> Any:
    """A value as an entry would spell it: `3`, `1e-4`, `[42, 123]`, `best`."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader by inheritance
    except yaml.YAMLError as error:
        raise InputError(f"{text!r} is no YAML value: {getattr(error, 'problem', error)}") from None


def _build(node: yaml.Node, key: Key, loader: _Loader, document: Document, above: frozenset[int]) -> Any:
    document.lines.setdefault(key, node.start_mark.line + 1)
    if id(node) in above:
        raise InputError(f"{document.path}, line {node.start_mark.line + 1}: an anchor contains itself")
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = loader.construct_object(name_node)
            here = (*key, name if isinstance(name, (str, int)) else str(name))
            line = name_node.start_mark.line + 1
            if name in result:
                first = document.lines[here]
                document.problems.append(Problem(here, f"this key is there twice (lines {first} and {line}); keep one"))
                continue
            document.lines[here] = line
            result[name] = _build(value_node, here, loader, document, above | {id(node)})
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(n, (*key, i), loader, document, above | {id(node)}) for i, n in enumerate(node.value)]
    return loader.construct_object(node)
