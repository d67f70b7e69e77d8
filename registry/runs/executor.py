"""The one executor: entry and data in; members, scores, figures, pictures and a registered model out."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing

import torch

from registry.console import Console, duration
from registry.data.datasets import labels_tags
from registry.engines import Engine, open_engine, run_jobs
from registry.models.versions import Versions
from registry.provenance import provenance
from registry.runs import context as forcing
from registry.runs.context import Request, RunContext
from registry.runs.description import describe
from registry.runs.evaluation import log_outcome
from registry.runs.members import MemberStore, TrainedMember
from registry.runs.preparation import Estimator, announce, prepare
from registry.runs.registration import log_members, register
from registry.runs.result import Result, present, stored_result
from registry.runs.training import find, train, training_job
from registry.signals import was_stopped
from registry.store.runlog import DESCRIPTION, RunLog
from registry.store.tracking import Tracking
from registry.store.ui import TAG as VIEW_TAG
from registry.store.ui import saved_view
from vad.catalog import Named
from vad.data.frame_index import Values
from vad.detectors.training.losses import Weighted
from vad.frames.store import Frames, Source, map_path, open_frames
from vad.scoring.pipeline import Outcome, run_pipeline
from vad.system.precision import for_training
from vad.system.threads import limit


def run(request: Request, console: Console) -> Result:
    """Run an entry to its end, or say what an earlier run of it found.

    Raises InputError before anything is tracked for all that is wrong with entry, data or labels.
    """
    device = find_device()
    context = prepare(request)
    announce(context, console)
    engine = open_engine(request.engine, request.gpu_share, device, console)
    tracking = Tracking(new=True)
    forced = forcing.begin([context], console)
    with closing(engine), tracking.ending_runs():
        store = MemberStore(tracking, request.home, device, console)
        result = execute(context, tracking, store, engine, device, console, Estimator(device))
    if forced:
        forced.unlink(missing_ok=True)
    return result


def find_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def finished(context: RunContext, tracking: Tracking) -> Result | None:
    """What an earlier run of the same entry on the same data found, unless it is to be run anew."""
    for run in tracking.find("experiment", context.digest, tags=context.forced_tags(), most=1):
        result = stored_result(tracking, run, context.request.home)
        if result and (result.version is None or _has_its_model(result.version, tracking)):
            return present(result, Versions(tracking))
    return None


def _has_its_model(number: str, tracking: Tracking) -> bool:
    """Whether a version is as complete as it was registered; one that was deleted on purpose is not missed."""
    versions = Versions(tracking)
    return all(versions.complete(version) for version in versions.all() if version.number == number)


def execute(
    context: RunContext,
    tracking: Tracking,
    store: MemberStore,
    engine: Engine,
    device: torch.device,
    console: Console,
    estimator: Estimator | None = None,
) -> Result:
    """Train what is missing, score, fuse, measure, log, register; or say what an earlier run found.

    Of two processes of one folder that run an experiment at once, the second waits for the first. With an estimator, what
    it takes is said beforehand. Raises MembersFailed when members could not be trained; what else there was to train is trained then.
    """
    with store.exclusively(context.plan.name, context.digest, wait=True, doing="running it"):
        if result := finished(context, tracking):
            console.say(
                f"{context.plan.name} is done already: nothing to train, nothing to score (FORCE=1 runs it anew)"
            )
            for name, origin in result.members.items():
                console.say(f"  {name:<14} from run {origin}")
            return result
        known, missing = _look_up(context, store, console)
        if missing and estimator and context.train_index is not None:
            members, scored = (
                [context.plan.members[name] for name in missing],
                [target.index for target in context.targets],
            )
            seconds = estimator.seconds(members, context.train_index, scored)
            console.say(f"  about {duration(seconds)} of training and scoring on this machine")
        if missing:
            engine.start()
        maps = _decode(context, missing, console)
        log = _open(context, tracking)
        try:
            log.log(params=_params(context, device), tags={DESCRIPTION: describe(context.loaded.entry, None, log)})
            if missing:
                known |= train(context, missing, maps["train"], store, engine, log, console)
            known = {name: known[name] for name in context.plan.members}
            outcomes = _outcomes(context, known, maps, store)
            result = log_outcome(context, outcomes, known, maps, log, device, tracking)
            log_members(context, known, store, log, tracking)
            result = register(context, outcomes["test"], known, log, tracking, result)
        except BaseException as error:
            log.end("KILLED" if was_stopped(error) else "FAILED")
            raise
        log.end("FINISHED")
        return result


def train_ahead(
    ahead: Sequence[tuple[RunContext, Mapping[str, str]]],
    tracking: Tracking,
    store: MemberStore,
    engine: Engine,
    console: Console,
) -> None:
    """Train at once what several experiments miss: each with the digests of members, by name.

    A member is a child of its experiment's run. That is cut off afterwards, and taken up when it is its turn.
    """
    with ExitStack() as stack:
        training_jobs = []
        for context, missing in ahead:
            frames = _decode(context, missing, console)["train"]
            log = _open(context, tracking)
            stack.callback(log.end, "KILLED")
            training_jobs += [
                (f"{name} of {context.plan.name}", training_job(context, name, digest, frames, store, log))
                for name, digest in missing.items()
            ]
        with closing(run_jobs(training_jobs, engine)) as endings:
            for name, ending in endings:
                if isinstance(ending, Exception):
                    console.say(f"  {name}: {ending}; the others go on")


def _open(context: RunContext, tracking: Tracking) -> RunLog:
    experiment = tracking.experiment(context.data.experiment(), _protocol_tags(context))
    return tracking.open_run(experiment, "experiment", context.digest, context.plan.name, _tags(context))


def _look_up(
    context: RunContext, store: MemberStore, console: Console
) -> tuple[dict[str, TrainedMember], dict[str, str]]:
    """Which members are there and which must be trained; said before anything starts."""
    known: dict[str, TrainedMember] = {}
    missing: dict[str, str] = {}
    for name, member in context.plan.members.items():
        digest = member.digest(context.train.digest if context.train else "")
        found = find(context, store, member, digest)
        if found is None:
            missing[name] = digest
            reason = "FORCE=1" if context.request.force else "no finished member of this recipe on these frames"
            console.say(f"  {name:<14} to train: {reason}")
        else:
            known[name] = found
            store.drop_state(member, digest)
            console.say(
                f"  {name:<14} from run {found.run_id} ({found.trained_for}, epoch {found.epoch}, loss {found.loss:.5f})"
            )
    return known, missing


def _decode(context: RunContext, missing: Mapping[str, str], console: Console) -> dict[str, dict[int, Frames]]:
    """Memory maps of what will be looked at: train frames for members to train, targets for all sizes."""
    wanted: list[tuple[str, Source, list[int]]] = []
    if missing and context.train is not None:
        wanted.append(("train", context.train, sorted({context.plan.members[name].size for name in missing})))
    if context.plan.members:
        wanted += [(target.name, target.source, context.plan.sizes()) for target in context.targets]
    maps: dict[str, dict[int, Frames]] = {}
    folder = context.request.home / "frames"
    for name, source, sizes in wanted:
        started = time.perf_counter()
        if all(map_path(folder, source, size).exists() for size in sizes):
            maps[name] = open_frames(source, sizes, folder)
            continue
        with console.bar(f"decode {name}", len(source)) as bar:
            maps[name] = open_frames(source, sizes, folder, bar.advance)
        context.seconds.decode += time.perf_counter() - started
        context.seconds.decoded += len(source)
    return maps


def _outcomes(
    context: RunContext,
    known: dict[str, TrainedMember],
    maps: dict[str, dict[int, Frames]],
    store: MemberStore,
) -> dict[str, Outcome]:
    """Every variant's scores of every target."""
    if not context.targets:
        return {
            "test": run_pipeline(context.plan.streams, context.plan.variants, {}, context.files, context.data.index)
        }
    outcomes = {}
    for target in context.targets:
        scores: dict[tuple[str, Named], Values] = {}
        for name, member in known.items():
            errors = context.plan.errors(name)
            for error in errors:
                stored = store.stored_scores(member, target.source.digest, error)
                if stored is not None and len(stored) == len(target.index):
                    scores[name, error] = stored
            absent = [error for error in errors if (name, error) not in scores]
            if absent:
                started = time.perf_counter()
                frames = maps[target.name][member.member.size]
                what = "" if target.name == "test" else f" ({target.name})"
                found = store.score(member, frames, target.index, target.source.digest, absent, what)
                scores |= {(name, error): values for error, values in found.items()}
                context.seconds.score += time.perf_counter() - started
                context.seconds.scored += len(target.index)
        on_test = context.files if target.name == "test" else {}
        streams = (
            context.plan.streams
            if target.name == "test"
            else {n: s for n, s in context.plan.streams.items() if not s.file}
        )
        variants = {n: v for n, v in context.plan.variants.items() if all(stream in streams for stream in v.streams)}
        outcomes[target.name] = run_pipeline(streams, variants, scores, on_test, target.index)
    return outcomes


def _protocol_tags(context: RunContext) -> dict[str, str]:
    return {
        "vad.protocol": context.data.protocol(),
        "vad.data": context.data.place,
        "vad.figure": context.data.figure,
        VIEW_TAG: saved_view(context.data.figure, time.time()),
        "mlflow.note.content": (
            f"Video anomaly detection on `{context.data.name}`: {len(context.data.index):,} test frames. Runs here share frames and "
            f"labels, so their `{context.data.figure}` may be compared. Sorted by it: Views, Leaderboard."
        ),
    }


def _tags(context: RunContext) -> dict[str, str]:
    """What a person looks for first, then what the program looks for."""
    by = "the labelled test frames" if context.data.labels else "painted anomalies in training frames held out"
    tags = {
        "vad.entry": context.plan.name,
        "vad.profile": context.loaded.profile,
        "vad.set": " ".join(context.loaded.overrides),
        "vad.data_name": context.data.name,
        "vad.variant_chosen_by": f"{context.data.figure} on {by}" if context.judge else "order in the entry",
        "vad.metric": "average precision, pooled over all frames; 95 % interval by bootstrap over videos",
        "vad.normalization": "from the test frames (transductive)",
        **provenance(str(context.loaded.path)),
        **(context.forced_tags() or {}),
        "vad.engine": context.request.engine,
        "vad.figure": context.data.figure,
        "vad.data": context.data.place,
        **labels_tags(context.data),
        "vad.protocol": context.data.protocol(),
        "vad.train_digest": context.train.digest if context.train else "",
        "vad.test_digest": context.data.test_digest,
    }
    return {key: value for key, value in tags.items() if value}


def _params(context: RunContext, device: torch.device) -> dict[str, object]:
    """Few and well named: what a person would sort and filter runs by. All of it is in resolved.yaml."""
    members = list(context.plan.members.values())

    def each(values: Iterable[object]) -> str:
        return "/".join(dict.fromkeys(map(str, values))) or "-"

    return {
        "entry": context.plan.name,
        "profile": context.loaded.profile,
        "model": each(member.model for member in members),
        "input": each(member.input.name for member in members),
        "members": len(members),
        "sizes": each(context.plan.sizes()),
        "loss": each(_loss(member.training.loss) for member in members),
        "epochs": each(member.training.epochs for member in members),
        "lr": each(member.training.lr for member in members),
        "precision": each(for_training(member.training.precision, device) for member in members),
        "threads": limit(),
    }


def _loss(loss: str | Weighted) -> str:
    return loss if isinstance(loss, str) else "+".join(f"{weight:g} {name}" for name, weight in loss)
