"""Several experiments as one queue: every distinct member once, past what fails, to be stopped and started at will."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import torch

from registry.console import Console, duration, plural, table
from registry.data.datasets import open_frames_of
from registry.engines import Engine, open_engine
from registry.entries.loading import all_experiments, experiments_folder
from registry.runs import context as forcing
from registry.runs.context import Request, RunContext
from registry.runs.executor import execute, find_device, finished, train_ahead
from registry.runs.members import MemberStore
from registry.runs.preparation import Estimator, prepare
from registry.runs.result import Result
from registry.runs.training import find
from registry.store.connection import explain
from registry.store.retries import mendable
from registry.store.tracking import Tracking
from vad.detectors.member import Member
from vad.errors import InputError
from vad.frames.store import open_frames

ALL = "all"


@dataclass(frozen=True)
class Ended:
    """How an experiment of the queue ended: its result, or why there is none; and whether it was there before."""

    name: str
    result: Result | None
    fault: str | None = None
    before: bool = False


@dataclass
class _Job:
    """An experiment of the queue and where its members come from: a reason each, and those that it trains."""

    context: RunContext
    done: Result | None
    reasons: list[str]
    trains: dict[str, Member]


def run_queue(experiments: Sequence[str], request: Request, console: Console) -> list[Ended]:
    """Run experiments one after the other, `all` of them or those named; a failed one does not stop the others.

    Raises InputError, before anything runs, with the faults of all entries, and for data that cannot be used.
    """
    device = find_device()
    if list(experiments) == [ALL]:
        experiments = [str(path) for path in all_experiments()]
    if not experiments:
        raise InputError(f"there is no experiment in {experiments_folder()}")
    works = _prepare_all(experiments, request, device)
    engine = open_engine(request.engine, request.gpu_share, device, console)
    tracking = Tracking(new=True)
    forced = forcing.begin(works, console)
    store = MemberStore(tracking, request.home, device, console)
    jobs = _plan(works, tracking, store)
    _announce(jobs, Estimator(device), console)
    _decode(jobs, request, console)
    with closing(engine), tracking.ending_runs():
        if any(job.trains for job in jobs):
            engine.start()
        if engine.parallel:
            _train_ahead(jobs, tracking, store, engine, console)
        ended = _work_off(jobs, tracking, store, engine, device, console)
    if forced and all(item.result for item in ended):
        forced.unlink(missing_ok=True)
    return ended


def _train_ahead(
    jobs: Sequence[_Job], tracking: Tracking, store: MemberStore, engine: Engine, console: Console
) -> None:
    """What the queue is to train, all at once; whatever fails here fails again, and is reported, when it is its turn."""
    ahead = [
        (job.context, {member.name: digest for digest, member in job.trains.items()}) for job in jobs if job.trains
    ]
    if len(ahead) < 2:
        return
    console.say("\nmembers of all experiments at once")
    try:
        train_ahead(ahead, tracking, store, engine, console)
    except Exception as error:
        console.say(f"  {error}; the queue continues")


def _work_off(
    jobs: Sequence[_Job],
    tracking: Tracking,
    store: MemberStore,
    engine: Engine,
    device: torch.device,
    console: Console,
) -> list[Ended]:
    ended = []
    for number, job in enumerate(jobs, 1):
        name = job.context.plan.name
        if job.done is not None:
            ended.append(Ended(name, job.done, before=True))
            continue
        console.say(f"\n[{number}/{len(jobs)}] {name}")
        try:
            result = execute(job.context, tracking, store, engine, device, console)
            top = result.variants[result.best]
            console.say(f"  {result.best} {top.ap:.4f}; {result.registered}" if top else f"  {result.registered}")
            ended.append(Ended(name, result))
        except Exception as error:  # whatever it is, the others have a right to their turn
            fault = mendable(error, tracking.uri, job.context.request.home) or explain(error)
            fault = fault or str(error) or type(error).__name__
            console.say(f"  {name} failed: {fault}; the queue continues")
            ended.append(Ended(name, None, fault))
    return ended


def _prepare_all(experiments: Sequence[str], request: Request, device: torch.device) -> list[RunContext]:
    data = open_frames_of(request.data, request.labels, request.home, request.first_frame)
    works: list[RunContext] = []
    faults = []
    for experiment in experiments:
        try:
            works.append(prepare(replace(request, experiment=experiment), data))
        except InputError as error:
            faults.append(str(error))
    names = [context.plan.name for context in works]
    faults += [f"{name} is named twice" for name in sorted(set(names)) if names.count(name) > 1]
    if faults:
        raise InputError("\n".join(faults))
    return works


def _plan(works: Sequence[RunContext], tracking: Tracking, store: MemberStore) -> list[_Job]:
    """Which experiments are done, and of the others' members which are there, shared, or to be trained."""
    jobs = []
    taken: dict[str, str] = {}
    for context in works:
        job = _Job(context, finished(context, tracking), [], {})
        jobs.append(job)
        if job.done is not None:
            continue
        shared: dict[str, int] = {}
        for member in context.plan.members.values():
            digest = member.digest(context.train.digest if context.train else "")
            if digest in taken:
                shared[taken[digest]] = shared.get(taken[digest], 0) + 1
            elif known := find(context, store, member, digest):
                taken[digest] = f"from run {known.run_id[:8]} ({known.trained_for})"
                shared[taken[digest]] = shared.get(taken[digest], 0) + 1
            else:
                taken[digest] = f"as in {context.plan.name}"
                job.trains[digest] = member
        job.reasons = [f"{count} {reason}" for reason, count in shared.items()]
    return jobs


def _announce(jobs: Sequence[_Job], estimator: Estimator, console: Console) -> None:
    """What will be trained, what is reused and why, and how long it will take."""
    context = jobs[0].context
    labels = (
        f"labels from {context.data.labels.source}"
        if context.data.labels
        else "no labels: figures are proxies (see docs/data.md)"
    )
    console.say(
        f"{plural(len(jobs), 'experiment')} on {context.data.name} ({context.data.place}), profile {context.loaded.profile}, {labels}"
    )
    if context.loaded.overrides:
        console.say(f"  set: {', '.join(context.loaded.overrides)}")
    for note in context.data.notes:
        console.say(f"  note: {note}")
    to_train = sum(len(job.trains) for job in jobs)
    if to_train:
        console.say("timing a batch of each kind of network that is to be trained ...")
    rows, total = [], 0.0
    for job in jobs:
        seconds = 0.0
        if job.context.train_index is not None:
            scored = [target.index for target in job.context.targets]
            seconds = estimator.seconds(job.trains.values(), job.context.train_index, scored)
        total += seconds
        state = "done already" if job.done else f"{len(job.trains)} to train" if job.trains else "nothing to train"
        rows.append([job.context.plan.name, state, duration(seconds) if job.trains else "", ", ".join(job.reasons)])
    console.say(table(["experiment", "members", "time", "reused"], rows))
    there = sum(len(job.context.plan.members) for job in jobs if not job.done) - to_train
    if to_train:
        console.say(
            f"{plural(to_train, 'member')} to train, {there} reused; about {duration(total)} of training and scoring, less where it stops early. "
            "It can be stopped at any time; the same command resumes it."
        )


def _decode(jobs: Sequence[_Job], request: Request, console: Console) -> None:
    """Every frame once for all sizes of the queue, instead of once for each experiment that needs another."""
    open_jobs = [job for job in jobs if job.done is None and job.context.train is not None and job.context.plan.members]
    if not open_jobs:
        return
    sizes = sorted({size for job in open_jobs for size in job.context.plan.sizes()})
    # Experiments with another holdout have other train frames; they decode theirs when it is their turn.
    context = open_jobs[0].context
    assert context.train is not None
    sources = [("train", context.train)] if any(job.trains for job in open_jobs) else []
    for name, source in [*sources, *((target.name, target.source) for target in context.targets)]:
        with console.bar(f"decode {name}", len(source)) as bar:
            open_frames(source, sizes, request.home / "frames", bar.advance)


def as_text(ended: Sequence[Ended]) -> str:
    """The queue's outcome, an experiment a line, and what to do next."""
    rows = []
    for item in ended:
        if item.result is None:
            rows.append([item.name, "failed", "", "", item.fault or ""])
            continue
        top = item.result.variants[item.result.best]
        figures = (
            [f"{top.ap:.4f}", f"{top.low:.4f} to {top.high:.4f}" if top.videos > 1 else "-"] if top else ["-", "-"]
        )
        rows.append([item.name, item.result.best, *figures, "done already" if item.before else item.result.run_id[:8]])
    figure = next((item.result.figure for item in ended if item.result), "ap")
    name = "AP" if figure == "ap" else "proxy AP"
    text = table(["experiment", "best variant", name, "95 % interval", "run"], rows, right=(2,))
    if failed := sum(item.result is None for item in ended):
        text += f"\n\n{failed} of {plural(len(ended), 'experiment')} failed; the same command tries them again, the others are kept"
    else:
        text += "\n\nnext   make leaderboard    every run, best first\n       make journey        the reference's tables beside these figures (with the same DATA, LABELS, PROFILE, SET)"
    return text
