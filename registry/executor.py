"""The one executor: entry and data in; members, scores, figures, pictures and a registered model out."""

import time
from collections.abc import Sequence

import torch

from registry.console import Console
from registry.datasets import labels_place
from registry.members import Known, MemberStore
from registry.outcome import Result, describe, log_outcome, present, register, stored_result
from registry.preparation import announce, prepare
from registry.provenance import provenance
from registry.tracking import RunLog, Tracking
from registry.versions import Versions
from registry.work import Request, Work
from vad.catalog import Named
from vad.frames.store import Frames, Source, map_path, open_frames
from vad.member import Member
from vad.pipeline import Outcome, run_pipeline
from vad.scores import Values
from vad.training import Diverged


class MembersFailed(RuntimeError):
    """Some members could not be trained; the others were, and are kept."""


def run(request: Request, console: Console) -> Result:
    """Run an entry to its end, or say what an earlier run of it found.

    Raises InputError before anything is tracked for all that is wrong with entry, data or labels.
    """
    device = find_device()
    work = prepare(request, device)
    announce(work, console)
    tracking = Tracking()
    if result := finished(work, tracking):
        console.say(f"{work.plan.name} is done already: nothing to train, nothing to score (FORCE=1 runs it anew)")
        for name, origin in result.members.items():
            console.say(f"  {name:<14} from run {origin}")
        return result
    return execute(work, tracking, MemberStore(tracking, request.home, device, console), device, console)


def find_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def finished(work: Work, tracking: Tracking) -> Result | None:
    """What an earlier run of the same entry on the same data found, unless it is to be run anew."""
    if work.request.force:
        return None
    for run in tracking.find("experiment", work.digest, most=1):
        if result := stored_result(tracking, run, work.request.home):
            return present(result, Versions(tracking))
    return None


def execute(work: Work, tracking: Tracking, store: MemberStore, device: torch.device, console: Console) -> Result:
    """Train what is missing, score, fuse, measure, log, register.

    Raises MembersFailed when members could not be trained; what else there was to train is trained then.
    """
    known, missing = _look_up(work, store, console)
    maps = _decode(work, missing, console)
    experiment = tracking.experiment(work.data.experiment(), _protocol_tags(work))
    log = tracking.open_run(experiment, "experiment", work.digest, work.plan.name, _tags(work))
    try:
        log.params(_params(work))
        log.describe(describe(work.loaded.entry, None))
        _train(work, known, missing, maps, store, log, console)
        outcomes = _outcomes(work, known, maps, store)
        result = log_outcome(work, outcomes, known, maps, log, device, tracking)
        result = register(work, outcomes["test"], known, log, Versions(tracking), result)
    except BaseException as error:
        log.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    log.end("FINISHED")
    return result


def _look_up(work: Work, store: MemberStore, console: Console) -> tuple[dict[str, Known], dict[str, str]]:
    """Which members are there and which must be trained; said before anything starts."""
    known: dict[str, Known] = {}
    missing: dict[str, str] = {}
    for name, member in work.plan.members.items():
        digest = member.digest(work.train.digest if work.train else "")
        found = _find(work, store, member, digest)
        if found is None:
            missing[name] = digest
            reason = "FORCE=1" if work.request.force else "no finished member of this recipe on these frames"
            console.say(f"  {name:<14} to train: {reason}")
        else:
            known[name] = found
            console.say(
                f"  {name:<14} from run {found.run_id} ({found.trained_for}, epoch {found.epoch}, loss {found.loss:.5f})"
            )
    return known, missing


def _find(work: Work, store: MemberStore, member: Member, digest: str) -> Known | None:
    """A finished member; under FORCE only one that was trained since this process began."""
    return store.fresh.get(digest) if work.request.force else store.find(member, digest)


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
    tags = {"vad.entry": work.plan.name, "vad.profile": work.loaded.profile}
    for name, digest in missing.items():
        member = work.plan.members[name]
        assert work.train_index is not None and work.train is not None
        if digest in store.failed:
            failed.append(f"{name} ({store.failed[digest]}, as another experiment found)")
            continue
        try:
            with store.exclusively(member, digest):
                # Another run may have finished it since this one looked.
                if found := _find(work, store, member, digest):
                    known[name] = found
                    continue
                frames = maps["train"][member.size]
                samples = store.samples(member, frames, work.train_index, work.train.digest, training=True)
                known[name] = store.train(member, digest, samples, log, tags)
        except Diverged as error:
            kept = "its last good weights are kept" if error.trained else "there are no good weights to keep"
            console.say(f"  {name}: {error}; {kept}")
            failed.append(f"{name} ({error})")
            continue
        work.seconds.train += known[name].seconds
        work.seconds.trained += len(samples) * len(known[name].epochs)
    if failed:
        raise MembersFailed(
            f"{len(failed)} of {len(work.plan.members)} members failed: {'; '.join(failed)}; lower train.lr and run again"
        )


def _outcomes(
    work: Work,
    known: dict[str, Known],
    maps: dict[str, dict[int, Frames]],
    store: MemberStore,
) -> dict[str, Outcome]:
    """Every variant's scores of every target."""
    if not work.targets:
        return {"test": run_pipeline(work.plan.streams, work.plan.variants, {}, work.files, work.data.index)}
    outcomes = {}
    for target in work.targets:
        scores: dict[tuple[str, Named], Values] = {}
        for name, member in known.items():
            errors = work.plan.errors(name)
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
                work.seconds.score += time.perf_counter() - started
                work.seconds.scored += len(target.index)
        on_test = work.files if target.name == "test" else {}
        streams = (
            work.plan.streams if target.name == "test" else {n: s for n, s in work.plan.streams.items() if not s.file}
        )
        variants = {n: v for n, v in work.plan.variants.items() if all(stream in streams for stream in v.streams)}
        outcomes[target.name] = run_pipeline(streams, variants, scores, on_test, target.index)
    return outcomes


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
