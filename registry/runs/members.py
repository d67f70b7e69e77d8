"""Trained members in the tracking store, each a run: found again by digest, with weights and scores."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from registry.console import say
from registry.store.record import Altered
from registry.store.runlog import RunLog
from registry.store.tracking import Found, Tracking
from vad.data.frame_index import Values
from vad.detectors.base import Epoch, Trained
from vad.detectors.kinds import make_detector
from vad.detectors.member import SCORING_CODE, Member, digest_of
from vad.errors import InputError
from vad.scoring.frame_scores import Calibration, Way
from vad.scoring.reductions import FrameScore, code_of
from vad.system.files import sha256
from vad.system.weights import load_tensors, save_tensors

_WEIGHTS = "weights.safetensors"
_ABOUT = "checkpoint.json"


@dataclass(frozen=True)
class TrainedMember:
    """A fitted member whose state is in the store, with the precision of its training; the run that fitted it, and how.

    Of a network also its epochs, the one that its weights come from, and its loss; others have none.
    """

    member: Member
    run_id: str
    trained_for: str
    weights: Path
    epoch: int | None
    loss: float | None
    epochs: tuple[Epoch, ...]
    seconds: float
    calibration: Calibration = field(default_factory=dict)

    @property
    def told(self) -> list[str]:
        """What to tell a user about its training."""
        return [] if self.epoch is None else [f"epoch {self.epoch}", f"loss {self.loss:.5f}"]

    def way(self, device: torch.device, *, leave_out: bool = False) -> Way:
        """The fitted detector on a device, with its calibration; `leave_out` as in `Detector.scorer`."""
        state, _ = load_tensors(self.weights)
        scorer = make_detector(self.member).scorer(state, str(self.weights), device, leave_out=leave_out)
        return Way(scorer, {kind: values.to(device) for kind, values in self.calibration.items()})


Members = Mapping[str, TrainedMember]
"""Trained members by name."""


class MemberStore:
    """Trained members and their scores."""

    def __init__(self, tracking: Tracking, home: Path):
        self._tracking = tracking
        self._home = home

    def find(self, member: Member, digest: str, tags: Mapping[str, str] | None = None) -> TrainedMember | None:
        """Return a finished member with this digest and these tags, whose weights are intact."""
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
            epochs := tuple(Epoch(**epoch) for epoch in content["epochs"]),
            content.get("seconds") or sum(epoch.seconds for epoch in epochs),
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
            "seconds": trained.seconds,
            **computed,
        }
        seen = samples * max(1, len(trained.epochs))
        metrics = {"train_seconds": trained.seconds, "train_frames_per_second": seen / max(trained.seconds, 1e-9)}
        if trained.epoch is not None and trained.loss is not None:
            metrics |= {"best_loss": trained.loss, "best_epoch": trained.epoch}
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

    def scores(self, known: TrainedMember, frames_digest: str, score: FrameScore) -> Values | None:
        """The member's scores of these frames, if they were computed before."""
        found = self._tensors(known, f"scores/{_score_name(frames_digest, score)}")
        return found["scores"].numpy() if found else None

    def keep_scores(
        self, known: TrainedMember, frames_digest: str, scores: Mapping[FrameScore, Values], frames_per_second: float
    ) -> None:
        """Log a member's scores with its run."""
        with tempfile.TemporaryDirectory() as temporary:
            for score, values in scores.items():
                path = Path(temporary) / _score_name(frames_digest, score)
                about = {"frames": frames_digest, "error": score.label}
                save_tensors(path, {"scores": torch.from_numpy(values)}, about)
            log = self._tracking.reopen(known.run_id)
            log.artifacts(Path(temporary), "scores", metrics={"score_frames_per_second": frames_per_second})

    def calibration(self, known: TrainedMember, frames_digest: str) -> dict[str, Tensor]:
        """Return the calibrations of the member's maps on these train frames, by kind, that were measured before."""
        return self._tensors(known, _calibration_name(frames_digest))

    def _tensors(self, known: TrainedMember, path: str) -> dict[str, Tensor]:
        """Return what a file of a member's run holds; nothing where it is gone, damaged or altered."""
        try:
            found = self._tracking.fetch(known.run_id, path, self._home)
            return load_tensors(found)[0] if found else {}
        except InputError:
            return {}

    def keep_calibration(self, known: TrainedMember, frames_digest: str, calibration: Mapping[str, Tensor]) -> None:
        """Log the calibrations of a member's maps with its run."""
        folder, _, name = _calibration_name(frames_digest).partition("/")
        with tempfile.TemporaryDirectory() as temporary:
            save_tensors(Path(temporary) / name, dict(calibration), {"frames": frames_digest})
            self._tracking.reopen(known.run_id).artifacts(Path(temporary), folder)


def _score_name(frames_digest: str, score: FrameScore) -> str:
    code = code_of(score)
    mark = f"-{digest_of(code)[:12]}" if code else ""
    return f"{frames_digest[:24]}-{score.label}-{SCORING_CODE}{mark}.safetensors"


def _calibration_name(frames_digest: str) -> str:
    return f"calibration/{frames_digest[:24]}-{SCORING_CODE}.safetensors"
