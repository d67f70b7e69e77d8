"""What a run leaves in MLflow's list of models: each member as a logged model, the best variant as a registered version."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from registry.data.datasets import labels_tags
from registry.entries.entry import Entry
from registry.models.production import Production
from registry.models.versions import Versions
from registry.runs.context import RunContext
from registry.runs.description import describe_version, reference_for
from registry.runs.members import MemberStore, TrainedMember
from registry.runs.result import FILE, Result
from registry.store.runlog import RunLog
from registry.store.tracking import Found, Tracking
from vad.scoring import ensemble as ensembles
from vad.scoring.pipeline import Outcome


def register(
    context: RunContext,
    outcome: Outcome,
    known: Mapping[str, TrainedMember],
    log: RunLog,
    tracking: Tracking,
    result: Result,
) -> Result:
    """Register the best variant that frames alone can give, let it stand for production, and say so in the run."""
    from_frames = [
        n for n in result.variants if not any(context.plan.streams[s].file for s in context.plan.variants[n].streams)
    ]
    if not from_frames:
        said = "no model: every variant reads predictions files, which cannot score frames"
    elif (value := result.variants[from_frames[0]]) is None:
        said = "no model: without labels or held-out frames nothing says which variant is best (set holdout: 0.1)"
    else:
        name, versions = from_frames[0], Versions(tracking)
        weights = {member: item.weights for member, item in known.items()}
        members = {member: item.member for member, item in known.items()}
        chosen = ensembles.select(
            members, context.plan.streams, name, context.plan.variants[name], outcome.fitted, weights
        )
        digest = ensembles.identity(chosen, {member: item.digest for member, item in known.items()})
        tags = {
            "vad.entry": context.plan.name,
            "vad.variant": name,
            "vad.figure": result.figure,
            "vad.value": f"{value.ap:.6f}",
            "vad.reference_ap": _reference(context.loaded.entry, name),
            "vad.interval": f"{value.low:.4f} to {value.high:.4f}",
            "vad.protocol": context.data.protocol(),
            "vad.data": context.data.place,
            "vad.data_name": context.data.name,
            **labels_tags(context.data),
            "vad.test_digest": context.data.test_digest,
            "vad.profile": context.loaded.profile,
        }
        text = describe_version(context.loaded.entry, result, name, value, log)
        version, new = versions.register(log.run_id, chosen, digest, tags, text)
        decision = Production(versions, context.request.home).consider(version)
        state = "registered as" if new else "is already"
        said = (
            f"{name} {state} {version.uri}; "
            + ("now production: " if decision.promote else "not promoted: ")
            + decision.reason
        )
        result = replace(result, version=version.number)
        log.tags({"vad.version": version.number, "vad.decision": decision.reason})
    result = replace(result, registered=said)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / FILE
        path.write_text(json.dumps(asdict(result), indent=2))
        log.artifact(path)
    return result


def _reference(entry: Entry, variant: str) -> str:
    """The reference's figure for people: whose it is, where that is another variant."""
    stated, of = reference_for(entry, variant)
    return "" if stated is None else f"{stated:.4f}{f' ({of})' if of and of != variant else ''}"


_TAG = "vad.logged_model"


def log_members(
    context: RunContext, known: Mapping[str, TrainedMember], store: MemberStore, log: RunLog, tracking: Tracking
) -> None:
    """Log a model for each member that was trained in this run's MLflow experiment, once, and its figures, once each.

    The figure of a member is the AP of one of its errors before any step, as in `ap_alone.max`.
    """
    from sklearn.metrics import average_precision_score

    target, judge = context.judged, context.judge
    if target is None or judge is None:
        return
    for name, member in known.items():
        run = tracking.get(member.run_id)
        if run.experiment_id != log.experiment_id:
            continue
        model = run.tags.get(_TAG)
        there = tracking.model_metrics(model) if model else None
        figures = {}
        for error in context.plan.errors(name):
            key = f"{context.data.figure}_alone.{error.label}"
            values = store.stored_scores(member, target.source.digest, error)
            if key in (there or ()) or values is None:
                continue
            scored = np.isfinite(values)
            if judge.values[scored].any():
                figures[key] = float(average_precision_score(judge.values[scored], values[scored]))
        if figures:
            model = model if there is not None else _make(member, run, tracking)
            tracking.reopen(run.run_id).log(figures, tags={_TAG: model}, model=model)


def _make(member: TrainedMember, run: Found, tracking: Tracking) -> str:
    """A logged model of a member; its weights stay with the run."""
    about = member.member
    params = {"scale": about.size, "group": about.group, "seed": about.seed, "model": about.model}
    params |= dict(about.options) | {"input": about.input.name, "epoch": member.epoch}
    entry = {"entry": run.tags.get("vad.entry", ""), "profile": run.tags.get("vad.profile", "")}
    return tracking.log_model(run.run_id, run.experiment_id, about.name, {**entry, **params})
