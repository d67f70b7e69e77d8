"""A complete ensemble: fitted members, repairs and recipe in one folder that scores frames.

ensemble.json            members, repairs, streams, the one variant, versions, SHA-256 of each file
weights/<member>.safetensors
fitted.safetensors       what fitted steps took from the run's frames
repairs.safetensors      what repairs took from train frames, where there are any
calibration.safetensors  mean and deviation of anomaly maps on train frames, where a score needs them
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from vad.blocks import load as load_blocks
from vad.catalog import Named
from vad.data.frame_index import FrameIndex, Values
from vad.data.frameset import Split
from vad.detectors.kinds import make_detector
from vad.detectors.member import SCORING_CODE, Member, digest_of, named_code
from vad.detectors.training.recipe import Training
from vad.errors import InputError
from vad.frames.repaired import read_evidence, usable
from vad.frames.store import Advance, Frames, SplitSource, open_frames
from vad.images.view import View, from_plain
from vad.repair import REPAIRS, FittedRepair, from_arrays, to_arrays
from vad.scoring.frame_scores import Calibration, Explained, Way, explain, score
from vad.scoring.pipeline import Fitted, Scored, Stream, Variant, code_of_steps, run_pipeline
from vad.scoring.reductions import FrameScore, MapScore
from vad.system.files import sha256
from vad.system.weights import load_tensors, save_tensors

Normalization = Literal["stored", "own"]
_EXTRA = ("repairs", "calibration")


@dataclass(frozen=True)
class Ensemble:
    """Fitted members and the way from frames to one score a frame."""

    members: dict[str, Member]
    weights: dict[str, Path]
    streams: dict[str, Stream]
    variant_name: str
    variant: Variant
    fitted: Fitted
    repairs: tuple[FittedRepair, ...] = ()
    calibration: dict[str, Calibration] = field(default_factory=dict)
    """Of each member, by its name; see `vad.scoring.frame_scores.Calibration`."""
    _ways: dict[tuple[str, torch.device], Way] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Detectors ready for scoring, kept from one call to the next. Of threads that both make one, the last one's stays."""

    def view(self, name: str) -> View:
        """Return how a member sees test frames."""
        return self.members[name].view.repaired(self.repairs)

    def views(self) -> list[View]:
        """Return all views of test frames that scoring needs, smallest first."""
        return sorted(
            {self.view(name) for name in self.members}, key=lambda view: (view.height * view.width, view.label)
        )

    def decode(
        self, split: Split, folder: Path, advance: Advance | None = None
    ) -> tuple[dict[View, Frames], FrameIndex]:
        """Return the frames of a split, repaired, in each of `views`, and their index: from the store in this folder, or decoded into it."""
        source, views = SplitSource(split), self.views()
        frames = open_frames(source, views, folder, advance)
        if not self.repairs:
            return frames, split.index
        return frames, usable(split.index, read_evidence(source, views[0], folder), self.repairs)

    def score(
        self,
        frames: Mapping[View, Frames],
        index: FrameIndex,
        device: torch.device,
        normalization: Normalization = "stored",
        advance: Callable[[int], None] | None = None,
    ) -> Values:
        """Scores of the frames of `index`, float64 of shape (N,).

        `frames` holds the frames in each of `views`. Steps that look at a whole test set use the values of the run that made
        the ensemble (`stored`), so a video alone scores as among the others, or of these frames (`own`).
        """
        scores: dict[tuple[str, FrameScore], Values] = {}
        for name, member in self.members.items():
            samples = member.kind_of_input().samples(frames[self.view(name)], index, device)
            wanted = list({s.error: None for s in self.streams.values() if s.error and name in s.members})
            found = score(self._way(name, device), samples, wanted, len(index), advance)
            scores |= {(name, one): values for one, values in found.items()}
        scored, variants, own = Scored(index, scores), {self.variant_name: self.variant}, normalization == "own"
        outcome = run_pipeline(self.streams, variants, scored, fitted=self.fitted, own=own)
        return outcome.variants[self.variant_name]

    def explain(
        self, name: str, frames: Frames, index: FrameIndex, device: torch.device
    ) -> Callable[[int], Explained | None]:
        """Return a function that explains a frame for pictures: what this member saw, and the map of its score."""
        member = self.members[name]
        samples = member.kind_of_input().samples(frames, index, device)
        wanted = next(s.error for s in self.streams.values() if s.error and name in s.members)
        return explain(self._way(name, device), samples, wanted, make_detector(member).maps[0])

    def _way(self, name: str, device: torch.device) -> Way:
        if (name, device) not in self._ways:
            state, _ = load_tensors(self.weights[name])
            scorer = make_detector(self.members[name]).scorer(state, str(self.weights[name]), device)
            calibration = {kind: values.to(device) for kind, values in self.calibration.get(name, {}).items()}
            self._ways[name, device] = Way(scorer, calibration)
        return self._ways[name, device]


def select(whole: Ensemble, variant_name: str, variant: Variant) -> Ensemble:
    """The ensemble of one variant: only the streams and members of `whole` that it needs."""
    needed = {name: whole.streams[name] for name in variant.streams}
    if files := [name for name, stream in needed.items() if stream.file]:
        raise InputError(
            f'variant "{variant_name}" reads predictions files ({", ".join(files)}); it cannot score frames'
        )
    names = sorted({member for stream in needed.values() for member in stream.members})
    prefixes = (*(f"streams/{name}/" for name in needed), f"variants/{variant_name}/")
    fitted = {key: values for key, values in whole.fitted.items() if key.startswith(prefixes)}
    own, paths = {name: whole.members[name] for name in names}, {name: whole.weights[name] for name in names}
    calibration = {name: whole.calibration[name] for name in names if name in whole.calibration}
    return Ensemble(own, paths, needed, variant_name, variant, fitted, whole.repairs, calibration)


def identity(ensemble: Ensemble, member_digests: Mapping[str, str]) -> str:
    """Digest of all that decides what the ensemble answers: members, repairs, steps, stored values."""
    fitted = {key: [float(x) for x in values.ravel()] for key, values in ensemble.fitted.items()}
    members = {name: member_digests[name] for name in ensemble.members}
    about = {"members": members, "fitted": fitted, "code": SCORING_CODE, **_recipe(ensemble)}
    about |= {"repairs": [repair.digest for repair in ensemble.repairs]} if ensemble.repairs else {}
    calibration = {key: values.flatten().tolist() for key, values in _flat(ensemble.calibration).items()}
    about |= {"calibration": calibration} if calibration else {}
    return digest_of(about | named_code(code_of_steps(ensemble.streams.values(), [ensemble.variant])))


def save(ensemble: Ensemble, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the ensemble into an empty folder, its weights as copies. `about` is kept for people to read."""
    (folder / "weights").mkdir(parents=True)
    for name, path in ensemble.weights.items():
        (folder / "weights" / f"{name}.safetensors").write_bytes(path.read_bytes())
    arrays = {"fitted": ensemble.fitted, "repairs": to_arrays(ensemble.repairs)}
    tensors = {
        name: {key: torch.from_numpy(values.copy()) for key, values in of.items()} for name, of in arrays.items()
    }
    tensors["calibration"] = _flat(ensemble.calibration)
    kept = {name: values for name, values in tensors.items() if values or name not in _EXTRA}
    for name, values in kept.items():
        save_tensors(folder / f"{name}.safetensors", values, {})
    files = [*(f"weights/{name}.safetensors" for name in ensemble.weights), *(f"{name}.safetensors" for name in kept)]
    digests = {name: sha256(folder / name) for name in files}
    members = {name: {**asdict(member), "view": member.view.plain()} for name, member in ensemble.members.items()}
    repairs = {"repairs": [asdict(repair.named) for repair in ensemble.repairs]}
    content = {"about": dict(about), "code": SCORING_CODE, "members": members, **repairs, **_recipe(ensemble)}
    (folder / "ensemble.json").write_text(json.dumps({**content, "sha256": digests}, indent=2))


def load(folder: Path) -> Ensemble:
    """Read what `save` wrote. Raises InputError for a damaged or altered file, or one of a newer program."""
    load_blocks()
    try:
        content = json.loads((folder / "ensemble.json").read_text())
        code, digests = content["code"], content["sha256"]
        members = {name: _member(value) for name, value in content["members"].items()}
        streams = {name: _stream(value) for name, value in content["streams"].items()}
        (variant_name, variant_value), *_ = content["variant"].items()
        variant = _variant(variant_value)
        if lost := [name for name in members if f"weights/{name}.safetensors" not in digests]:
            raise KeyError(f"the SHA-256 of {lost[0]}")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{folder / 'ensemble.json'} is missing or damaged: {error!r:.200}") from None
    if code != SCORING_CODE:
        raise InputError(f"{folder} was made by version {code} of the scoring code; this is version {SCORING_CODE}")
    for name, digest in digests.items():
        if not (folder / name).is_file() or sha256(folder / name) != digest:
            raise InputError(f"{folder / name} is missing or was altered: its SHA-256 is not the one recorded")
    tensors = {
        n: load_tensors(folder / f"{n}.safetensors")[0] for n in ("fitted", *_EXTRA) if f"{n}.safetensors" in digests
    }
    fitted = {key: tensor.numpy() for key, tensor in tensors["fitted"].items()}
    weights = {name: folder / "weights" / f"{name}.safetensors" for name in members}
    repairs = _repairs(folder, content)
    for repair in repairs:
        REPAIRS[repair.named.name]
    calibration: dict[str, dict[str, torch.Tensor]] = {}
    for key, values in tensors.get("calibration", {}).items():
        member, _, kind = key.partition("/")
        calibration.setdefault(member, {})[kind] = values
    return Ensemble(members, weights, streams, variant_name, variant, fitted, repairs, dict(calibration))


def read_views(folder: Path) -> dict[str, View]:
    """Return how each member of a saved ensemble sees test frames; older models have squares in colour alone.

    Its repairs need not be known here: such frames are decoded by the model's own code.
    """
    content = json.loads((folder / "ensemble.json").read_text())
    repairs = _repairs(folder, content)
    return {
        name: from_plain(value["view"] if "view" in value else value["size"]).repaired(repairs)
        for name, value in content["members"].items()
    }


def _repairs(folder: Path, content: Mapping[str, Any]) -> tuple[FittedRepair, ...]:
    if not (named := [_named(value) for value in content.get("repairs", [])]):
        return ()
    arrays = {key: tensor.numpy() for key, tensor in load_tensors(folder / "repairs.safetensors")[0].items()}
    return from_arrays(named, arrays)


def _flat(calibration: Mapping[str, Calibration]) -> dict[str, torch.Tensor]:
    return {f"{name}/{kind}": values for name, kinds in calibration.items() for kind, values in kinds.items()}


def _recipe(ensemble: Ensemble) -> dict[str, Any]:
    # An error without options is stored as its name, as in the first models, so that an ensemble keeps its identity.
    streams = {name: asdict(stream) for name, stream in ensemble.streams.items()}
    for name, stream in streams.items():
        if isinstance(ensemble.streams[name].error, Named) and not stream["error"]["options"]:
            stream["error"] = stream["error"]["name"]
    return {"streams": streams, "variant": {ensemble.variant_name: asdict(ensemble.variant)}}


def _member(value: dict[str, Any]) -> Member:
    given = {"options": _pairs(value["options"]), "input": _named(value["input"]), "init": _named(value["init"])}
    given["view"] = from_plain(value["view"])
    training = None if value["training"] is None else dict(value["training"])
    if training is not None:
        training["schedule"] = _named(training["schedule"])
        if not isinstance(training["loss"], str):
            training["loss"] = _pairs(training["loss"])
        given["training"] = Training(**training)
    return Member(**{**value, **given})


def _stream(value: dict[str, Any]) -> Stream:
    error, steps = value["error"], tuple(map(_named, value["steps"]))
    if isinstance(error, dict) and "map" in error:
        error = MapScore(error["map"], _named(error["reduce"]), error["calibrate"])
    else:
        error = _named(error)
    return Stream(**{**value, "members": tuple(value["members"]), "error": error, "steps": steps})


def _variant(value: dict[str, Any]) -> Variant:
    steps = tuple(map(_named, value["steps"]))
    return Variant(**{**value, "streams": tuple(value["streams"]), "weights": tuple(value["weights"]), "steps": steps})


def _named(value: Any) -> Any:
    """A block's name and options, or the bare name of one without options."""
    if value is None or isinstance(value, str):
        return value and Named(value)
    return Named(value["name"], _pairs(value["options"]))


def _pairs(values: Sequence[Sequence[Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple((str(key), value) for key, value in values)
