"""Named building blocks: networks, inputs, losses, errors, steps, each under the field's name for it.

A block is a function or a class; its keyword-only parameters are its options, and their annotations are checked.
"""

import inspect
import math
import operator
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from vad.errors import InputError, nearest
from vad.user_code import code_of

Block = TypeVar("Block", bound=Callable[..., Any])


@dataclass(frozen=True)
class Named:
    """A block by name with its options, complete: a step, an error, an input, a schedule as an entry asks for it."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def plain(self) -> str | dict[str, dict[str, Any]]:
        """As an entry spells it."""
        return {self.name: dict(self.options)} if self.options else self.name

    @property
    def label(self) -> str:
        """One word, fit for a file's name."""
        return "-".join([self.name, *(f"{key}_{value}" for key, value in self.options)])


@dataclass(frozen=True)
class Within:
    """Bounds on a numeric option, for use in `Annotated`."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    odd: bool = False
    multiple: int | None = None

    def fault(self, value: float) -> str | None:
        """What is wrong with `value`, or None."""
        bounds = (
            (self.above, operator.gt, "above"),
            (self.low, operator.ge, "at least"),
            (self.high, operator.le, "at most"),
        )
        for bound, holds, words in bounds:
            if bound is not None and not holds(value, bound):
                return f"must be {words} {bound:g}"
        if self.multiple and value % self.multiple:
            return f"must be a multiple of {self.multiple}"
        return "must be odd" if self.odd and value % 2 != 1 else None


Count = Annotated[int, Within(low=1)]
Whole = Annotated[int, Within(low=0)]
NotNegative = Annotated[float, Within(low=0)]


class Catalog(Generic[Block]):
    """Blocks of one kind by name."""

    def __init__(self, kind: str):
        self.kind = kind
        self._blocks: dict[str, Block] = {}
        self._versions: dict[str, int | None] = {}

    def register(self, name: str, *, version: int | None = None) -> Callable[[Block], Block]:
        """Decorator: file a block under `name`.

        The project's blocks have a `version`, incremented where results change for the same options; yours are identified by source.
        """

        def file(block: Block) -> Block:
            if name in self._blocks:
                raise ValueError(f"two blocks of kind {self.kind} are called {name}")
            self._blocks[name], self._versions[name] = block, version
            return block

        return file

    def code(self, name: str) -> dict[str, str]:
        """The part of a block's code that enters digests: source digests by file for yours, a version above 1 for the project's."""
        if (version := self._versions.get(name, 1)) is None:
            return code_of(self._blocks[name].__module__, name)
        return {f"{self.kind} {name}": str(version)} if version > 1 else {}

    def names(self) -> list[str]:
        return sorted(self._blocks)

    def __contains__(self, name: object) -> bool:
        return name in self._blocks

    def __getitem__(self, name: str) -> Block:
        if name not in self._blocks:
            known = ", ".join(self.names())
            raise InputError(f'unknown {self.kind} "{name}"{nearest(name, self.names())} (known: {known})')
        return self._blocks[name]

    def options(self, name: str) -> dict[str, inspect.Parameter]:
        """The options of a block, in the order of its signature."""
        parameters = inspect.signature(self[name], eval_str=True).parameters.values()
        for option in parameters:
            try:
                if option.kind is option.KEYWORD_ONLY:
                    mismatch(None, option.annotation)
            except TypeError:
                types_ = "int, float, bool, str, Literal, unions of them, or Annotated with Within"
                raise InputError(f'{self.kind} "{name}": annotate its option "{option.name}" with {types_}') from None
        return {option.name: option for option in parameters if option.kind is option.KEYWORD_ONLY}

    def bind(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """`given` checked and completed with the defaults. Raises InputError with every fault of `given`, one a line."""
        if faults := [fault for _, fault in self.faults(name, given)]:
            raise InputError("\n".join(faults))
        options = self.options(name)
        return {key: _exact(given.get(key, option.default), option.annotation) for key, option in options.items()}

    def named(self, name: str, given: Mapping[str, Any]) -> Named:
        """A block of this catalog with its options, bound."""
        return Named(name, tuple(self.bind(name, given).items()))

    def make(self, named: Named, *arguments: Any) -> Any:
        """Call a block with these arguments and its options."""
        return self[named.name](*arguments, **dict(named.options))

    def faults(self, name: str, given: Mapping[str, Any]) -> list[tuple[str | None, str]]:
        """What is wrong with the options in `given`: pairs of the option's name and a sentence."""
        options = self.options(name)
        found: list[tuple[str | None, str]] = []
        for key, value in given.items():
            if key not in options:
                known = f"(known: {', '.join(options)})" if options else "(it has none)"
                found.append((key, f'{self.kind} "{name}" has no option "{key}"{nearest(key, list(options))} {known}'))
            elif fault := mismatch(value, options[key].annotation):
                found.append((key, f'{self.kind} "{name}": {key} {fault}, not {value!r}'))
        missing = [key for key, option in options.items() if option.default is option.empty and key not in given]
        found += [(None, f'{self.kind} "{name}" needs the option "{key}"') for key in missing]
        return found


def _exact(value: Any, annotation: Any) -> Any:
    """A number spelt 3 is 3.0 where a float is meant, so that one setting has one digest."""
    plain = annotation.__origin__ if hasattr(annotation, "__metadata__") else annotation
    if get_origin(plain) in (Union, types.UnionType):
        fitting = (choice for choice in get_args(plain) if mismatch(value, choice) is None)
        return _exact(value, next(fitting, None))
    return float(value) if plain is float else value


_PLAIN = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


def mismatch(value: Any, annotation: Any) -> str | None:
    """What is wrong with `value` as an instance of `annotation`, or None.

    Knows int, float (an int will do), str, bool, None, Literal, unions, and Annotated with `Within`.
    """
    if hasattr(annotation, "__metadata__"):
        fault = mismatch(value, annotation.__origin__)
        bounds: Iterable[Within] = (extra for extra in annotation.__metadata__ if isinstance(extra, Within))
        return fault or (None if value is None else next(filter(None, (b.fault(value) for b in bounds)), None))
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        faults = [mismatch(value, choice) for choice in get_args(annotation)]
        return None if None in faults else " or ".join(fault for fault in faults if fault)
    if origin is Literal:
        return None if value in get_args(annotation) else f"must be one of {', '.join(map(str, get_args(annotation)))}"
    if annotation not in _PLAIN:
        raise TypeError(f"an option cannot be annotated {annotation!r}")
    if annotation is float:
        fits = isinstance(value, (int, float)) and math.isfinite(value)
    else:
        fits = isinstance(value, annotation)
    return None if fits and (annotation is bool or not isinstance(value, bool)) else f"must be {_PLAIN[annotation]}"
