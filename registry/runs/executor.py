"""The one executor: entry and data in; members, scores, figures, pictures and a registered model out."""

import time
from collections.abc import Iterable, Sequence

from registry.console import Bar, detail, duration, say, whole
from registry.models.versions import Versions
from registry.runs.context import Request, RunContext, Session, Subset, Timing, announce, ended, open_session, prepare
from registry.runs.evaluation import evaluate, fuse, score_targets
from registry.runs.records import log_members, log_results, open_run, register
from registry.runs.result import Result, present, stored_result
from registry.runs.training import estimated_steps, look_up, train
from registry.store.tracking import Tracking
from vad.frames.store import map_path, open_frames


def run(request: Request) -> Result:
    """Run an entry to its end, or say what an earlier run found. Raises InputError before anything is tracked."""
    context = prepare(request)
    announce(context)
    with open_session([context]) as (session, (context,)):
        return execute(context, session, say_time=True)


def execute(context: RunContext, session: Session, say_time: bool = False) -> Result:
    """Train the members that are missing, score, fuse, evaluate, log, register; or say what an earlier run found.

    Of two processes of one folder that run an experiment at once, the second waits for the first.
    Raises MembersFailed when members could not be trained; the others are trained then.
    """
    with session.lock(context.digest, f"{context.plan.name}: another run is running it"):
        if result := finished(context, session.tracking):
            say(f"{result.entry} is done already: nothing to train, nothing to score (FORCE=1 runs it anew)")
            for name, origin in result.members.items():
                say(f"  {name:<14} from run {origin}")
            return result
        members = look_up(context, session)
        missing = [name for name in context.plan.members if name not in members]
        steps: dict[str, float] = {}
        if missing:
            if say_time:
                steps = estimated_steps(context, missing, session.device)
                say(f"  about {duration(sum(steps.values()))} of training and scoring on this machine")
            session.engine.start()
        decode([(context, missing)], session)
        with ended(open_run(context, session)) as log:
            detail(f"run {log.run_id} opened in {session.tracking.shown}")
            with whole(context.plan.name, steps.items()):
                trained = train(context, members, log, session)
                scores = score_targets(context, trained, session)
            outcomes = fuse(context, scores)
            evaluation = evaluate(context, outcomes)
            detail(f"{len(evaluation.sampled)} variants fused and measured")
            result = log_results(context, evaluation, trained, log, session)
            log_members(context, trained, scores[-1], log, session)
            detail("figures, scores and pictures logged")
            result = register(context, evaluation, trained, result, log, session)
            detail(result.registered)
            return result


def finished(context: RunContext, tracking: Tracking) -> Result | None:
    """What an earlier run of the same entry on the same data found, unless it is to be run anew.

    A version that was deleted on purpose is not missed; one that is there must be as complete as it was registered.
    """
    for run in tracking.find("experiment", context.digest, tags=context.force_tags, most=1):
        versions = Versions(tracking)
        result = stored_result(tracking, run, context.request.home)
        if result and all(versions.complete(v) for v in versions.all() if v.number == result.version):
            return present(result, versions)
    return None


def decode(runs: Iterable[tuple[RunContext, Sequence[str]]], session: Session) -> None:
    """Decode, for each run and the members that it misses, train frames and targets: each file once, for all sizes."""
    wanted: dict[str, tuple[Subset, Timing, set[int]]] = {}
    for context, missing in runs:
        members = context.plan.members
        parts = [(context.train, list(missing)), *((target, list(members)) for target in context.targets)]
        for subset, names in parts:
            if subset is not None and names:
                sizes = wanted.setdefault(subset.digest, (subset, context.timing, set()))[-1]
                sizes.update(members[name].size for name in names)
    folder = session.home / "frames"
    for subset, timing, sizes in wanted.values():
        source, started = subset.source, time.perf_counter()
        assert source is not None
        if all(map_path(folder, source, size).exists() for size in sizes):
            found = open_frames(source, sorted(sizes), folder)
            detail(
                f"{subset.name}: {len(source):,} frames at {sorted(sizes)} px reused, as decoded before, from {folder}"
            )
        else:
            with Bar(f"decode {subset.name}", len(source)) as bar:
                found = open_frames(source, sorted(sizes), folder, bar.advance)
            timing.add("decode", time.perf_counter() - started, len(source))
        session.maps.update({(subset.digest, size): frames for size, frames in found.items()})
