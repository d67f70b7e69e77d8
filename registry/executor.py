"""The one executor: entry and data in; members, scores, figures, pictures and a registered model out."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from registry.console import Console
from registry.datasets import labels_place, open_frames_of, open_scores_of, read_files
from registry.loading import load_entry
from registry.members import Known, MemberStore
from registry.outcome import Result, describe, log_outcome, present, register, stored_result
from registry.plan import make_plan, rehearse
from registry.provenance import provenance
from registry.tracking import RunLog, Tracking
from registry.versions import Versions
from registry.work import Request, Target, Work
from vad.frames.frameset import Labels
from vad.frames.store import Frames, Source, SplitSource, map_path, open_frames
from vad.member import SCORING_CODE, TRAINING_CODE, digest_of
from vad.pipeline import Outcome, run_pipeline
from vad.scores import Values
from vad.training import Diverged

PROXY_SEED = 20260101


class MembersFailed(RuntimeError):
    """Some members could not be trained; the others were, and are kept."""


def run(request: Request, console: Console) -> Result:
    """Run an entry to its end, or say what an earlier run of it found.

    Raises InputError before anything is tracked for all that is wrong with entry, data or labels.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    work = prepare(request, device, console)
    tracking = Tracking()
    files, file_digests = read_files(work.plan, work.data.index)
    digest = _run_digest(work, file_digests)
    if not request.force:
        for finished in tracking.find("experiment", digest, most=1):
            if result := stored_result(tracking, finished, request.home):
                console.say(
                    f"{work.plan.name} is done already: nothing to train, nothing to score (FORCE=1 runs it anew)"
                )
                for name, origin in result.members.items():
                    console.say(f"  {name:<14} from run {origin}")
                return present(result, Versions(tracking))
    store = MemberStore(tracking, request.home, device, console)
    known, missing = _look_up(work, store, console)
    maps = _decode(work, missing, console)
    experiment = tracking.experiment(work.data.experiment(), _protocol_tags(work))
    log = tracking.open_run(experiment, "experiment", digest, work.plan.name, _tags(work))
    try:
        log.params(_params(work))
        log.describe(describe(work.loaded.entry, None))
        _train(work, known, missing, maps, store, log, console)
        outcomes = _outcomes(work, known, maps, store, files, console)
        result = log_outcome(work, outcomes, known, maps, log, device, tracking)
        result = register(work, outcomes["test"], known, log, Versions(tracking), result)
    except BaseException as error:
        log.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    log.end("FINISHED")
    return result


def prepare(request: Request, device: torch.device, console: Console) -> Work:
    """Entry, data, labels and what must be trained on what; everything that can be wrong is found here."""
    loaded = load_entry(request.experiment, request.profile or ("full" if request.data else "demo"), request.overrides)
    blend = not loaded.entry.members
    if blend and request.data is None:
        data = open_scores_of(make_plan(loaded, device, labelled=True), request.labels, request.home)
    else:
        data = open_frames_of(request.data, request.labels, request.home)
    plan = make_plan(loaded, device, labelled=data.labels is not None)
    rehearse(plan)
    console.say(f"{plan.name} on {data.name} ({data.place}), profile {loaded.profile}")
    if loaded.profile != "full":
        console.say(
            "  This profile shortens the training: it shows how things work and says nothing about real footage."
        )
    if loaded.overrides:
        console.say(f"  set: {', '.join(loaded.overrides)}")
    if data.frames is None:
        return Work(request, loaded, plan, data, None, None, [], data.labels)
    for note in data.frames.notes:
        console.say(f"  note: {note}")
    train, targets = data.frames.train, [Target("test", SplitSource(data.frames.test), data.index)]
    judge = data.labels
    if plan.holdout and plan.members:
        keep = {v.id: slice(0, len(v.numbers) - round(len(v.numbers) * plan.holdout)) for v in train.videos}
        held = train.slice({video: slice(part.stop, None) for video, part in keep.items()})
        train = train.slice(keep)
        if judge is None and len(held):
            from vad.proxy import PaintedSource

            painted = PaintedSource(held, PROXY_SEED)
            targets.append(Target("proxy", painted, painted.index))
            judge = Labels(painted.labels, "painted anomalies")
            data = replace(data, proxy=painted.digest)
    console.say(f"  {len(train):,} train frames, {len(data.index):,} test frames, " + (
        f"labels from {data.labels.source}" if data.labels else "no labels: figures are proxies (see README)"
    ))  # fmt: skip
    return Work(request, loaded, plan, data, SplitSource(train), train.index, targets, judge)


def _look_up(work: Work, store: MemberStore, console: Console) -> tuple[dict[str, Known], dict[str, str]]:
    """Which members are there and which must be trained; said before anything starts."""
    known: dict[str, Known] = {}
    missing: dict[str, str] = {}
    for name, member in work.plan.members.items():
        digest = member.digest(work.train.digest if work.train else "")
        found = None if work.request.force else store.find(member, digest)
        if found is None:
            missing[name] = digest
            console.say(
                f"  {name:<14} to train: {'FORCE=1' if work.request.force else 'no finished member of this recipe on these frames'}"
            )
        else:
            known[name] = found
            console.say(
                f"  {name:<14} from run {found.run_id} ({found.trained_for}, epoch {found.epoch}, loss {found.loss:.5f})"
            )
    return known, missing


def _decode(work: Work, missing: dict[str, str], console: Console) -> dict[str, dict[int, Frames]]:
    """Memory maps of what will be looked at: train frames for members to train, targets for all sizes."""
    wanted: list[tuple[str, Source, list[int]]] = []
    if missing and work.train is not None:
        wanted.append(("train", work.train, sorted({work.plan.members[name].size for name in missing})))
    if work.plan.members:
        wanted += [(target.name, target.source, work.plan.sizes()) for target in work.targets]
    maps: dict[str, dict[int, Frames]] = {}
    folder = work.request.home / "frames"
    for name, source, sizes in wanted:
        started = time.perf_counter()
        if all(map_path(folder, source, size).exists() for size in sizes):
            maps[name] = open_frames(source, sizes, folder)
            continue
        with console.bar(f"decode {name}", len(source)) as bar:
            maps[name] = open_frames(source, sizes, folder, bar.advance)
        work.seconds.decode += time.perf_counter() - started
        work.seconds.decoded += len(source)
    return maps


def _train(
    work: Work,
    known: dict[str, Known],
    missing: dict[str, str],
    maps: dict[str, dict[int, Frames]],
    store: MemberStore,
    log: RunLog,
    console: Console,
) -> None:
    failed = []
    for name, digest in missing.items():
        member = work.plan.members[name]
        assert work.train_index is not None
        tags = {"vad.entry": work.plan.name, "vad.profile": work.loaded.profile}
        try:
            with store.exclusively(member, digest):
                # Another run may have finished it since this one looked.
                found = None if work.request.force else store.find(member, digest)
                frames = maps["train"][member.size]
                known[name] = found or store.train(member, digest, frames, work.train_index, log, tags)
        except Diverged as error:
            console.say(f"  {name}: {error}; its last good weights are kept, the other members go on")
            failed.append(f"{name} ({error})")
            continue
        if found is not None:
            continue
        work.seconds.train += known[name].seconds
        work.seconds.trained += len(work.train_index) * len(known[name].epochs)
    if failed:
        raise MembersFailed(
            f"{len(failed)} of {len(work.plan.members)} members failed: {'; '.join(failed)}; lower train.lr and run again"
        )


def _outcomes(
    work: Work,
    known: dict[str, Known],
    maps: dict[str, dict[int, Frames]],
    store: MemberStore,
    files: dict[str, Values],
    console: Console,
) -> dict[str, Outcome]:
    """Every variant's scores of every target."""
    if not work.targets:
        return {"test": run_pipeline(work.plan.streams, work.plan.variants, {}, files, work.data.index)}
    outcomes = {}
    for target in work.targets:
        scores: dict[tuple[str, str], Values] = {}
        for name, member in known.items():
            errors = work.plan.errors(name)
            for error in errors:
                stored = None if work.request.force else store.stored_scores(member, target.source.digest, error)
                if stored is not None and len(stored) == len(target.index):
                    scores[name, error] = stored
            absent = [error for error in errors if (name, error) not in scores]
            if absent:
                started = time.perf_counter()
                frames = maps[target.name][member.member.size]
                what = "" if target.name == "test" else f" ({target.name})"
                found = store.score(member, frames, target.index, target.source.digest, absent, what)
                scores |= {(name, error): values for error, values in found.items()}
                work.seconds.score += time.perf_counter() - started
                work.seconds.scored += len(target.index)
        on_test = files if target.name == "test" else {}
        streams = (
            work.plan.streams if target.name == "test" else {n: s for n, s in work.plan.streams.items() if not s.file}
        )
        variants = {n: v for n, v in work.plan.variants.items() if all(stream in streams for stream in v.streams)}
        outcomes[target.name] = run_pipeline(streams, variants, scores, on_test, target.index)
    return outcomes


def _run_digest(work: Work, files: dict[str, str]) -> str:
    return digest_of(
        {
            "name": work.plan.name,
            "plan": work.plan.settings(),
            "files": files,
            "protocol": work.data.protocol(),
            "code": [TRAINING_CODE, SCORING_CODE],
        }
    )


def _protocol_tags(work: Work) -> dict[str, str]:
    return {
        "vad.protocol": work.data.protocol(),
        "vad.data": work.data.place,
        "vad.figure": work.data.figure,
        "mlflow.note.content": (
            f"Video anomaly detection on `{work.data.name}`: {len(work.data.index):,} test frames. "
            f"Runs here share frames and labels, so their `{work.data.figure}` may be compared."
        ),
    }


def _tags(work: Work) -> dict[str, str]:
    entry = work.loaded.entry
    by = "the labelled test frames" if work.data.labels else "painted anomalies in training frames held out"
    tags = {
        **provenance(str(work.loaded.path)),
        "vad.entry": work.plan.name,
        "vad.profile": work.loaded.profile,
        "vad.set": " ".join(work.loaded.overrides),
        "vad.data": work.data.place,
        "vad.data_name": work.data.name,
        "vad.labels": labels_place(work.data),
        "vad.protocol": work.data.protocol(),
        "vad.train_digest": work.train.digest if work.train else "",
        "vad.test_digest": work.data.test_digest,
        "vad.figure": work.data.figure,
        "vad.metric": "average precision, pooled over all frames; 95 % interval by bootstrap over videos",
        "vad.variant_chosen_by": f"{work.data.figure} on {by}" if work.judge else "order in the entry",
        "vad.normalization": "from the test frames (transductive)",
        "vad.reference_ap": "" if entry.reference.ap is None else f"{entry.reference.ap:.4f}",
    }
    return {key: value for key, value in tags.items() if value}


def _params(work: Work) -> dict[str, object]:
    members: Sequence[object] = list(work.plan.members.values())
    train = work.loaded.entry.train
    return {
        "entry": work.plan.name,
        "data": work.data.name,
        "profile": work.loaded.profile,
        "members": len(members),
        "sizes": "/".join(map(str, work.plan.sizes())) or "-",
        "epochs": train.epochs if members else "-",
        "lr": train.lr if members else "-",
        "precision": next(iter({m.training.precision for m in work.plan.members.values()}), "-"),
    }
