"""Members in the tracking store: trained once, found again by their digest, scored once for each set of frames."""

import json
import math
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from registry.console import Console
from registry.engines import Job, Lost, TrainingJob
from registry.signals import was_stopped
from registry.store.record import Altered
from registry.store.retries import impatient
from registry.store.runlog import RunLog
from registry.store.tracking import Found, Tracking
from vad.catalog import Named
from vad.data.frame_index import FrameIndex, Values
from vad.detectors.member import SCORING_CODE, Member, digest_of
from vad.detectors.networks import parameter_count
from vad.detectors.training.trainer import Diverged, Epoch, Trained
from vad.errors import InputError
from vad.frames.store import Frames
from vad.images.decode import RESIZE_FILTER
from vad.inputs import Samples
from vad.scoring.frame_scores import score
from vad.scoring.reconstruction_errors import ERRORS
from vad.system.files import sha256
from vad.system.weights import fit_weights, load_tensors, save_tensors

_WEIGHTS = "weights.safetensors"
# Seconds from one sending of a curve to the next.
_CURVE_EVERY = 3.0


@dataclass(frozen=True)
class TrainedMember:
    """A member whose weights are in the store: the run that trained it, and how that went.

    Its `member` says in which precision that was, where the entry says `auto`.
    """

    member: Member
    digest: str
    run_id: str
    run_name: str
    trained_for: str
    weights: Path
    epoch: int
    loss: float
    epochs: tuple[Epoch, ...]
    seconds: float


class MemberStore:
    """Trained members and their scores, kept as runs."""

    def __init__(self, tracking: Tracking, home: Path, device: torch.device, console: Console):
        self._tracking = tracking
        self._home = home
        self._device = device
        self._console = console
        self.failed: dict[str, str] = {}
        """Members that this process could not train, by digest, and why."""

    def find(self, member: Member, digest: str, tags: Mapping[str, str] | None = None) -> TrainedMember | None:
        """A finished member of this digest, with these tags, whose weights are there and whole."""
        for run in self._tracking.find("member", digest, tags=tags):
            if known := self._open(member, digest, run):
                return known
        return None

    def _open(self, member: Member, digest: str, run: Found) -> TrainedMember | None:
        folder = run.tags.get("vad.checkpoint", "")
        cache = self._home / "fetched" / run.run_id
        try:
            weights = self._tracking.fetch(run.run_id, f"{folder}/{_WEIGHTS}", cache)
            about = self._tracking.fetch(run.run_id, f"{folder}/checkpoint.json", cache)
        except Altered as error:
            self._console.say(f"  {member.name}: {error}; it is passed over")
            return None
        if weights is None or about is None:
            self._console.say(f"  {member.name}: run {run.run_id} has lost its weights; it is passed over")
            return None
        content = json.loads(about.read_text())
        return TrainedMember(
            member.trained_in(content["precision"]),
            digest,
            run.run_id,
            run.name,
            run.tags.get("vad.entry", ""),
            weights,
            content["epoch"],
            content["loss"],
            tuple(Epoch(**epoch) for epoch in content["epochs"]),
            sum(epoch["seconds"] for epoch in content["epochs"]),
        )

    @contextmanager
    def exclusively(self, name: str, digest: str, wait: bool, doing: str = "training it") -> Iterator[bool]:
        """Only one process of this folder trains a member, or runs an experiment: is it this one? Another may wait here until it is.

        Who waits should hold no member, and look for what it wants again.
        """
        lock = FileLock(self._home / "locks" / digest)
        try:
            held = lock.acquire(blocking=False)
        except Timeout:
            if not wait:
                yield False
                return
            self._console.say(f"  {name}: another run is {doing}; waiting for that")
            held = lock.acquire()
        with held:
            yield True

    def drop_state(self, member: Member, digest: str) -> None:
        """Remove the state of a training that is finished, if the process that finished it was killed before it did so."""
        state = self._state(digest)
        if state.exists():
            with self.exclusively(member.name, digest, wait=False) as here:
                if here:
                    state.unlink(missing_ok=True)

    def _state(self, digest: str) -> Path:
        return self._home / "resume" / f"{digest}.safetensors"

    def samples(
        self, member: Member, frames: Frames, index: FrameIndex, frames_digest: str, *, training: bool = False
    ) -> Samples:
        """A member's samples of these frames; those that are slow to make are made once, and kept beside the frames."""
        samples = member.kind_of_input().samples(frames, index, self._device, training=training)
        if samples.slow:
            place = self._home / "frames" / f"{frames_digest[:24]}-{member.size}-{RESIZE_FILTER}"
            with self._console.bar(f"{member.input.name}", len(index)) as bar:
                samples.keep(place, bar.advance)
        return samples

    def train(
        self, member: Member, digest: str, samples: Samples, parent: RunLog, tags: Mapping[str, str]
    ) -> TrainingJob[TrainedMember]:
        """Train a member in a child run of `parent`; resume an interrupted training of the same digest.

        Raises Diverged where the loss is no longer finite; the last good weights are logged then.
        """
        about = {"vad.scale": member.size, "vad.seed": member.seed, "vad.group": member.group, **tags}
        log = self._tracking.open_run(parent.experiment_id, "member", digest, member.name, about, parent.run_id)
        try:
            log.params({**member.settings(), "parameters": parameter_count(member.build())})
            resume = self._state(digest)
            unit = f"{member.kind_of_input().shape(member.size).kind}s"
            bar = self._console.bar(f"train {member.name}", len(samples) * member.training.epochs, unit)
            curve = _Curve(log, resume.exists())

            def on_epoch(epoch: Epoch) -> None:
                bar.loss(epoch.loss)
                curve.add(epoch)

            with ExitStack() as shown:
                shown.callback(curve.stop)  # also where it is cut off
                trained = yield Job(
                    member, samples, resume, lambda: shown.enter_context(bar), bar.advance, on_epoch
                )  # fmt: skip
            curve.complete(trained.epochs)
            if trained.resumed_after:
                self._console.say(f"    went on after epoch {trained.resumed_after}, where it was cut off")
            known = self._keep(member, digest, trained, len(samples), log, tags)
        except (Diverged, Lost) as error:
            if isinstance(error, Diverged):
                if error.trained is not None:
                    self._keep(member, digest, error.trained, len(samples), log, tags)
                log.tags({"vad.diverged": f"epoch {error.epoch}"})
            self.failed[digest] = str(error)
            log.end("FAILED")
            raise
        except BaseException as error:
            log.end("KILLED" if was_stopped(error) or isinstance(error, GeneratorExit) else "FAILED")
            raise
        log.end("FINISHED")
        resume.unlink(missing_ok=True)
        return known

    def _keep(
        self, member: Member, digest: str, trained: Trained, count: int, log: RunLog, tags: Mapping[str, str]
    ) -> TrainedMember:
        """Log the checkpoint: weights, and the epoch and loss that they come from."""
        folder = f"checkpoints/{member.group}/seed-{member.seed}"
        epochs = [asdict(epoch) for epoch in trained.epochs]
        computed = {"precision": trained.precision, "threads": trained.threads}
        content = {
            "epoch": trained.epoch, "loss": trained.loss, "settings": member.settings(), "epochs": epochs, **computed
        }  # fmt: skip
        seconds = sum(epoch.seconds for epoch in trained.epochs)
        with tempfile.TemporaryDirectory() as folder_name:
            weights = Path(folder_name) / _WEIGHTS
            save_tensors(weights, trained.state, {**content, "digest": digest})
            digest_of_weights = sha256(weights)
            (Path(folder_name) / "checkpoint.json").write_text(
                json.dumps({**content, "sha256": digest_of_weights}, indent=2)
            )
            metrics = {
                "best_loss": trained.loss,
                "best_epoch": trained.epoch,
                "train_seconds": seconds,
                "train_frames_per_second": count * len(trained.epochs) / max(seconds, 1e-9),
            }
            marks = {"vad.checkpoint": folder, "vad.weights_sha256": digest_of_weights}
            marks |= {f"vad.{key}": str(value) for key, value in computed.items()}
            log.artifacts(Path(folder_name), folder, known={_WEIGHTS: digest_of_weights}, metrics=metrics, tags=marks)
        path = self._tracking.fetch(log.run_id, f"{folder}/{_WEIGHTS}", self._home / "fetched" / log.run_id)
        if path is None:
            raise InputError(f"the weights of {member.name} were logged to run {log.run_id}, but cannot be read back")
        return TrainedMember(
            member.trained_in(trained.precision), digest, log.run_id, member.name, tags.get("vad.entry", ""), path, trained.epoch, trained.loss,
            trained.epochs, seconds,
        )  # fmt: skip

    def stored_scores(self, known: TrainedMember, frames_digest: str, error: Named) -> Values | None:
        """The member's scores of these frames under this error, if they were computed before."""
        name = f"scores/{_score_name(frames_digest, error)}"
        try:
            path = self._tracking.fetch(known.run_id, name, self._home / "fetched" / known.run_id)
            if path is None:
                return None
            tensors, _ = load_tensors(path)
        except InputError:
            return None
        return tensors["scores"].numpy()

    def score(
        self,
        known: TrainedMember,
        frames: Frames,
        index: FrameIndex,
        frames_digest: str,
        errors: list[Named],
        what: str,
    ) -> dict[Named, Values]:
        """Score frames and keep the result with the member's run."""
        member = known.member
        network = member.build()
        state, _ = load_tensors(known.weights)
        fit_weights(network, state, str(known.weights))
        samples = self.samples(member, frames, index, frames_digest)
        unit = f"{member.kind_of_input().shape(member.size).kind}s"
        with self._console.bar(f"score {member.name}{what}", len(samples), unit) as bar:
            started = time.perf_counter()
            trained = member.training.precision
            results = score(network, samples, errors, len(index), trained, self._device, bar.advance)
            rate = len(index) / max(time.perf_counter() - started, 1e-9)
        log = self._tracking.reopen(known.run_id)
        with tempfile.TemporaryDirectory() as folder_name:
            for error, values in results.items():
                path = Path(folder_name) / _score_name(frames_digest, error)
                save_tensors(
                    path, {"scores": torch.from_numpy(values)}, {"frames": frames_digest, "error": error.label}
                )
            log.artifacts(Path(folder_name), "scores", metrics={"score_frames_per_second": rate})
        return results


class _Curve:
    """The loss of each epoch on its way to the store, beside the training, which neither waits for it nor fails with it.

    Epochs that are short go together. What a killed process had not sent yet, the process that resumes sends.
    """

    def __init__(self, log: RunLog, goes_on: bool):
        self._log = log
        self._sent = log.steps("loss") if goes_on else set()
        self._epochs: list[Epoch] = []
        self._sender: threading.Thread | None = None
        self._last = -math.inf

    def add(self, epoch: Epoch) -> None:
        """Send it, or keep it for the next sending."""
        self._epochs.append(epoch)
        busy = self._sender is not None and self._sender.is_alive()
        if not busy and time.monotonic() - self._last >= _CURVE_EVERY:
            self._last = time.monotonic()
            # No part of the process's end: a server that hangs would hold it up.
            self._sender = threading.Thread(target=self._try, daemon=True)
            self._sender.start()

    def stop(self) -> None:
        """Send what there is, if that can be done at once."""
        if self._sender is not None:
            self._sender.join(_CURVE_EVERY)
        if self._sender is None or not self._sender.is_alive():
            self._try()

    def complete(self, epochs: Sequence[Epoch]) -> None:
        """Send what of all epochs is not there yet. Raises what the store says where it cannot be had."""
        if self._sender is not None:
            self._sender.join()
        self._send(epochs)

    def _try(self) -> None:
        with impatient(), suppress(Exception):  # it is tried again, at the latest by `complete`
            self._send(tuple(self._epochs))

    def _send(self, epochs: Sequence[Epoch]) -> None:
        new = [epoch for epoch in epochs if epoch.number not in self._sent]
        if new:
            self._log.curve([(epoch.number, {"loss": epoch.loss, "lr": epoch.lr}) for epoch in new])
        self._sent |= {epoch.number for epoch in new}


def _score_name(frames_digest: str, error: Named) -> str:
    code = ERRORS.code(error.name)
    mark = f"-{digest_of(code)[:12]}" if code else ""
    return f"{frames_digest[:24]}-{error.label}-{SCORING_CODE}{mark}.safetensors"
