"""Several experiments on one or several data sets as one queue: every distinct member once, past what fails, to be stopped and started at will."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import groupby

from registry.console import duration, interval, plural, say, table, whole
from registry.data.datasets import open_frames_of
from registry.entries.loading import all_experiments, experiments_folder
from registry.runs.context import Request, RunContext, prepare, say_settings, told_labels
from registry.runs.executor import decode, finished, run_once
from registry.runs.records import open_run
from registry.runs.result import Result, caution, metric_name
from registry.runs.session import Session, open_session
from registry.runs.training import MemberTraining, estimated_steps, tasks_of, train_all
from registry.store.connection import explain
from registry.store.retries import mendable
from vad.detectors.kinds import make_detector
from vad.errors import InputError

ALL = "all"


@dataclass(frozen=True)
class Ended:
    """How an experiment of the queue ended: its result, or why there is none; and whether it was there before."""

    name: str
    data: str
    result: Result | None
    fault: str | None = None
    before: bool = False


@dataclass(frozen=True)
class _Planned:
    """An experiment of the queue: its result if it is done, else the members that it trains, and where others come from.

    `title` is its name, with that of its data set where there are several.
    """

    context: RunContext
    title: str
    done: Result | None
    trains: list[str] = field(default_factory=list)
    reused: Counter[str] = field(default_factory=Counter)


def run_queue(experiments: Sequence[str], *requests: Request) -> list[Ended]:
    """Run experiments one after the other, `all` of them or those named, on the data of each request.

    A failed one does not stop the others. Raises InputError, before anything runs, with the faults of all entries, and for data that cannot be used.
    """
    if list(experiments) == [ALL]:
        experiments = [str(path) for path in all_experiments()]
    if not experiments:
        raise InputError(f"there is no experiment in {experiments_folder()}")
    contexts = _prepare_all(experiments, requests)
    with open_session(contexts) as session:
        queue = _plan(contexts, session)
        sets = [list(of_set) for _, of_set in groupby(queue, key=lambda planned: _set_of(planned.context))]
        steps = _announce(queue, sets, session)
        decoded = _decode_all(sets, session)
        if any(planned.trains for planned in queue):
            session.engine.start()
        with whole(plural(len(queue), "experiment"), steps):
            if session.engine.parallel:
                _train_ahead([planned for planned in decoded if planned.trains], session)
            return _work_off(queue, session)


def _prepare_all(experiments: Sequence[str], requests: Sequence[Request]) -> list[RunContext]:
    contexts: list[RunContext] = []
    faults = []
    for request in requests:
        try:
            data = open_frames_of(request.data, request.labels, request.home, request.first_frame)
        except InputError as error:
            faults.append(str(error))
            continue
        for experiment in experiments:
            try:
                contexts.append(prepare(replace(request, experiment=experiment), data))
            except InputError as error:
                faults.append(str(error))
    names = Counter((context.plan.name, _set_of(context)) for context in contexts)
    faults += [f"{name} is named twice" for name in sorted({name for (name, _), count in names.items() if count > 1})]
    if faults:
        raise InputError("\n".join(dict.fromkeys(faults)))
    return contexts


def _set_of(context: RunContext) -> tuple[str | None, str | None]:
    """The shortest names that distinguish the data sets of the queue."""
    return context.request.data, context.request.labels


def _decode_all(sets: Sequence[list[_Planned]], session: Session) -> list[_Planned]:
    """Decode the frames of experiments that are not done; of several data sets one that cannot be decoded does not stop the others."""
    decoded = []
    for of_set in sets:
        try:
            decode([(planned.context, planned.trains) for planned in of_set if planned.done is None], session)
        except InputError as error:
            if len(sets) == 1:
                raise
            session.failed.update({planned.context.digest: str(error) for planned in of_set})
            say(f"{of_set[0].context.data.name}: {error}; the queue continues with the other data sets")
        else:
            decoded += of_set
    return decoded


def _plan(contexts: Sequence[RunContext], session: Session) -> list[_Planned]:
    """Which experiments are done, and of the others' members which are there, shared, or to be trained."""
    several = len({_set_of(context) for context in contexts}) > 1
    titles = [f"{c.plan.name} on {c.data.name}" if several else c.plan.name for c in contexts]
    done = (finished(context, session.tracking, session.force_tags) for context in contexts)
    queue = [_Planned(*planned) for planned in zip(contexts, titles, done, strict=True)]
    taken: dict[str, str] = {}
    for planned in queue:
        context = planned.context
        for name in context.plan.members if planned.done is None else ():
            digest = context.member_digests[name]
            if digest not in taken and (known := session.find_member(context, name)):
                taken[digest] = f"from run {known.run_id[:8]} ({known.trained_for})"
            if digest in taken:
                planned.reused[taken[digest]] += 1
            else:
                taken[digest] = f"as in {planned.title}"
                planned.trains.append(name)
    return queue


def _announce(queue: Sequence[_Planned], sets: Sequence[list[_Planned]], session: Session) -> list[tuple[str, float]]:
    """Say what will be trained, what is reused and why, and how long it will take; return the steps and their seconds."""
    missing = [planned.context.plan.members[name] for planned in queue for name in planned.trains]
    for of_set in sets:
        first = of_set[0].context
        place = f"{first.data.name} ({first.data.place}), profile {first.loaded.profile}, {told_labels(first.data)}"
        say(f"{plural(len(of_set), 'experiment')} on {place}")
        say_settings(first)
    if any(make_detector(member).trained for member in missing):
        say("timing a batch of each kind of network that is to be trained ...")
    rows, reused = [], 0
    steps: list[tuple[str, float]] = []
    for planned in queue:
        its = estimated_steps(planned.context, planned.trains, session.device)
        trains = tasks_of(planned.context.plan.members[name] for name in planned.trains) or "nothing to train"
        origins = ", ".join(f"{count} {origin}" for origin, count in planned.reused.items())
        time = duration(sum(its.values())) if planned.trains else ""
        rows.append([planned.title, "done already" if planned.done else trains, time, origins])
        steps += its.items()
        reused += planned.reused.total()
    say(table(["experiment", "members", "time", "reused"], rows))
    if missing:
        total = sum(seconds for _, seconds in steps)
        say(
            f"members: {tasks_of(missing)}, {reused} reused; about {duration(total)} in all, less where training stops early. "
            "The queue can be stopped at any time; the same command resumes it."
        )
    return steps


def _train_ahead(queue: Sequence[_Planned], session: Session) -> None:
    """Train at once what several experiments miss. Whatever fails here fails again, and is reported, when it is its turn.

    A member is a child of its experiment's run, which is cut off afterwards, and resumed when it is its turn.
    """
    if len(queue) < 2:
        return
    say("\nmembers of all experiments at once")
    try:
        with ExitStack() as stack:
            trainings = []
            for planned in queue:
                log = open_run(planned.context, session)
                stack.callback(log.end, "KILLED")
                trainings += [MemberTraining(planned.context, name, log, session) for name in planned.trains]
            with closing(train_all(trainings, session.engine)) as endings:
                for training, ending in endings:
                    if isinstance(ending, Exception):
                        member = f"{training.name} of {training.context.plan.name} on {training.context.data.name}"
                        say(f"  {member}: {ending}; the others continue")
    except Exception as error:
        say(f"  {error}; the queue continues")


def _work_off(queue: Sequence[_Planned], session: Session) -> list[Ended]:
    ended = []
    for number, planned in enumerate(queue, 1):
        context = planned.context
        name, data = context.plan.name, context.data.name
        if planned.done is not None:
            ended.append(Ended(name, data, planned.done, before=True))
            continue
        say(f"\n[{number}/{len(queue)}] {planned.title}")
        try:
            if undecoded := session.failed.get(context.digest):
                raise InputError(undecoded)
            result = run_once(context, session)
            top = result.variants[result.best]
            figure = f"{result.best} {top.ap:.4f}; " if top else ""
            say(f"  {figure}{result.registered}")
            ended.append(Ended(name, data, result))
        except Exception as error:  # whatever it is, the others have a right to their turn
            fault = mendable(error, session.tracking.uri, session.home) or explain(error)
            fault = fault or str(error) or type(error).__name__
            say(f"  {name} failed: {fault}; the queue continues")
            session.failed[context.digest] = fault
            ended.append(Ended(name, data, None, fault))
    return ended


def as_text(ended: Sequence[Ended]) -> str:
    """The queue's outcome, an experiment a line, and what to do next."""
    several = len({item.data for item in ended}) > 1
    metric = next((item.result.metric for item in ended if item.result), "ap")
    rows = []
    for item in ended:
        name = [item.name, item.data] if several else [item.name]
        if item.result is None:
            rows.append([*name, "failed", "", "", item.fault or ""])
            continue
        top = item.result.variants[item.result.best]
        metrics = [f"{top.ap:.4f}", interval(top)] if top else ["-", "-"]
        if top and item.result.metric != metric:
            metrics[0] += f" ({metric_name(item.result.metric)})"
        rows.append([*name, item.result.best, *metrics, "done already" if item.before else item.result.run_id[:8]])
    header = ["experiment", *(["data"] if several else []), "variant", metric_name(metric), "95 % interval", "run"]
    text = table(header, rows, right=(header.index(metric_name(metric)),))
    if failed := sum(item.result is None for item in ended):
        experiments = plural(len(ended), "experiment")
        return f"{text}\n\n{failed} of {experiments} failed; the same command tries them again, the others are kept"
    if several:
        return text
    profile = next((item.result.profile for item in ended if item.result), "")
    text = "\n\n".join([text, *caution(profile)])
    return (
        f"{text}\n\nnext   make leaderboard    every run, best first\n"
        "       make journey        these metrics next to the reference's tables (with the same DATA, LABELS, PROFILE, SET)"
    )
