"""The one executor: entry and data in; members, scores, metrics, pictures and a registered model out."""

import time
from collections.abc import Iterable, Mapping, Sequence

from registry.console import Bar, detail, duration, plural, say, whole
from registry.models.versions import Versions
from registry.runs.context import Request, RunContext, Subset, Timing, announce, prepare
from registry.runs.evaluation import calibrated, evaluate, fuse, score_targets
from registry.runs.records import log_members, log_results, open_run, register
from registry.runs.result import Result, present, stored_result
from registry.runs.session import Session, ended, open_session
from registry.runs.training import estimated_steps, look_up, train
from registry.store.tracking import Tracking
from vad.frames import maps
from vad.frames.repaired import usable
from vad.frames.store import map_path, open_frames, to_decode
from vad.images.view import Sketch, View
from vad.repair import sketches_of


def run(request: Request) -> Result:
    """Run an entry to its end, or say what an earlier run found. Raises InputError before anything is tracked."""
    context = prepare(request)
    announce(context)
    with open_session([context]) as session:
        return run_once(context, session, say_time=True)


def run_once(context: RunContext, session: Session, say_time: bool = False) -> Result:
    """Run an experiment, or say what an earlier run of it found.

    Of two processes of one folder that run an experiment at once, the second waits for the first.
    Raises MembersFailed when members could not be trained; the others are trained then.
    """
    with session.lock(context.digest, f"{context.plan.name}: another run is running it"):
        if result := finished(context, session.tracking, session.force_tags):
            say(f"{result.entry} is done already: nothing to train, nothing to score (FORCE=1 runs it anew)")
            for name, origin in result.members.items():
                say(f"  {name:<14} from run {origin}")
            return result
        return execute(context, session, say_time)


def execute(context: RunContext, session: Session, say_time: bool = False) -> Result:
    """Look up members, decode frames, train what is missing, score, fuse, evaluate, log, register."""
    members = look_up(context, session)
    missing = [name for name in context.plan.members if name not in members]
    steps: dict[str, float] = {}
    if missing:
        if say_time:
            steps = estimated_steps(context, missing, session.device)
            say(f"  about {duration(sum(steps.values()))} on this machine")
        session.engine.start()
    decode([(context, missing)], session)
    with ended(open_run(context, session)) as log:
        detail(f"run {log.run_id} opened in {session.tracking.shown}")
        with whole(context.plan.name, steps.items()):
            trained = calibrated(context, train(context, members, log, session), session)
            targets, normal = score_targets(context, trained, session)
        evaluation = evaluate(context, fuse(context, targets, normal))
        detail(f"{len(evaluation.sampled)} variants fused and measured")
        result = log_results(context, evaluation, trained, log, session)
        log_members(context, trained, targets[context.labelled_at].members, log, session)
        detail("metrics, scores and pictures logged")
        result = register(context, evaluation, trained, result, log, session)
        detail(result.registered)
        return result


def finished(context: RunContext, tracking: Tracking, tags: Mapping[str, str] | None = None) -> Result | None:
    """What an earlier run of the same entry on the same data, with these tags, found.

    A version that was deleted on purpose is not missed; one that is there must be as complete as it was registered.
    """
    for run in tracking.find("experiment", context.digest, tags=tags, most=1):
        versions = Versions(tracking)
        result = stored_result(tracking, run, context.request.home)
        if result and all(versions.complete(v) for v in versions.all() if v.number == result.version):
            return present(result, versions)
    return None


def decode(runs: Iterable[tuple[RunContext, Sequence[str]]], session: Session) -> None:
    """Decode, for each run and the members that it misses, train frames and targets: each file once, for all views.

    Train frames come first: repairs are fitted on them, and views of test frames hold the repairs.
    """
    queue = list(runs)
    normal = [(c, [name for name in c.plan.members if c.plan.needs_train_frames(name)]) for c, _ in queue]
    _decode([(c.train, c, names) for c, names in queue] + [(c.normal, c, names) for c, names in normal], session)
    _decode([(target, c, list(c.plan.members)) for c, _ in queue for target in c.targets], session)
    for context, _ in queue:
        if (evidence := session.repair_evidence(context)) is not None:
            seen = usable(context.data.index, evidence, context.repairs).usable
            for repair, found in zip(context.repairs, (evidence > 0).sum(0), strict=True):
                told = f"{found:,} of {len(evidence):,} test frames of {context.data.name}"
                if repair.drops and seen is not None and (~seen).sum() != found:
                    told += f", of which {(~seen).sum():,} are left out: in some videos too few would be left"
                say(f"  repair {repair.named.name}: {told}")


def _decode(parts: Iterable[tuple[Subset | None, RunContext, Sequence[str]]], session: Session) -> None:
    """Decode subsets of frames in the views of these members of a run."""
    wanted: dict[str, tuple[Subset, Timing, set[Sketch]]] = {}
    for subset, context, names in parts:
        views: set[Sketch] = {context.plan.members[name].view for name in names}
        if subset is context.train and context.plan.repair:
            views.update(sketches_of(context.plan.repair))
        if subset is not None and views:
            found = wanted.setdefault(subset.digest, (subset, context.timing, set()))[-1]
            found.update(subset.view(view) if isinstance(view, View) else view for view in views)
    folder = session.home / "frames"
    for subset, timing, views in wanted.values():
        source, started = subset.source, time.perf_counter()
        assert source is not None
        missing = to_decode(source, views, folder)
        for path in (map_path(folder, source, view) for view in missing):
            if path.exists() and maps.state(path) != "without checksums":  # as of an earlier version
                say(f"  note: {path} was altered or damaged; its frames are decoded again")
        if not missing:
            frames = open_frames(source, views, folder)
            detail(
                f"{subset.name}: {len(source):,} frames in {plural(len(views), 'view')} reused, as decoded before, from {folder}"
            )
        else:
            with Bar(f"decode {subset.name}", len(source)) as bar:
                frames = open_frames(source, views, folder, bar.advance)
            timing.add("decode", time.perf_counter() - started, len(source))
        session.maps.update({(subset.digest, view): values for view, values in frames.items()})
