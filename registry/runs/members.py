"""Trained members in the tracking store, each a run: found again by digest, with weights and scores."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from registry.console import say
from registry.store.record import Altered
from registry.store.runlog import RunLog
from registry.store.tracking import Found, Tracking
from vad.catalog import Named
from vad.data.frame_index import Values
from vad.detectors.member import SCORING_CODE, Member, digest_of
from vad.detectors.training.trainer import Epoch, Trained
from vad.errors import InputError
from vad.scoring.reconstruction_errors import ERRORS
from vad.system.files import sha256
from vad.system.weights import fit_weights, load_tensors, save_tensors

_WEIGHTS = "weights.safetensors"
_ABOUT = "checkpoint.json"


@dataclass(frozen=True)
class TrainedMember:
    """A member whose weights are in the store, with the precision of its training; the run that trained it, and how."""

    member: Member
    run_id: str
    trained_for: str
    weights: Path
    epoch: int
    loss: float
    epochs: tuple[Epoch, ...]

    @property
    def seconds(self) -> float:
        return sum(epoch.seconds for epoch in self.epochs)

    def network(self) -> nn.Module:
        """The network with its trained weights."""
        network = self.member.build()
        state, _ = load_tensors(self.weights)
        fit_weights(network, state, str(self.weights))
        return network


Members = Mapping[str, TrainedMember]
"""Trained members by name."""


class MemberStore:
    """Trained members and their scores."""

    def __init__(self, tracking: Tracking, home: Path):
        self._tracking = tracking
        self._home = home

    def find(self, member: Member, digest: str, tags: Mapping[str, str] | None = None) -> TrainedMember | None:
        """A finished member of this digest, with these tags, whose weights are there and whole."""
        for run in self._tracking.find("member", digest, tags=tags):
            if known := self._load(member, run):
                return known
        return None

    def _load(self, member: Member, run: Found) -> TrainedMember | None:
        folder = run.tags.get("vad.checkpoint", "")
        try:
            weights = self._tracking.fetch(run.run_id, f"{folder}/{_WEIGHTS}", self._home)
            content = self._tracking.read_json(run.run_id, f"{folder}/{_ABOUT}", self._home)
        except Altered as error:
            say(f"  {member.name}: {error}; it is passed over")
            return None
        if weights is None or content is None:
            say(f"  {member.name}: run {run.run_id} has lost its weights; it is passed over")
            return None
        return TrainedMember(
            member.trained_in(content["precision"]),
            run.run_id,
            run.tags.get("vad.entry", ""),
            weights,
            content["epoch"],
            content["loss"],
            tuple(Epoch(**epoch) for epoch in content["epochs"]),
        )

    def keep(self, member: Member, digest: str, trained: Trained, samples: int, log: RunLog) -> TrainedMember:
        """Log the weights, and how they were trained. Raises InputError where they cannot be read back."""
        folder = f"checkpoints/{member.group}/seed-{member.seed}"
        computed = {"precision": trained.precision, "threads": trained.threads}
        content = {
            "epoch": trained.epoch,
            "loss": trained.loss,
            "settings": member.settings(),
            "epochs": [asdict(epoch) for epoch in trained.epochs],
            **computed,
        }
        seconds = sum(epoch.seconds for epoch in trained.epochs)
        metrics = {
            "best_loss": trained.loss,
            "best_epoch": trained.epoch,
            "train_seconds": seconds,
            "train_frames_per_second": samples * len(trained.epochs) / max(seconds, 1e-9),
        }
        with tempfile.TemporaryDirectory() as temporary:
            weights = Path(temporary) / _WEIGHTS
            save_tensors(weights, trained.state, {**content, "digest": digest})
            written = sha256(weights)
            (Path(temporary) / _ABOUT).write_text(json.dumps({**content, "sha256": written}, indent=2))
            tags = {"vad.checkpoint": folder, "vad.weights_sha256": written}
            tags |= {f"vad.{key}": str(value) for key, value in computed.items()}
            log.artifacts(Path(temporary), folder, known={_WEIGHTS: written}, metrics=metrics, tags=tags)
        if known := self._load(member, self._tracking.get(log.run_id)):
            return known
        raise InputError(f"the weights of {member.name} were logged to run {log.run_id}, but cannot be read back")

    def scores(self, known: TrainedMember, frames_digest: str, error: Named) -> Values | None:
        """The member's scores of these frames under this error, if they were computed before."""
        try:
            path = self._tracking.fetch(known.run_id, f"scores/{_score_name(frames_digest, error)}", self._home)
            return None if path is None else load_tensors(path)[0]["scores"].numpy()
        except InputError:
            return None

    def keep_scores(
        self, known: TrainedMember, frames_digest: str, scores: Mapping[Named, Values], frames_per_second: float
    ) -> None:
        """Log a member's scores with its run."""
        with tempfile.TemporaryDirectory() as temporary:
            for error, values in scores.items():
                path = Path(temporary) / _score_name(frames_digest, error)
                about = {"frames": frames_digest, "error": error.label}
                save_tensors(path, {"scores": torch.from_numpy(values)}, about)
            log = self._tracking.reopen(known.run_id)
            log.artifacts(Path(temporary), "scores", metrics={"score_frames_per_second": frames_per_second})


def _score_name(frames_digest: str, error: Named) -> str:
    code = ERRORS.code(error.name)
    mark = f"-{digest_of(code)[:12]}" if code else ""
    return f"{frames_digest[:24]}-{error.label}-{SCORING_CODE}{mark}.safetensors"
