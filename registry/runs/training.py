"""The members that an experiment misses, trained by an engine."""

from collections.abc import Mapping, Sequence
from contextlib import closing

from registry.console import Console, plural
from registry.engines import Engine, Lost, TrainingJob, run_jobs
from registry.runs.context import RunContext
from registry.runs.members import MemberStore, TrainedMember
from registry.store.runlog import RunLog
from vad.detectors.member import Member
from vad.detectors.training.trainer import Diverged
from vad.frames.store import Frames


class MembersFailed(RuntimeError):
    """Some members could not be trained; the others were, and are kept."""


def find(context: RunContext, store: MemberStore, member: Member, digest: str) -> TrainedMember | None:
    """A finished member; under FORCE only one that this command trained, also before it was cut off."""
    return store.find(member, digest, context.forced_tags())


def training_job(
    context: RunContext,
    name: str,
    digest: str,
    frames: Mapping[int, Frames],
    store: MemberStore,
    log: RunLog,
    wait: bool = False,
) -> TrainingJob[TrainedMember | None]:
    """A member from the store or from training below the run `log`; None where another run is training it.

    `frames` are the train frames by size. With `wait`, that other run is waited for.
    """
    member = context.plan.members[name]
    assert context.train_index is not None and context.train is not None
    with store.exclusively(member.name, digest, wait) as here:
        if not here:
            return None
        # Another run may have finished it since this one looked.
        if found := find(context, store, member, digest):
            return found
        samples = store.samples(member, frames[member.size], context.train_index, context.train.digest, training=True)
        tags = {"vad.entry": context.plan.name, "vad.profile": context.loaded.profile, **(context.forced_tags() or {})}
        trained = yield from store.train(member, digest, samples, log, tags)
        context.seconds.train += trained.seconds
        context.seconds.trained += len(samples) * len(trained.epochs)
        return trained


def train(
    context: RunContext,
    missing: Mapping[str, str],
    frames: Mapping[int, Frames],
    store: MemberStore,
    engine: Engine,
    log: RunLog,
    console: Console,
) -> dict[str, TrainedMember]:
    """Train the missing members, digests by name; those that another run is training come last.

    Raises MembersFailed when all had their turn and some could not be trained.
    """
    known: dict[str, TrainedMember] = {}
    failed = {
        name: f"{store.failed[digest]}, as found before" for name, digest in missing.items() if digest in store.failed
    }

    def bring(names: Sequence[str], wait: bool) -> list[str]:
        """Follow these members' training_jobs; gives back whom another run is training."""
        elsewhere = []
        training_jobs = [(name, training_job(context, name, missing[name], frames, store, log, wait)) for name in names]
        with closing(run_jobs(training_jobs, engine)) as endings:
            for name, ending in endings:
                if isinstance(ending, (Diverged, Lost)):
                    kept = "its last good weights are kept; " if isinstance(ending, Diverged) and ending.trained else ""
                    console.say(f"  {name}: {ending}; {kept}the other members go on")
                    failed[name] = str(ending)
                elif isinstance(ending, Exception):
                    raise ending
                elif ending is None:
                    elsewhere.append(name)
                else:
                    known[name] = ending
        return elsewhere

    for name in bring([name for name in missing if name not in failed], wait=False):
        bring([name], wait=True)  # one at a time: who waits holds nothing that another may wait for
    if failed:
        raise MembersFailed(
            f"{len(failed)} of {plural(len(context.plan.members), 'member')} failed: "
            + "; ".join(f"{name} ({reason})" for name, reason in failed.items())
            + "; lower train.lr where a loss diverged, and run again"
        )
    return known
