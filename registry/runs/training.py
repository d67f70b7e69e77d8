"""The members that an experiment misses: how long they will take, and their training by an engine, each in a run of its own."""

import math
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import torch

from registry.console import plural
from registry.engines import Job, Lost, TrainingJob, run_jobs
from registry.runs.context import FrameMaps, RunContext, Session, ended
from registry.runs.members import TrainedMember
from registry.store.retries import impatient
from registry.store.runlog import RunLog
from vad.detectors.member import Member
from vad.detectors.networks import parameter_count, place
from vad.detectors.training.optimizers import OPTIMIZERS
from vad.detectors.training.train_step import Step
from vad.detectors.training.trainer import Diverged, Epoch, Trained
from vad.inputs import Batch, Samples
from vad.system.precision import for_training
from vad.system.threads import limit

# Seconds from one sending of a curve to the next.
_CURVE_EVERY = 3.0


class MembersFailed(RuntimeError):
    """Some members could not be trained; the others were, and are kept."""


@dataclass(frozen=True)
class FoundMembers:
    """The members of a run: those in the store, and the names of those to train."""

    known: dict[str, TrainedMember]
    missing: list[str]


def look_up(context: RunContext, session: Session) -> FoundMembers:
    """Which members are there and which must be trained; said before anything starts."""
    found = FoundMembers({}, [])
    for name, member in context.plan.members.items():
        digest = context.member_digests[name]
        if known := session.store.find(member, digest, context.force_tags):
            found.known[name] = known
            _drop_state(digest, session)
            how = f"from run {known.run_id} ({known.trained_for}, epoch {known.epoch}, loss {known.loss:.5f})"
        else:
            found.missing.append(name)
            reason = "FORCE=1" if context.request.force else "no finished member of this recipe on these frames"
            how = f"to train: {reason}"
        session.console.say(f"  {name:<14} {how}")
    return found


def _drop_state(digest: str, session: Session) -> None:
    """Remove the state of a finished training, which is there where its process was killed before it removed it."""
    state = session.state(digest)
    if state.exists():
        with session.lock(digest) as held:
            if held:
                state.unlink(missing_ok=True)


@dataclass(frozen=True)
class MemberTraining:
    """A member to train on decoded frames, for an experiment whose run in MLflow is `parent`."""

    context: RunContext
    name: str
    frames: FrameMaps
    parent: RunLog


def train(
    context: RunContext, members: FoundMembers, frames: FrameMaps, parent: RunLog, session: Session
) -> dict[str, TrainedMember]:
    """All members, the missing ones trained now; those that another process is training come last, and are waited for.

    Raises MembersFailed when all had their turn and some could not be trained.
    """
    trained = dict(members.known)
    failed: dict[str, str] = {}
    trainings = []
    for name in members.missing:
        if before := session.failed.get(context.member_digests[name]):
            failed[name] = f"{before}, as found before"
        else:
            trainings.append(MemberTraining(context, name, frames, parent))
    with closing(train_all(trainings, session)) as endings:
        for training, ending in endings:
            name = training.name
            if isinstance(ending, (Diverged, Lost)):
                kept = "its last good weights are kept; " if isinstance(ending, Diverged) and ending.trained else ""
                session.console.say(f"  {name}: {ending}; {kept}the other members go on")
                failed[name] = str(ending)
            elif isinstance(ending, Exception):
                raise ending
            else:
                trained[name] = ending
    if failed:
        raise MembersFailed(
            f"{len(failed)} of {plural(len(context.plan.members), 'member')} failed: "
            + "; ".join(f"{name} ({reason})" for name, reason in failed.items())
            + "; lower train.lr where a loss diverged, and run again"
        )
    return {name: trained[name] for name in context.plan.members}


def train_all(
    trainings: Iterable[MemberTraining], session: Session
) -> Generator[tuple[MemberTraining, TrainedMember | Exception], None, None]:
    """Train members with the session's engine, and yield what became of each, as they end.

    Those that another process is training come last, and are waited for one at a time: a process that waits must hold
    nothing that another one may wait for.
    """
    rounds, wait = [list(trainings)], False
    while rounds:
        jobs = [(training, _train(training, session, wait)) for training in rounds.pop(0)]
        with closing(run_jobs(jobs, session.engine)) as endings:
            for training, ending in endings:
                if ending is None:
                    rounds.append([training])
                else:
                    yield training, ending
        wait = True


def _train(training: MemberTraining, session: Session, wait: bool) -> TrainingJob[TrainedMember | None]:
    """Train a member, or resume its training; None where another process is at it and is not to be waited for.

    Raises Diverged where the loss is no longer finite; the last good weights are logged then.
    """
    context, parent = training.context, training.parent
    member, digest = context.plan.members[training.name], context.member_digests[training.name]
    with session.lock(digest, f"{member.name}: another run is training it" if wait else None) as held:
        if not held:
            return None
        # Another run may have finished it since this one looked.
        if known := session.store.find(member, digest, context.force_tags):
            return known
        assert context.train is not None
        samples = session.samples(member, context.train, training.frames, training=True)
        tags = {
            **{"vad.scale": member.size, "vad.seed": member.seed, "vad.group": member.group},
            **{"vad.entry": context.plan.name, "vad.profile": context.loaded.profile, **context.force_tags},
        }
        log = session.tracking.open_run(parent.experiment_id, "member", digest, member.name, tags, parent.run_id)
        with ended(log):
            log.params({**member.settings(), "parameters": parameter_count(member.build())})
            try:
                trained = yield from _shown(member, samples, digest, log, session)
            except (Diverged, Lost) as error:
                if isinstance(error, Diverged):
                    if error.trained is not None:
                        session.store.keep(member, digest, error.trained, len(samples), log)
                    log.tags({"vad.diverged": f"epoch {error.epoch}"})
                session.failed[digest] = str(error)
                raise
            session.store.keep(member, digest, trained, len(samples), log)
            known = session.store.kept(member, digest, log)
        session.state(digest).unlink(missing_ok=True)
        context.timing.add("train", known.seconds, len(samples) * len(known.epochs))
        return known


def _shown(member: Member, samples: Samples, digest: str, log: RunLog, session: Session) -> TrainingJob[Trained]:
    """Hand a member to the engine, and show how that goes: as a bar, and as a curve in MLflow."""
    state = session.state(digest)
    unit = f"{member.kind_of_input().shape(member.size).kind}s"
    bar = session.console.bar(f"train {member.name}", len(samples) * member.training.epochs, unit)
    curve = _Curve(log, resumed=state.exists())

    def on_epoch(epoch: Epoch) -> None:
        bar.loss(epoch.loss)
        curve.add(epoch)

    with ExitStack() as shown:
        shown.callback(curve.stop)  # also where the training is cut off
        trained = yield Job(member, samples, state, lambda: shown.enter_context(bar), bar.advance, on_epoch)
    curve.complete(trained.epochs)
    if trained.resumed_after:
        session.console.say(f"    went on after epoch {trained.resumed_after}, where it was cut off")
    return trained


class _Curve:
    """Sends the loss of each epoch to MLflow, beside the training, which neither waits for that nor fails with it.

    Short epochs are sent together. What a killed process had not sent yet, the process that resumes sends.
    """

    def __init__(self, log: RunLog, resumed: bool):
        self._log = log
        self._sent = log.steps("loss") if resumed else set()
        self._epochs: list[Epoch] = []
        self._sender: threading.Thread | None = None
        self._last = -math.inf

    def add(self, epoch: Epoch) -> None:
        """Send it, or keep it for the next sending."""
        self._epochs.append(epoch)
        if not self._busy() and time.monotonic() - self._last >= _CURVE_EVERY:
            self._last = time.monotonic()
            # A daemon: a server that hangs must not hold up the process's end.
            self._sender = threading.Thread(target=self._try, daemon=True)
            self._sender.start()

    def stop(self) -> None:
        """Send what there is, if that can be done at once."""
        if self._sender is not None:
            self._sender.join(_CURVE_EVERY)
        if not self._busy():
            self._try()

    def complete(self, epochs: Sequence[Epoch]) -> None:
        """Send those of all epochs that are not sent yet. Raises what the store raises."""
        if self._sender is not None:
            self._sender.join()
        self._send(epochs)

    def _busy(self) -> bool:
        return self._sender is not None and self._sender.is_alive()

    def _try(self) -> None:
        with impatient(), suppress(Exception):  # it is tried again, at the latest by `complete`
            self._send(tuple(self._epochs))

    def _send(self, epochs: Sequence[Epoch]) -> None:
        new = [epoch for epoch in epochs if epoch.number not in self._sent]
        if new:
            self._log.curve([(epoch.number, {"loss": epoch.loss, "lr": epoch.lr}) for epoch in new])
        self._sent |= {epoch.number for epoch in new}


# Batches that are timed, and pixels in each at most. A pass that only scores takes about a third of a training step.
_BATCHES, _PIXELS, _SCORING = 3, 2**19, 1 / 3


def estimated_seconds(context: RunContext, names: Iterable[str], device: torch.device) -> float:
    """Seconds, roughly, of training these members for all epochs (early stopping may make it less) and scoring by them.

    Each kind of network is timed once in a process.
    """
    total = 0.0
    for member in (context.plan.members[name] for name in names):
        kind, recipe = member.kind_of_input(), member.training
        assert context.train is not None
        trained = len(kind.reach(context.train.index, training=True)) * recipe.epochs
        scored = sum(len(kind.reach(target.index)) for target in context.targets)
        timed = replace(member, group="", seed=0, training=replace(recipe, epochs=1, lr=1e-3))
        total += _seconds_a_sample(timed, device) * (trained + _SCORING * scored)
    return total


@cache
def _seconds_a_sample(member: Member, device: torch.device) -> float:
    limit()
    recipe, shape = member.training, member.kind_of_input().shape(member.size)
    size = min(recipe.batch_size, max(2, _PIXELS // member.size**2))
    given = torch.rand(size, *shape.sides, device=device)
    batch = Batch(given, given[:, 0] if shape.kind == "sequence" else given)
    network = member.build().train()
    place(network, device)
    optimizer = OPTIMIZERS[recipe.optimizer](network.parameters(), recipe.lr, recipe.weight_decay)
    step = Step(network, recipe, optimizer, for_training(recipe.precision, device), device)
    ends = []
    for _ in range(_BATCHES):
        step(batch).item()  # waits for a GPU
        ends.append(time.perf_counter())
    # The first batch warms up; of the others the fastest counts, as other work on the machine only slows.
    return min(end - start for start, end in pairwise(ends)) / size
