"""What a run leaves in MLflow: tags and parameters, metrics and files, a logged model for each member, a registered version."""

import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import yaml

from registry.entries.entry import BEST, CHOICES
from registry.models.production import Production
from registry.models.versions import Versions
from registry.provenance import provenance
from registry.runs import identity
from registry.runs.context import RunContext
from registry.runs.evaluation import Evaluation, findings, write_pictures
from registry.runs.members import Members, TrainedMember
from registry.runs.result import FILE, Result, describe, describe_version, headline, reference_for, reference_text
from registry.runs.session import Session
from registry.store import score_table
from registry.store.runlog import DESCRIPTION, RunLog
from registry.store.score_table import ScoreTable, write_table
from registry.store.tracking import Found, Tracking
from registry.store.ui import TAG as VIEW_TAG
from registry.store.ui import saved_view
from vad import blocks
from vad.data.tables import write_scores
from vad.detectors.training.losses import Weighted
from vad.frames.repaired import write_findings
from vad.measures.metrics import Measured
from vad.scoring import ensemble as ensembles
from vad.scoring.pipeline import MemberScores
from vad.system.files import sha256
from vad.system.precision import for_training
from vad.system.threads import limit

_LONGEST_NAME = 200  # MLflow takes 250 characters


def open_run(context: RunContext, session: Session) -> RunLog:
    """The run in MLflow: the one that was cut off, else a new one."""
    data = context.data
    tags = {
        "vad.protocol": data.protocol(),
        "vad.data": data.place,
        "vad.figure": data.metric,
        VIEW_TAG: saved_view(data.metric),
        DESCRIPTION: (
            f"Video anomaly detection on `{data.name}`: {len(data.index):,} test frames. Runs here share frames and "
            f"labels, so their `{data.metric}` may be compared. Sorted by it: Views, Leaderboard."
        ),
    }
    experiment = session.tracking.experiment(data.experiment(), tags)
    name = " ".join([context.plan.name, *context.loaded.overrides])[:_LONGEST_NAME]
    log = session.tracking.open_run(experiment, "experiment", context.digest, name, _tags(context, session))
    log.log(params=_params(context, session), tags={DESCRIPTION: describe(context.loaded.entry, None, log)})
    return log


def _tags(context: RunContext, session: Session) -> dict[str, str]:
    """What a person looks for first, then what the program looks for."""
    tags = {
        "vad.entry": context.plan.name,
        "vad.profile": context.loaded.profile,
        "vad.set": " ".join(context.loaded.overrides),
        "vad.variant_chosen_by": _chosen_by(context),
        "vad.metric": "average precision, pooled over all frames; 95 % interval by bootstrap over videos",
        **provenance(str(context.loaded.path)),
        "vad.pretrained": "yes" if context.plan.pretrained() else "",
        **session.force_tags,
        "vad.engine": context.request.engine,
        **context.data.tags(),
        "vad.train_digest": context.train_digest,
    }
    return {key: value for key, value in tags.items() if value}


def _chosen_by(context: RunContext) -> str:
    if context.plan.choose not in CHOICES:
        return "the entry, without any label"
    if context.labels is None:
        return "order in the entry"
    if context.plan.choose == BEST and context.data.labels:
        return "ap on the labelled test frames; its interval chooses again in each draw"
    return "proxy_ap on painted anomalies in training frames held out"


def _params(context: RunContext, session: Session) -> dict[str, object]:
    """Few and well named: what a person would sort and filter runs by. All of it is in resolved.yaml."""
    members = list(context.plan.members.values())
    recipes = [member.training for member in members if member.training]

    def each(values: Iterable[object]) -> str:
        return "/".join(dict.fromkeys(map(str, values))) or "-"

    return {
        "entry": context.plan.name,
        "profile": context.loaded.profile,
        "model": each(member.model for member in members),
        "input": each(member.input.name for member in members),
        "members": len(members),
        "sizes": each(context.plan.sizes()),
        "loss": each(_loss(recipe.loss) for recipe in recipes),
        "repair": each(repair.label for repair in context.plan.repair),
        "epochs": each(recipe.epochs for recipe in recipes),
        "lr": each(recipe.lr for recipe in recipes),
        "precision": each(for_training(recipe.precision, session.device) for recipe in recipes),
        "threads": limit(),
    }


def _loss(loss: str | Weighted) -> str:
    return loss if isinstance(loss, str) else "+".join(f"{weight:g} {name}" for name, weight in loss)


def log_results(context: RunContext, evaluation: Evaluation, members: Members, log: RunLog, session: Session) -> Result:
    """Log metrics, scores, files and pictures."""
    entry, best = context.loaded.entry, evaluation.best
    result = Result(
        context.plan.name,
        context.data.name,
        context.loaded.profile,
        context.data.metric,
        best,
        evaluation.measured,
        dict(entry.reference.variants),
        {name: member.run_id for name, member in members.items()},
        log.run_id,
        session.tracking.link(log.run_id, log.experiment_id),
        findings=findings(context, evaluation, log.place()),
    )
    tags = {DESCRIPTION: describe(entry, result, log, any(member.epochs for member in members.values()))}
    stated, of = reference_for(entry, best)
    if stated is not None:
        tags |= {"vad.reference_ap": f"{stated:.4f}", "vad.reference_of": of}
    if top := evaluation.measured[best]:
        # The description, which says it too, is below the fold of a laptop's screen.
        tags["vad.result"] = f"{best}: {headline(result.metric, top)}"
    tags["vad.transductive"] = "yes" if context.plan.variants[best].transductive(context.plan.streams) else "no"
    costs = _costs(members, session.tracking) | context.timing.metrics()
    log.log(_metrics(context, evaluation, stated, costs), {"best_variant": best}, tags)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        predictions = folder / f"predictions-{best}.csv"
        _write_files(context, evaluation, predictions, session)
        digest = sha256(predictions)
        write_pictures(context, evaluation, members, session, folder / "pictures")
        log.artifacts(folder, tags={"vad.predictions_sha256": digest})
    return result


def _metrics(
    context: RunContext, evaluation: Evaluation, reference: float | None, costs: dict[str, float]
) -> dict[str, float]:
    """All metrics of a run, in the order in which MLflow shows them."""
    metric, top = context.data.metric, evaluation.measured[evaluation.best]
    metrics = {metric: top.ap} if top else {}
    metrics |= {f"{metric}_low": top.low, f"{metric}_high": top.high} if top and top.has_interval else {}
    metrics |= {} if reference is None else {"reference_ap": reference}
    if top:
        metrics |= {"auc" if metric == "ap" else "proxy_auc": top.auc, "prevalence": top.prevalence}
    metrics |= costs | {f"{metric}.{name}": m.ap for name, m in evaluation.measured.items() if m}
    return metrics | ({} if metric == "proxy_ap" else _proxies(evaluation))


def _proxies(evaluation: Evaluation) -> dict[str, float]:
    """Each variant's proxy AP, and how well they rank the variants as AP does: Spearman's correlation."""
    proxies = evaluation.proxies
    metrics = {f"proxy_ap.{name}": ap for name, ap in proxies.items()}
    aps = {name: m.ap for name, m in evaluation.measured.items() if m and name in proxies}
    both = list(aps.values()), [proxies[name] for name in aps]
    if all(len(set(values)) > 1 for values in both):
        from scipy.stats import spearmanr  # 0.3 s, which the commands that score nothing save

        metrics["proxy_spearman"] = float(spearmanr(*both).statistic)
    return metrics


def _costs(members: Members, tracking: Tracking) -> dict[str, float]:
    """What all members cost, whichever run paid for it: seconds of training, MB of weights, frames/s to scores."""
    if not members:
        return {}
    costs = {
        "members_seconds": sum(member.seconds for member in members.values()),
        "megabytes": sum(member.weights.stat().st_size for member in members.values()) / 1e6,
    }
    rates = [tracking.get(member.run_id).metrics.get("score_frames_per_second") for member in members.values()]
    if all(rates):
        costs["frames_per_second"] = 1 / sum(1 / rate for rate in rates if rate)
    return costs


def _write_files(context: RunContext, evaluation: Evaluation, predictions: Path, session: Session) -> None:
    """A predictions file of the best variant; beside it the entry as written and as resolved, and the scores of all."""
    loaded, test, folder = context.loaded, evaluation.test.variants, predictions.parent
    (folder / "entry.yaml").write_text(loaded.source)
    resolved = {"name": context.plan.name, "profile": loaded.profile, "set": list(loaded.overrides)}
    (folder / "resolved.yaml").write_text(yaml.safe_dump({**resolved, **context.plan.settings()}, sort_keys=False))
    (folder / identity.FILE).write_text(json.dumps(identity.identity(context), indent=1))
    if any(name.startswith("blocks/") for name in context.plan.code()):  # `vad reproduce` runs with these
        blocks.copy_own(folder / "blocks")
    write_scores(predictions, context.data.index, test[evaluation.best])
    if (evidence := session.repair_evidence(context)) is not None:
        write_findings(folder / "repairs.csv", context.data.index, context.repairs, evidence)
    labels = context.data.labels.values if context.data.labels else None
    write_table(folder / score_table.TEST, ScoreTable(context.data.index, labels, test))
    if context.labels and not context.data.labels:
        painted = ScoreTable(context.labelled.index, context.labels.values, evaluation.labelled.variants)
        write_table(folder / score_table.PROXY, painted)


def log_members(context: RunContext, members: Members, scores: MemberScores, log: RunLog, session: Session) -> None:
    """Log a model for each member that was trained in this run's MLflow experiment, once, and its metrics, once each.

    A metric is the AP of one of its scores of the labelled frames before any step, as in `ap_alone.max`.
    """
    from sklearn.metrics import average_precision_score

    tracking, labels = session.tracking, context.labels
    if labels is None:
        return
    for name, member in members.items():
        run = tracking.get(member.run_id)
        if run.experiment_id != log.experiment_id:
            continue
        model = run.tags.get(_MODEL)
        known = tracking.model_metrics(model) if model else None
        metrics = {}
        for error in context.plan.scores(name):
            key = f"{context.data.metric}_alone.{error.label}"
            values = scores[name, error]
            scored = np.isfinite(values)
            if key not in (known or ()) and labels.values[scored].any():
                metrics[key] = float(average_precision_score(labels.values[scored], values[scored]))
        if metrics:
            model = model if known is not None else _log_model(member, run, tracking)
            tracking.reopen(run.run_id).log(metrics, tags={_MODEL: model}, model=model)


_MODEL = "vad.logged_model"


def _log_model(trained: TrainedMember, run: Found, tracking: Tracking) -> str:
    """A logged model of a member; its weights stay with the run."""
    member = trained.member
    params = {
        "entry": run.tags.get("vad.entry", ""),
        "profile": run.tags.get("vad.profile", ""),
        **{"scale": member.view.label, "group": member.group, "model": member.model, **dict(member.options)},
        **{"input": member.input.name},
        **({} if trained.epoch is None else {"seed": member.seed, "epoch": trained.epoch}),
    }
    model_id = str(tracking.begin_model(run.run_id, run.experiment_id, member.name, params, "member").model_id)
    tracking.client.finalize_logged_model(model_id, "READY")
    return model_id


def register(
    context: RunContext, evaluation: Evaluation, members: Members, result: Result, log: RunLog, session: Session
) -> Result:
    """Register the best variant that frames alone can give, let it stand for production, and say so in the run."""
    streams, variants = context.plan.streams, context.plan.variants
    number: str | None = None
    from_frames = [name for name in result.variants if not any(streams[s].file for s in variants[name].streams)]
    if not from_frames:
        said = "no model: every variant reads predictions files, which cannot score frames"
    elif (value := result.variants[from_frames[0]]) is None:
        said = "no model: without labels or held-out frames nothing says which variant is best (set holdout: 0.1)"
    else:
        name, versions = from_frames[0], Versions(session.tracking)
        whole = ensembles.Ensemble(
            {key: trained.member for key, trained in members.items()},
            {key: trained.weights for key, trained in members.items()},
            streams,
            name,
            variants[name],
            evaluation.test.fitted,
            context.repairs,
            {key: trained.calibration for key, trained in members.items() if trained.calibration},
        )
        chosen = ensembles.select(whole, name, variants[name])
        digest = ensembles.identity(chosen, context.member_digests)
        text = describe_version(context.loaded.entry, result, name, value, log)
        version, new = versions.register(log.run_id, chosen, digest, _version_tags(context, name, value), text)
        decision = Production(versions, session.home).consider(version)
        state = "registered as" if new else "is already"
        outcome = "now production" if decision.promote else "not promoted"
        said = f"{name} {state} {version.uri}; {outcome}: {decision.reason}"
        number = version.number
        log.tags(
            {
                "vad.version": version.number,
                "vad.decision": f"{'promoted' if decision.promote else 'refused'}: {decision.reason}",
            }
        )
    result = replace(result, version=number, registered=said)
    log.text(FILE, json.dumps(asdict(result), indent=2))
    return result


def _version_tags(context: RunContext, variant: str, value: Measured) -> dict[str, str]:
    return {
        "vad.entry": context.plan.name,
        "vad.variant": variant,
        "vad.value": f"{value.ap:.6f}",
        "vad.reference_ap": reference_text(context.loaded.entry, variant),
        "vad.interval": f"{value.low:.4f} to {value.high:.4f}",
        **context.data.tags(),
        "vad.profile": context.loaded.profile,
        **({"vad.trial": f"profile {context.loaded.profile}"} if context.brief else {}),
    }
