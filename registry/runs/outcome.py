"""What a run found, made into figures, tables, pictures and a registered version."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from registry.data.datasets import labels_place
from registry.entries.entry import Entry
from registry.models.gate import consider
from registry.models.versions import Versions
from registry.runs import identity
from registry.runs.identity import write_identity
from registry.runs.members import Known
from registry.runs.work import Work
from registry.store import score_table
from registry.store.score_table import ScoreTable, write_table
from registry.store.tracking import Found, RunLog, Tracking
from vad import ensemble as ensembles
from vad.files import sha256
from vad.frames.store import Frames
from vad.metrics import Measured, measure
from vad.pipeline import Outcome
from vad.scores import write_scores
from vad.scoring import error_map
from vad.weights import fit_weights, load_tensors

_WORST = 8
_RESULTS = "results.json"


@dataclass(frozen=True)
class Result:
    """A finished run as it is shown: its variants best first, where it is, what was registered."""

    entry: str
    data: str
    profile: str
    figure: str
    best: str
    variants: dict[str, Measured | None]
    reference: dict[str, float]
    members: dict[str, str]
    run_id: str
    link: str
    version: str | None = None
    registered: str = ""


def log_outcome(
    work: Work,
    outcomes: Mapping[str, Outcome],
    known: Mapping[str, Known],
    maps: Mapping[str, Mapping[int, Frames]],
    log: RunLog,
    device: torch.device,
    tracking: Tracking,
) -> Result:
    """Measure every variant, choose the best, and log figures, scores and pictures."""
    entry, figure = work.loaded.entry, work.data.figure
    judged = outcomes["test" if work.data.labels else "proxy"] if work.judge else None
    measured: dict[str, Measured | None] = dict.fromkeys(work.plan.variants)
    if judged is not None and work.judge is not None:
        index = work.data.index if work.data.labels else work.targets[-1].index
        measured |= {n: measure(scores, work.judge.values, index) for n, scores in judged.variants.items()}
    order = sorted(measured, key=lambda name: -(m.ap if (m := measured[name]) else -1.0))
    best = order[0]
    result = Result(
        work.plan.name,
        work.data.name,
        work.loaded.profile,
        figure,
        best,
        {name: measured[name] for name in order},
        dict(entry.reference.variants),
        {name: member.run_id for name, member in known.items()},
        log.run_id,
        tracking.link(log.run_id, log.experiment_id),
    )
    metrics = work.seconds.metrics()
    # What the members cost, whichever run paid for it.
    metrics["members_seconds"] = sum(member.seconds for member in known.values())
    for name, found in measured.items():
        if found is not None:
            metrics[f"{figure}.{name}"] = found.ap
    if top := measured[best]:
        about = {figure: top.ap, f"{figure}_low": top.low, f"{figure}_high": top.high}
        metrics |= {**about, "auc" if work.data.labels else "proxy_auc": top.auc, "prevalence": top.prevalence}
    log.metrics(metrics)
    log.params({"best_variant": best})
    log.describe(describe(entry, result))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_texts(work, outcomes, result, folder)
        log.tags({"vad.predictions_sha256": sha256(folder / predictions_file(best))})
        _write_pictures(work, outcomes["test"], judged, result, known, maps, device, folder / "pictures")
        log.artifacts(folder)
    return result


def register(
    work: Work, outcome: Outcome, known: Mapping[str, Known], log: RunLog, tracking: Tracking, result: Result
) -> Result:
    """Register the best variant that frames alone can give, let it stand for production, and say so in the run."""
    from_frames = [
        n for n in result.variants if not any(work.plan.streams[s].file for s in work.plan.variants[n].streams)
    ]
    if not from_frames:
        said = "no model: every variant reads predictions files, which cannot score frames"
    elif (value := result.variants[from_frames[0]]) is None:
        said = "no model: without labels or held-out frames nothing says which variant is best (set holdout: 0.1)"
    else:
        name, versions = from_frames[0], Versions(tracking)
        weights = {member: item.weights for member, item in known.items()}
        chosen = ensembles.select(
            work.plan.members, work.plan.streams, name, work.plan.variants[name], outcome.fitted, weights
        )
        digest = ensembles.identity(chosen, {member: item.digest for member, item in known.items()})
        tags = {
            "vad.entry": work.plan.name,
            "vad.variant": name,
            "vad.figure": result.figure,
            "vad.value": f"{value.ap:.6f}",
            "vad.interval": f"{value.low:.4f} to {value.high:.4f}",
            "vad.protocol": work.data.protocol(),
            "vad.data": work.data.place,
            "vad.data_name": work.data.name,
            "vad.labels": labels_place(work.data),
            "vad.test_digest": work.data.test_digest,
            "vad.profile": work.loaded.profile,
        }
        text = (
            f"`{name}` of `{work.plan.name}` on `{work.data.name}`: {_figure(result.figure)} {_with_interval(value)}."
        )
        version, new = versions.register(log.run_id, chosen, digest, tags, text)
        decision = consider(version, versions, tracking, work.request.home)
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
        path = Path(temporary) / _RESULTS
        path.write_text(json.dumps(asdict(result), indent=2))
        log.artifact(path)
    return result


def present(result: Result, versions: Versions) -> Result:
    """A stored result with what is true of its version now: aliases move after a run has ended."""
    if result.version is None:
        return result
    production = versions.alias("production")
    state = "production" if production and production.number == result.version else "not production"
    if production and production.number != result.version:
        state += f", which is version {production.number}"
    return replace(result, registered=f"{result.best} is version {result.version} of the registered model; {state}")


def stored_result(tracking: Tracking, run: Found, home: Path) -> Result | None:
    """What a finished run found, from its own record."""
    path = tracking.fetch(run.run_id, _RESULTS, home / "fetched" / run.run_id)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text())
        content["variants"] = {n: Measured(**m) if m else None for n, m in content["variants"].items()}
        return Result(**content)
    except (ValueError, TypeError, KeyError):
        return None


def predictions_file(variant: str) -> str:
    """The artifact that holds a variant's predictions as they could be submitted."""
    return f"predictions-{variant}.csv"


def describe(entry: Entry, result: Result | None) -> str:
    """A run's description in Markdown: hypothesis, reference, result."""
    lines = [f"**Hypothesis.** {entry.hypothesis}", ""]
    if entry.reference.ap is not None:
        lines += [f"**Reference.** {entry.reference.ap:.4f} AP ({entry.reference.source or 'source not named'})", ""]
    if result is not None and (top := result.variants[result.best]):
        lines += [f"**Result.** `{result.best}`: {_figure(result.figure)} {_with_interval(top)}", ""]
        lines += [f"| variant | {_figure(result.figure)} | 95 % interval | reference |", "|---|---|---|---|"]
        for name, m in result.variants.items():
            if m is not None:
                known = f"{result.reference[name]:.4f}" if name in result.reference else ""
                lines.append(f"| {name} | {m.ap:.4f} | {m.low:.4f} to {m.high:.4f} | {known} |")
    return "\n".join(lines)


def _figure(name: str) -> str:
    return "AP" if name == "ap" else "proxy AP"


def _with_interval(m: Measured) -> str:
    return f"{m.ap:.4f} [{m.low:.4f}, {m.high:.4f}]"


def _write_texts(work: Work, outcomes: Mapping[str, Outcome], result: Result, folder: Path) -> None:
    """The entry as written and as resolved, the scores of every variant, and a predictions file of the best."""
    (folder / "entry.yaml").write_text(work.loaded.source)
    resolved: dict[str, Any] = {
        "name": work.plan.name,
        "profile": work.loaded.profile,
        "set": list(work.loaded.overrides),
    }
    (folder / "resolved.yaml").write_text(yaml.safe_dump({**resolved, **work.plan.settings()}, sort_keys=False))
    write_identity(folder / identity.FILE, work)
    index, variants = work.data.index, outcomes["test"].variants
    write_scores(folder / predictions_file(result.best), index, variants[result.best])
    labels = work.data.labels.values if work.data.labels else None
    write_table(folder / score_table.TEST, ScoreTable(index, labels, variants))
    if "proxy" in outcomes and work.judge is not None:
        painted = ScoreTable(work.targets[-1].index, work.judge.values, outcomes["proxy"].variants)
        write_table(folder / score_table.PROXY, painted)


def _write_pictures(
    work: Work,
    outcome: Outcome,
    judged: Outcome | None,
    result: Result,
    known: Mapping[str, Known],
    maps: Mapping[str, Mapping[int, Frames]],
    device: torch.device,
    folder: Path,
) -> None:
    from registry import pictures

    folder.mkdir()
    labels = work.data.labels.values if work.data.labels else None
    pictures.timelines(folder / "timelines.png", work.data.index, outcome.variants, result.best, labels)
    all_measured = {name: m for name, m in result.variants.items() if m is not None}
    if judged is not None and work.judge is not None and all_measured:
        best = judged.variants[result.best]
        index = work.data.index if work.data.labels else work.targets[-1].index
        top = all_measured[result.best]
        pictures.precision_recall(folder / "precision_recall.png", best, work.judge.values, index, top)
        name = _figure(result.figure)
        pictures.variant_bars(folder / "variants.png", all_measured, result.best, result.reference, name)
    if known:
        curves = {name: member.epochs for name, member in known.items()}
        kept = {name: member.epoch for name, member in known.items()}
        pictures.loss_curves(folder / "losses.png", curves, kept)
        if rows := _worst_frames(work, outcome, result, known, maps, device):
            pictures.worst_frames(folder / "worst_frames.png", rows)


def _worst_frames(
    work: Work,
    outcome: Outcome,
    result: Result,
    known: Mapping[str, Known],
    maps: Mapping[str, Mapping[int, Frames]],
    device: torch.device,
) -> list[Any]:
    """False alarms and misses with labels, else the highest scores, as the largest member of the best variant saw them."""
    from registry import pictures

    streams = [work.plan.streams[name] for name in work.plan.variants[result.best].streams]
    members = [known[name] for stream in streams for name in stream.members]
    if not members:
        return []
    scores, index = outcome.variants[result.best], work.data.index
    labels = work.data.labels.values if work.data.labels else None
    if labels is None:
        chosen, _ = pictures.worst_positions(index, scores, np.zeros(len(scores), bool), _WORST)
    else:
        alarms, misses = pictures.worst_positions(index, scores, labels, _WORST // 2)
        chosen = [*alarms, *misses]
    seen = max(members, key=lambda item: item.member.size)
    member = seen.member
    network = member.build()
    state, _ = load_tensors(seen.weights)
    fit_weights(network, state, str(seen.weights))
    samples = member.kind_of_input().samples(maps["test"][member.size], index, device)
    rows = []
    for position in chosen:
        if maps_of_frame := error_map(network, samples, position, member.training.precision, device):
            what = "" if labels is None else "miss, " if labels[position] else "false alarm, "
            title = f"{index.ids[position]}: {what}score {scores[position]:.2f}"
            rows.append(pictures.WorstFrame(title, *(values.numpy() for values in maps_of_frame)))
    return rows
