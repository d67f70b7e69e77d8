"""Each member as a logged model of MLflow, with the AP of its error alone, so that scales compare under "Models"."""

from collections.abc import Mapping

import numpy as np

from registry.runs.context import RunContext
from registry.runs.members import MemberStore, TrainedMember
from registry.store.runlog import RunLog
from registry.store.tracking import Found, Tracking

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
