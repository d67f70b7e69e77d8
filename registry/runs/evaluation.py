"""What a run found, measured and logged: figures, tables, pictures."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from registry.runs import identity
from registry.runs.context import RunContext
from registry.runs.description import describe, reference_for, write_pictures
from registry.runs.identity import write_identity
from registry.runs.members import TrainedMember
from registry.runs.result import Result
from registry.store import score_table
from registry.store.runlog import DESCRIPTION, RunLog
from registry.store.score_table import ScoreTable, write_table
from registry.store.tracking import Found, Tracking
from vad.data.tables import write_scores
from vad.frames.store import Frames
from vad.measures.metrics import Measured, measure
from vad.scoring.pipeline import Outcome
from vad.system.files import sha256


def log_outcome(
    context: RunContext,
    outcomes: Mapping[str, Outcome],
    known: Mapping[str, TrainedMember],
    maps: Mapping[str, Mapping[int, Frames]],
    log: RunLog,
    device: torch.device,
    tracking: Tracking,
) -> Result:
    """Measure every variant, choose the best, and log figures, scores and pictures."""
    entry, figure = context.loaded.entry, context.data.figure
    judged = outcomes["test" if context.data.labels else "proxy"] if context.judge else None
    measured: dict[str, Measured | None] = dict.fromkeys(context.plan.variants)
    if judged is not None and context.judge is not None:
        index = context.data.index if context.data.labels else context.targets[-1].index
        measured |= {n: measure(scores, context.judge.values, index) for n, scores in judged.variants.items()}
    order = sorted(measured, key=lambda name: -(m.ap if (m := measured[name]) else -1.0))
    best = order[0]
    result = Result(
        context.plan.name,
        context.data.name,
        context.loaded.profile,
        figure,
        best,
        {name: measured[name] for name in order},
        dict(entry.reference.variants),
        {name: member.run_id for name, member in known.items()},
        log.run_id,
        tracking.link(log.run_id, log.experiment_id),
    )
    runs = {name: tracking.get(member.run_id) for name, member in known.items()}
    stated, of = reference_for(entry, best)
    metrics: dict[str, float] = {}  # MLflow shows them in this order
    tags = {DESCRIPTION: describe(entry, result, log)}
    if top := measured[best]:
        metrics |= {figure: top.ap, f"{figure}_low": top.low, f"{figure}_high": top.high}
    if stated is not None:
        metrics["reference_ap"] = stated
        tags |= {"vad.reference_ap": f"{stated:.4f}", "vad.reference_of": of}
    if top:
        metrics |= {"auc" if context.data.labels else "proxy_auc": top.auc, "prevalence": top.prevalence}
    metrics |= _costs(known, runs) | context.seconds.metrics()
    metrics |= {f"{figure}.{name}": found.ap for name in order if (found := measured[name])}
    log.log(metrics, {"best_variant": best}, tags)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_texts(context, outcomes, result, folder)
        written = sha256(folder / predictions_file(best))
        write_pictures(context, outcomes["test"], judged, result, known, maps, device, folder / "pictures")
        log.artifacts(folder, tags={"vad.predictions_sha256": written})
    return result


def _costs(known: Mapping[str, TrainedMember], runs: Mapping[str, Found]) -> dict[str, float]:
    """What all members cost, whichever run paid for it: seconds of training, MB of weights, frames/s to scores."""
    if not known:
        return {}
    costs = {
        "members_seconds": sum(member.seconds for member in known.values()),
        "megabytes": sum(member.weights.stat().st_size for member in known.values()) / 1e6,
    }
    rates = [run.metrics.get("score_frames_per_second") for run in runs.values()]
    if all(rates):
        costs["frames_per_second"] = 1 / sum(1 / rate for rate in rates if rate)
    return costs


def predictions_file(variant: str) -> str:
    """The artifact that holds a variant's predictions as they could be submitted."""
    return f"predictions-{variant}.csv"


def _write_texts(context: RunContext, outcomes: Mapping[str, Outcome], result: Result, folder: Path) -> None:
    """The entry as written and as resolved, the scores of every variant, and a predictions file of the best."""
    (folder / "entry.yaml").write_text(context.loaded.source)
    resolved: dict[str, Any] = {
        "name": context.plan.name,
        "profile": context.loaded.profile,
        "set": list(context.loaded.overrides),
    }
    (folder / "resolved.yaml").write_text(yaml.safe_dump({**resolved, **context.plan.settings()}, sort_keys=False))
    write_identity(folder / identity.FILE, context)
    index, variants = context.data.index, outcomes["test"].variants
    write_scores(folder / predictions_file(result.best), index, variants[result.best])
    labels = context.data.labels.values if context.data.labels else None
    write_table(folder / score_table.TEST, ScoreTable(index, labels, variants))
    if "proxy" in outcomes and context.judge is not None:
        painted = ScoreTable(context.targets[-1].index, context.judge.values, outcomes["proxy"].variants)
        write_table(folder / score_table.PROXY, painted)
