"""From an experiment's name to its entry: find the file, apply profile and overrides, report every fault at once."""

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from registry.entries.checks import check
from registry.entries.entry import Entry, FuseSpec, Reference, StreamSpec, TrainSpec, VariantSpec, unknown
from registry.entries.yaml_reader import Key, Problem, Sections, parse_value, read_yaml, validated
from vad import blocks
from vad.detectors.kinds import detector_class
from vad.detectors.member import models
from vad.errors import InputError, nearest
from vad.system.files import names_in

_ENDINGS = (".yaml", ".yml")
_JOURNEY = "journey.yaml"
_PROFILES = Path(__file__).parent / "profiles"
_OF_THE_PROJECT = Path(__file__).resolve().parents[2] / "experiments"
_SECTIONS: Sections = {
    ("reference", 2): Reference,
    ("train", 2): TrainSpec,
    ("members", 4): TrainSpec,
    ("streams", 3): StreamSpec,
    ("variants", 3): VariantSpec,
    ("variants", 4): FuseSpec,
}


@dataclass(frozen=True)
class Loaded:
    """An entry as it will run: where it came from, what was changed on the way in."""

    entry: Entry
    path: Path
    source: str
    profile: str
    overrides: tuple[str, ...]
    where: Callable[..., str]  # file and line of a key, given part by part


def experiments_folder() -> Path:
    """`experiments/` of the working folder, or that of the project where there is none."""
    here = Path("experiments")
    return here if here.is_dir() else _OF_THE_PROJECT


def journey_file() -> Path:
    """Return the file with a reference's tables and claims: the one in the folder of experiments, or the project's own."""
    here = experiments_folder() / _JOURNEY
    return here if here.is_file() else _OF_THE_PROJECT / _JOURNEY


def all_experiments() -> list[Path]:
    """Return every entry, by name, except hidden files (`._mine.yaml` of a Mac, `.ipynb_checkpoints/`) and the journey."""
    folder = experiments_folder()
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS and path.name != _JOURNEY)
    return sorted(path for path in paths if not any(part[0] == "." for part in path.relative_to(folder).parts))


def without_journey(experiments: Sequence[str]) -> tuple[str, ...]:
    """Return the names without the journey, unless it is the only one: a shell's `experiments/*.yaml` includes it."""
    return tuple(name for name in experiments if os.path.basename(name) != _JOURNEY) or tuple(experiments)


def find_entry(experiment: str) -> Path:
    """Find an entry by its name or its file's name, in any case, in `experiments/` or the folder given. Raises InputError."""
    folder, name = os.path.split(experiment)
    here = os.path.isfile(experiment) and experiment.lower().endswith(_ENDINGS)  # False, too, for what can be no path
    if here and name == _JOURNEY:
        raise InputError(
            f"EXP={experiment}: this is not an experiment, but the file that `vad journey` reads; leave it out"
        )
    if folder and here:
        return Path(experiment)
    known = all_experiments()
    if folder:
        files = names_in(Path(folder)) if os.path.isdir(folder) else []
        known = [Path(folder, other) for other in files if other.lower().endswith(_ENDINGS) and other != _JOURNEY]
    elif here and os.path.realpath(experiment) not in map(os.path.realpath, known):
        known.append(Path(experiment))
    exact = [path for path in known if name in (path.stem, path.name)]
    found = exact or [path for path in known if name.casefold() in (path.stem.casefold(), path.name.casefold())]
    if len(found) > 1:
        paths = " and ".join(str(path) if path.parts[1:] else f"./{path}" for path in found)
        raise InputError(f"EXP={experiment}: {paths} are both meant; give the path of one")
    if not found:
        names = [path.stem for path in known]
        hint = nearest(name.removesuffix(".yaml").removesuffix(".yml"), names)
        if folder:
            raise InputError(f"EXP={experiment}: there is no such file (.yaml or .yml){hint}")
        raise InputError(
            f'unknown experiment "{experiment}"{hint} (in {experiments_folder()}: {", ".join(names) or "none"})'
        )
    return found[0]


def profiles() -> list[str]:
    """The names of all profiles."""
    return sorted(path.stem for path in _PROFILES.glob("*.yaml"))


def default_profile(data: str | None) -> str:
    """The profile of a run that names none: brief training for the demo street, else the entry's own values."""
    return "full" if data else "demo"


def load_entry(experiment: str, profile: str = "full", overrides: Sequence[str] = ()) -> Loaded:
    """Read, change and check an entry. Raises InputError that lists every fault with file, line and key."""
    blocks.load_project()
    path = find_entry(experiment)
    document = read_yaml(path)
    if not isinstance(document.data, dict):
        raise InputError(f"{path}: an entry is a mapping of keys (name, members, streams, variants, ...)")
    data, settings = _changed(document.data, profile, overrides)
    kept = list(overrides)
    for override in overrides:  # one that sets a key to the value that it has does not count
        rest = kept.copy()
        rest.remove(override)
        if _changed(document.data, profile, rest)[0] == data:
            kept = rest
    problems = [*document.problems, *check(data)]
    if isinstance(name := data.get("name"), str) and name != path.stem:
        problems.append(Problem(("name",), f'is "{name}", but the file is {path.name}; they must agree'))
    document = replace(document, data=data, problems=problems, settings=settings)
    entry = validated(document, Entry, _SECTIONS)
    return Loaded(entry, path, path.read_text(encoding="utf-8"), profile, tuple(kept), document.where)


def _changed(document: dict[str, Any], profile: str, overrides: Sequence[str]) -> tuple[dict[str, Any], dict[Key, str]]:
    """A copy of the entry under a profile and overrides, and each override by the key that it sets."""
    data = _with_profile(document, profile, overrides)
    return data, {_override(data, override): override for override in overrides}


def _with_profile(data: dict[str, Any], profile: str, overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of the entry under a profile, which never trains longer than the entry: its `train` replaces values of all training, its `members` of each group, its
    `sizes` of the groups of a size, but for what an override sets for all training."""
    if profile not in profiles():
        raise InputError(unknown("profile", profile, profiles()))
    values = read_yaml(_PROFILES / f"{profile}.yaml").data or {}
    data = copy.deepcopy(data)
    train, members, sizes = (values.get(part, {}) for part in ("train", "members", "sizes"))
    overridden = {override.partition("=")[0].strip() for override in overrides}
    if train and isinstance(data.setdefault("train", {}), dict):
        data["train"].update(_no_longer(train, data["train"]))
    groups = data.get("members")
    for group in groups.values() if isinstance(groups, dict) else ():
        if isinstance(group, dict) and _is_trained(group.get("model")):
            size, own = group.get("size"), group.get("train", {})
            of_size = sizes.get(size, {}) if isinstance(size, int) else {}
            group |= members | {key: value for key, value in of_size.items() if key != "train"}
            if isinstance(own, dict):
                shorter = {k: value for k, value in of_size.get("train", {}).items() if f"train.{k}" not in overridden}
                own |= _no_longer({key: value for key, value in train.items() if key in own}, own)
                common = data.get("train")
                own |= _no_longer(shorter, {**(common if isinstance(common, dict) else {}), **own})
                group |= {"train": own} if own else {}
    return data


def _is_trained(model: Any) -> bool:
    """Whether a profile has anything to say of a group of this model; the check reports one that there is not."""
    return not isinstance(model, str) or model not in models() or detector_class(model).trained


def _no_longer(values: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """A profile's values of training, which is never longer than it was before."""
    epochs = before.get("epochs")
    shorter = "epochs" in values and isinstance(epochs, int) and epochs < values["epochs"]
    return values | {"epochs": epochs} if shorter else values


def _override(data: dict[str, Any], override: str) -> Key:
    """Set one `path.to.key=value`; return its key. Every part but the last must be there; the schema checks the rest."""
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise InputError(f"SET={override!r:.200} must read key=value, as in train.epochs=3")
    try:
        value = parse_value(text)
    except InputError as error:
        raise InputError(f"SET {override:.200}: {error}") from None
    *parents, last = path.strip().split(".")
    if not parents and last not in Entry.model_fields and last in TrainSpec.model_fields:
        raise InputError(f'SET {override:.200}: there is no "{last}" in the entry; did you mean "train.{last}"?')
    if parents[:1] == ["train"]:
        data.setdefault("train", {})
    here: Any = data
    step: Any
    key: Key = ()
    for part in parents:
        try:
            step = int(part) if isinstance(here, list) and part.isdigit() else part
            here, key = here[step], (*key, step)
        except (LookupError, TypeError):
            known = [str(name) for name in here] if isinstance(here, dict) else []
            hint = f"{nearest(part, known)} (there: {', '.join(known)})" if known else ""
            place = ".".join(map(str, key)) or "the entry"
            raise InputError(f'SET {override:.200}: there is no "{part}" in {place}{hint}') from None
    step = int(last) if isinstance(here, list) and last.isdigit() else last
    if not isinstance(here, dict) and not (isinstance(here, list) and isinstance(step, int) and step < len(here)):
        raise InputError(f"SET {override:.200}: {'.'.join(map(str, key))} has no keys to set")
    here[step] = value
    return (*key, step)
