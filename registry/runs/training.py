"""The members that an experiment misses: how long they will take, and their training by an engine, each in a run of its own."""

import math
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import torch

from registry.console import Bar, plural, say
from registry.engines.base import Engine, Job, Lost
from registry.runs.context import RunContext
from registry.runs.members import Members, TrainedMember
from registry.runs.session import Session, ended
from registry.store.retries import without_retries
from registry.store.runlog import RunLog
from vad.detectors.base import Diverged, Epoch, Listener, Trained
from vad.detectors.kinds import make_detector
from vad.detectors.member import Member

# Seconds from one sending of a curve to the next.
_CURVE_EVERY = 3.0


Endings = Generator[tuple["MemberTraining", TrainedMember | Exception], None, None]


class MembersFailed(RuntimeError):
    """Some members could not be trained; the others were, and are kept."""


def task_of(member: Member) -> str:
    """What is to be done where a member is not in the store: a network is trained, a bank is fitted."""
    return "to train" if make_detector(member).trained else "to fit"


def tasks_of(members: Iterable[Member]) -> str:
    """How many members there are for each task, as in `2 to train, 1 to fit`."""
    counts = Counter(map(task_of, members))
    return ", ".join(f"{count} {task}" for task, count in sorted(counts.items(), reverse=True))


def resume_state(session: Session, digest: str) -> Path:
    """Return where a member's training keeps its state after each epoch, until it is finished."""
    return session.home / "resume" / f"{digest}.safetensors"


def look_up(context: RunContext, session: Session) -> dict[str, TrainedMember]:
    """Return the members that are in the store. Says, before anything starts, which these are and which must be trained."""
    found: dict[str, TrainedMember] = {}
    for name, member in context.plan.members.items():
        if known := session.find_member(context, name):
            found[name] = known
            how = f"from run {known.run_id} ({', '.join([known.trained_for, *known.told])})"
        else:
            reason = "FORCE=1" if context.request.force else "no finished member of this recipe on these frames"
            if resume_state(session, context.member_digests[name]).exists():
                reason += "; resumes where it was interrupted"
            how = f"{task_of(member)}: {reason}"
        say(f"  {name:<14} {how}")
    return found


def train(context: RunContext, known: Members, parent: RunLog, session: Session) -> dict[str, TrainedMember]:
    """Return all members, after training those that are not `known`. Raises MembersFailed at the end where some failed."""
    trained = dict(known)
    failed: dict[str, str] = {}
    trainings = []
    for name in context.plan.members:
        if name in known:
            continue
        if before := session.failed.get(context.member_digests[name]):
            failed[name] = f"{before}, as found before"
        else:
            trainings.append(MemberTraining(context, name, parent, session))
    with closing(train_all(trainings, session.engine)) as endings:
        for training, ending in endings:
            name = training.name
            if isinstance(ending, (Diverged, Lost)):
                kept = "its last good weights are kept; " if isinstance(ending, Diverged) and ending.trained else ""
                say(f"  {name}: {ending}; {kept}the other members continue")
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


def train_all(trainings: Sequence["MemberTraining"], engine: Engine) -> Endings:
    """Train members, and yield the outcome of each as it ends; those that another process is training come last."""
    elsewhere: list[MemberTraining] = []
    yield from _train_together(trainings, engine, elsewhere)
    for training in elsewhere:  # one at a time: a process that waits must hold nothing that another may wait for
        yield from _train_together([training], engine, None)


def _train_together(
    trainings: Sequence["MemberTraining"], engine: Engine, elsewhere: list["MemberTraining"] | None
) -> Endings:
    """Train members; those that another process is training go into `elsewhere`, or are waited for where that is None."""
    running: dict[Job, MemberTraining] = {}
    found: list[tuple[MemberTraining, TrainedMember]] = []

    def jobs() -> Iterator[Job]:
        for training in trainings:
            stack.push(training.open)
            started = training.start(wait=elsewhere is None)
            if isinstance(started, Job):
                running[started] = training
                yield started
                continue
            training.open.close()
            if started is not None:
                found.append((training, started))
            elif elsewhere is not None:
                elsewhere.append(training)

    with ExitStack() as stack, closing(engine.train(jobs())) as outcomes:
        for job, outcome in outcomes:
            training = running.pop(job)
            try:
                ending: TrainedMember | Exception = training.finish(outcome)
            except Exception as error:
                ending = error
            yield training, ending
        yield from found


class MemberTraining:
    """The training of a member on decoded frames, for an experiment whose run in MLflow is `parent`.

    `open` holds its lock and its run in MLflow; how it is left decides the run's status.
    """

    def __init__(self, context: RunContext, name: str, parent: RunLog, session: Session):
        self.context, self.name = context, name
        self.open = ExitStack()
        self._parent, self._session = parent, session
        self._member, self._digest = context.plan.members[name], context.member_digests[name]

    def start(self, wait: bool) -> Job | TrainedMember | None:
        """The job for an engine; or the member, where it is trained; or None, where another process is training it."""
        context, member, digest, session = self.context, self._member, self._digest, self._session
        waiting = f"{member.name}: another run is training it" if wait else None
        if not self.open.enter_context(session.lock(digest, waiting)):
            return None
        # Another run may have finished it since this one looked.
        if known := session.find_member(context, self.name):
            return known
        assert context.train is not None
        samples = session.samples(member, context.train, training=True)
        seed = {} if member.seed is None else {"vad.seed": member.seed}
        tags = {
            **{"vad.scale": member.view.label, "vad.group": member.group, **seed},
            **{"vad.entry": context.plan.name, "vad.profile": context.loaded.profile, **session.force_tags},
        }
        parent, detector = self._parent, make_detector(member)
        log = session.tracking.open_run(parent.experiment_id, "member", digest, member.name, tags, parent.run_id)
        state = resume_state(session, digest)
        self.open.push(lambda kind, *_: None if kind else state.unlink(missing_ok=True))  # when the run is FINISHED
        self.open.enter_context(ended(log))
        log.log(params={**member.settings(), "parameters": detector.try_out()})
        self._samples, self._log, self._curve = len(samples), log, _Curve(log, resumed=state.exists())
        self._shown = self.open.enter_context(ExitStack())
        if not detector.trained:
            return self.finish(detector.fit(samples, session.device, Listener()))
        bar = Bar(f"train {member.name}", len(samples) * member.recipe.epochs, member.shape().unit)
        self._shown.callback(self._curve.send, wait=_CURVE_EVERY)  # also where the training is cut off

        def on_epoch(epoch: Epoch) -> None:
            bar.loss(epoch.loss)
            self._curve.add(epoch)

        return Job(member, samples, state, lambda: self._shown.enter_context(bar), bar.advance, on_epoch)

    def finish(self, outcome: Trained | Exception) -> TrainedMember:
        """Log what the engine made of the job. Raises the exception that it made; of Diverged, log the last good weights."""
        with self.open:
            if isinstance(outcome, (Diverged, Lost)):
                self._session.failed[self._digest] = str(outcome)
            if isinstance(outcome, Diverged):
                if outcome.trained is not None:
                    self._keep(outcome.trained)
                self._log.tags({"vad.diverged": f"epoch {outcome.epoch}"})
            if isinstance(outcome, Exception):
                raise outcome
            self._shown.close()
            self._curve.complete(outcome.epochs)
            if outcome.resumed_after:
                say(f"    resumed after epoch {outcome.resumed_after}, where it was interrupted")
            known = self._keep(outcome)
        self.context.timing.add("train", known.seconds, self._samples * max(1, len(known.epochs)))
        return known

    def _keep(self, trained: Trained) -> TrainedMember:
        return self._session.store.keep(self._member, self._digest, trained, self._samples, self._log)


class _Curve:
    """Sends the loss of each epoch to MLflow in the background: the training neither waits for it nor fails with it.

    Short epochs are sent together. What a killed process had not sent yet, the process that resumes sends.
    """

    def __init__(self, log: RunLog, resumed: bool):
        self._log = log
        self._sent = log.steps("loss") if resumed else set()
        self._epochs: list[Epoch] = []
        self._sending = threading.Lock()
        self._last = -math.inf

    def add(self, epoch: Epoch) -> None:
        """Send it, or keep it for the next sending."""
        self._epochs.append(epoch)
        if not self._sending.locked() and time.monotonic() - self._last >= _CURVE_EVERY:
            self._last = time.monotonic()
            # A daemon: a server that hangs must not hold up the process's end.
            threading.Thread(target=self.send, daemon=True).start()

    def complete(self, epochs: Sequence[Epoch]) -> None:
        """Send those of all epochs that are not sent yet. Raises what the store raises."""
        with self._sending:
            self._send(epochs)

    def send(self, wait: float = 0) -> None:
        """Send what there is, if the store takes it and another sending ends within `wait` seconds."""
        if self._sending.acquire(timeout=wait):
            try:
                with without_retries(), suppress(Exception):  # it is tried again, at the latest by `complete`
                    self._send(tuple(self._epochs))
            finally:
                self._sending.release()

    def _send(self, epochs: Sequence[Epoch]) -> None:
        new = [epoch for epoch in epochs if epoch.number not in self._sent]
        if new:
            self._log.curve([(epoch.number, {"loss": epoch.loss, "lr": epoch.lr}) for epoch in new])
        self._sent |= {epoch.number for epoch in new}


def estimated_steps(context: RunContext, names: Iterable[str], device: torch.device) -> dict[str, float]:
    """Seconds, roughly, of training these members for all epochs (or less, where it stops early) and scoring by them, by bar."""
    steps: dict[str, float] = {}
    for member in (context.plan.members[name] for name in names):
        kind = member.kind_of_input()
        assert context.train is not None
        fitted = len(kind.reach(context.train.index, training=True))
        scored = sum(len(kind.reach(target.index)) for target in context.targets)
        detector = make_detector(member)
        steps[f"train {member.name}"] = detector.seconds(fitted, 0, device)
        steps[f"score {member.name}"] = detector.seconds(0, scored, device)
    return steps
