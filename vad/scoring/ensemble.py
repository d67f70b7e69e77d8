"""A complete ensemble: weights, recipe and the values that normalisation took, in one folder that scores frames.

ensemble.json            members, streams, the one variant, versions, SHA-256 of each file
weights/<member>.safetensors
fitted.safetensors       what fitted steps took from the run's test frames
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from vad.blocks import load as load_blocks
from vad.catalog import Named
from vad.data.frame_index import FrameIndex, Values
from vad.detectors.member import SCORING_CODE, Member, Training, digest_of, named_code
from vad.detectors.networks import fold_batch_norm
from vad.errors import InputError
from vad.frames.store import Frames
from vad.scoring.frame_scores import score
from vad.scoring.pipeline import Fitted, Stream, Variant, code_of_steps, run_pipeline
from vad.system.files import sha256
from vad.system.weights import fit_weights, load_tensors, save_tensors

Normalization = Literal["stored", "own"]


@dataclass(frozen=True)
class Ensemble:
    """Trained members and the way from their errors to one score a frame."""

    members: dict[str, Member]
    weights: dict[str, Path]
    streams: dict[str, Stream]
    variant_name: str
    variant: Variant
    fitted: Fitted
    _folded: dict[str, nn.Module] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Networks ready for scoring, kept from one call to the next. Of threads that both make one, the last one's stays."""

    def sizes(self) -> list[int]:
        return sorted({member.size for member in self.members.values()})

    def score(
        self,
        frames: Mapping[int, Frames],
        index: FrameIndex,
        device: torch.device,
        normalization: Normalization = "stored",
        advance: Callable[[int], None] | None = None,
    ) -> Values:
        """Scores of the frames of `index`, float64 of shape (N,).

        `frames` holds uint8 (N, size, size, 3) for each size. Steps that look at a whole test set use the values of the run
        that made the ensemble (`stored`), so a video alone scores as it did among the others, or of these frames (`own`).
        """
        member_scores: dict[tuple[str, Named], Values] = {}
        for name, member in self.members.items():
            if name not in self._folded:
                self._folded[name] = fold_batch_norm(self.network(name))
            network = self._folded[name]
            samples = member.kind_of_input().samples(frames[member.size], index, device)
            errors = list({s.error: None for s in self.streams.values() if s.error and name in s.members})
            trained = member.training.precision
            found = score(network, samples, errors, len(index), trained, device, advance, folded=True)
            member_scores |= {(name, error): values for error, values in found.items()}
        fitted = self.fitted if normalization == "stored" else None
        variants = {self.variant_name: self.variant}
        return run_pipeline(self.streams, variants, member_scores, {}, index, fitted).variants[self.variant_name]

    def network(self, name: str) -> nn.Module:
        """The trained network of a member."""
        network = self.members[name].build()
        state, _ = load_tensors(self.weights[name])
        fit_weights(network, state, str(self.weights[name]))
        return network


def select(
    members: Mapping[str, Member],
    streams: Mapping[str, Stream],
    variant_name: str,
    variant: Variant,
    fitted: Fitted,
    weights: Mapping[str, Path],
) -> Ensemble:
    """The ensemble of one variant: only the streams and members that it needs."""
    needed = {name: streams[name] for name in variant.streams}
    if files := [name for name, stream in needed.items() if stream.file]:
        raise InputError(
            f'variant "{variant_name}" reads predictions files ({", ".join(files)}); it cannot score frames'
        )
    names = sorted({member for stream in needed.values() for member in stream.members})
    prefixes = (*(f"streams/{name}/" for name in needed), f"variants/{variant_name}/")
    kept = {key: values for key, values in fitted.items() if key.startswith(prefixes)}
    own, paths = {name: members[name] for name in names}, {name: weights[name] for name in names}
    return Ensemble(own, paths, needed, variant_name, variant, kept)


def identity(ensemble: Ensemble, member_digests: Mapping[str, str]) -> str:
    """Digest of all that decides what the ensemble answers: members, steps, stored values."""
    fitted = {key: [float(x) for x in values.ravel()] for key, values in ensemble.fitted.items()}
    members = {name: member_digests[name] for name in ensemble.members}
    about = {"members": members, "fitted": fitted, "code": SCORING_CODE, **_recipe(ensemble)}
    return digest_of(about | named_code(code_of_steps(ensemble.streams.values(), [ensemble.variant])))


def save(ensemble: Ensemble, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the ensemble into an empty folder, its weights as copies. `about` is kept for people to read."""
    (folder / "weights").mkdir(parents=True)
    for name, path in ensemble.weights.items():
        (folder / "weights" / f"{name}.safetensors").write_bytes(path.read_bytes())
    tensors = {key: torch.from_numpy(values.copy()) for key, values in ensemble.fitted.items()}
    save_tensors(folder / "fitted.safetensors", tensors, {})
    files = [*(f"weights/{name}.safetensors" for name in ensemble.weights), "fitted.safetensors"]
    digests = {name: sha256(folder / name) for name in files}
    members = {name: asdict(member) for name, member in ensemble.members.items()}
    content = {"about": dict(about), "code": SCORING_CODE, "members": members, **_recipe(ensemble), "sha256": digests}
    (folder / "ensemble.json").write_text(json.dumps(content, indent=2))


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
    tensors, _ = load_tensors(folder / "fitted.safetensors")
    fitted = {key: tensor.numpy() for key, tensor in tensors.items()}
    weights = {name: folder / "weights" / f"{name}.safetensors" for name in members}
    return Ensemble(members, weights, streams, variant_name, variant, fitted)


def _recipe(ensemble: Ensemble) -> dict[str, Any]:
    # An error without options stands by its name alone, as the first models have it: an ensemble keeps its identity.
    streams = {name: asdict(stream) for name, stream in ensemble.streams.items()}
    for stream in streams.values():
        if stream["error"] and not stream["error"]["options"]:
            stream["error"] = stream["error"]["name"]
    return {"streams": streams, "variant": {ensemble.variant_name: asdict(ensemble.variant)}}


def _member(value: dict[str, Any]) -> Member:
    training = dict(value["training"])
    training.pop("threads", None)  # of models that were registered by version 0.1
    training["schedule"] = _named(training["schedule"])
    if not isinstance(training["loss"], str):
        training["loss"] = _pairs(training["loss"])
    given = {"options": _pairs(value["options"]), "input": _named(value["input"]), "init": _named(value.get("init"))}
    return Member(**{**value, **given, "training": Training(**training)})


def _stream(value: dict[str, Any]) -> Stream:
    steps = tuple(map(_named, value["steps"]))
    return Stream(**{**value, "members": tuple(value["members"]), "error": _named(value["error"]), "steps": steps})


def _variant(value: dict[str, Any]) -> Variant:
    steps = tuple(map(_named, value["steps"]))
    return Variant(**{**value, "streams": tuple(value["streams"]), "weights": tuple(value["weights"]), "steps": steps})


def _named(value: Any) -> Any:
    """A block's name and options; the first models have the bare name of an input or an error, and a pair."""
    if value is None or isinstance(value, str):
        return value and Named(value)
    name, options = value if isinstance(value, list) else (value["name"], value["options"])
    return Named(name, _pairs(options))


def _pairs(values: Sequence[Sequence[Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple((str(key), value) for key, value in values)
