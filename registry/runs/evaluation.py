"""From trained members to the scores of every variant: how good they are, what that shows, and pictures of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from registry.console import Bar, detail, plural, rank_nothing
from registry.entries.entry import BEST, PROXY
from registry.runs.context import RunContext, Subset
from registry.runs.members import Members, TrainedMember
from registry.runs.result import OVERVIEW, metric_name
from registry.runs.session import Session
from vad.data.frame_index import Values
from vad.detectors.kinds import make_detector
from vad.measures.metrics import Measured, Sampled, chosen_again, difference, sample
from vad.scoring.frame_scores import calibrate, explain, score
from vad.scoring.pipeline import MemberScores, Outcome, Scored, run_pipeline
from vad.scoring.reductions import FrameScore


@dataclass(frozen=True)
class Evaluation:
    """Every variant's scores of each target, and its AP with draws, None where there are no labels; the chosen variant first.

    `labelled` are the scores of `RunContext.labelled`. `proxies` is each variant's AP on painted anomalies where the entry chooses by them.
    """

    outcomes: Sequence[Outcome]
    sampled: dict[str, Sampled | None]
    labelled: Outcome
    proxies: Mapping[str, float]

    @property
    def best(self) -> str:
        return next(iter(self.sampled))

    @property
    def measured(self) -> dict[str, Measured | None]:
        return {name: found and found.measured for name, found in self.sampled.items()}

    @property
    def test(self) -> Outcome:
        return self.outcomes[0]


def calibrated(context: RunContext, members: Members, session: Session) -> dict[str, TrainedMember]:
    """Return members with the calibration of the maps that scores need: from the store, else measured and stored now."""
    ready = dict(members)
    for name, trained in members.items():
        kinds, normal = context.plan.calibrated_maps(name), context.normal
        if kinds and normal is not None:
            known = session.store.calibration(trained, normal.digest)
            if any(kind not in known for kind in kinds):
                samples = session.samples(trained.member, normal)
                with Bar(f"calibrate {name}", len(samples)) as bar:
                    known = calibrate(trained.way(session.device, leave_out=True).scorer, samples, kinds, bar.advance)
                session.store.keep_calibration(trained, normal.digest, known)
            ready[name] = replace(trained, calibration=known)
    return ready


def score_targets(context: RunContext, members: Members, session: Session) -> tuple[list[Scored], Scored | None]:
    """Each target's scores by member, and those of train frames where steps need them: from the store, else computed and stored now."""
    targets = []
    for target in context.targets:
        files = context.files if target.name == "test" else {}  # score files cover the test frames only
        targets.append(Scored(target.index, _scores(context, members, target, session), files))
    if context.normal is None or not (train := _scores(context, members, context.normal, session)):
        return targets, None
    return targets, Scored(context.normal.index, train)


def _scores(context: RunContext, members: Members, subset: Subset, session: Session) -> MemberScores:
    """Return the scores of these frames by member and score."""
    found: dict[tuple[str, FrameScore], Values] = {}
    for name, trained in members.items():
        if not (wanted := context.plan.scores(name, of_train=subset is context.normal)):
            continue
        seen = context.scores_digest(name, subset)
        stored = {score: session.store.scores(trained, seen, score) for score in wanted}
        known = {score: values for score, values in stored.items() if values is not None}
        reused = f"{len(known)} of {plural(len(wanted), 'score')}"
        detail(f"{name}: {reused} of the {subset.name} frames reused from run {trained.run_id}")
        if missing := [score for score in wanted if score not in known]:
            started = time.perf_counter()
            known |= _score(trained, missing, subset, session, leave_out=subset is context.normal)
            seconds = max(time.perf_counter() - started, 1e-9)
            context.timing.add("score", seconds, len(subset.index))
            session.store.keep_scores(trained, seen, {one: known[one] for one in missing}, len(subset.index) / seconds)
        found |= {(name, score): values for score, values in known.items()}
    return found


def _score(
    trained: TrainedMember, scores: Sequence[FrameScore], subset: Subset, session: Session, *, leave_out: bool
) -> dict[FrameScore, Values]:
    member, samples = trained.member, session.samples(trained.member, subset)
    what = f"score {member.name}" + ("" if subset.name == "test" else f" ({subset.name})")
    with Bar(what, len(samples), member.shape().unit) as bar:
        way = trained.way(session.device, leave_out=leave_out)
        return score(way, samples, scores, len(subset.index), bar.advance)


def fuse(context: RunContext, targets: Sequence[Scored], train: Scored | None) -> list[Outcome]:
    """Every variant's scores of each target. Variants that read a file are left out where files do not cover the frames."""
    outcomes = []
    for scored in targets:
        streams = {name: s for name, s in context.plan.streams.items() if not s.file or name in scored.files}
        variants = {name: v for name, v in context.plan.variants.items() if streams.keys() >= set(v.streams)}
        outcomes.append(run_pipeline(streams, variants, scored, train))
    return outcomes


def evaluate(context: RunContext, outcomes: Sequence[Outcome]) -> Evaluation:
    """Measure every variant that there are labels for, and put the chosen one first, then the others by AP."""
    sampled: dict[str, Sampled | None] = dict.fromkeys(context.plan.variants)
    labelled, choose = outcomes[context.labelled_at], context.plan.choose
    if context.labels is not None:
        labels, index = context.labels.values, context.labelled.index
        sampled |= {name: sample(scores, labels, index) for name, scores in labelled.variants.items()}
    proxies = _proxies(context, outcomes[-1]) if choose == PROXY else {}
    order = sorted(sampled, key=lambda name: -(found.measured.ap if (found := sampled[name]) else -1.0))
    if choose == PROXY:
        order.sort(key=lambda name: -proxies.get(name, 0.0))
    elif choose != BEST:
        order.remove(choose)
        order.insert(0, choose)
    found = {name: sampled[name] for name in order}
    if choose == BEST and (best := found[order[0]]):
        found[order[0]] = chosen_again(best, [one for one in found.values() if one])
    return Evaluation(outcomes, found, labelled, proxies)


def _proxies(context: RunContext, outcome: Outcome) -> dict[str, float]:
    """Each variant's AP on painted anomalies."""
    from sklearn.metrics import average_precision_score

    if context.painted is None:
        return {}
    labels = context.painted.values
    return {name: float(average_precision_score(labels, scores)) for name, scores in outcome.variants.items()}


def findings(context: RunContext, evaluation: Evaluation, place: str) -> tuple[str, ...]:
    """Return what a run whose files are at `place` shows, a sentence a line; nothing where there are no labels."""
    best, labels = evaluation.best, context.labels
    if flat := rank_nothing(evaluation.test.variants[best]):
        return (f"found  nothing: of {best} {flat}; does this experiment suit such frames?",)
    (first, second, *_) = (*evaluation.sampled.values(), None)
    if first is None or labels is None:
        return ()
    top = first.measured
    metric, videos = f"{metric_name(context.data.metric)} {top.ap:.4f}", plural(top.videos, "video")
    if not top.has_interval:
        chance = f"{videos} give{'s' if top.videos == 1 else ''} no interval, so nothing shows whether that is better than chance ({top.chance:.4f})"
    elif top.low > top.chance:
        chance = f"better than chance ({top.chance:.4f}), as even the low end of the interval lies above it"
    else:
        chance = (
            f"not shown to be better than chance ({top.chance:.4f}), as the low end of the interval is not above it"
        )
    choose = context.plan.choose
    chosen = {BEST: "is best with", PROXY: "is best on painted anomalies; it has"}.get(
        choose, "is the entry's choice; it has"
    )
    lines = [f"found  {best} {chosen} {metric}: {chance}"]
    told = [(name, rank_nothing(scores)) for name, scores in evaluation.test.variants.items()]
    lines += [f"       {name}: {useless}" for name, useless in told if useless]
    if second and top.has_interval:
        other, gain = list(evaluation.sampled)[1], difference(first, second)
        apart = "tell the two apart" if gain.low > 0 or gain.high < 0 else "do not tell the two apart"
        if choose == BEST:
            said = f"{other} follows, {gain.ap:.4f} lower [{gain.low:.4f}, {gain.high:.4f}]"
        else:
            said = f"{other} is the best of the others: {-gain.ap:+z.4f} [{-gain.high:+z.4f}, {-gain.low:+z.4f}]"
        lines.append(f"       {said}: {videos} {apart}")
    values, index = evaluation.labelled.variants[best], context.labelled.index
    alarm = int(np.argmax(np.where(labels.values, -np.inf, values)))
    miss = int(np.argmin(np.where(labels.values, values, np.inf)))
    if values[miss] > values[alarm]:
        lines.append("worst  none: every anomalous frame scores above every normal one")
    else:
        worst = f"miss {index.ids[miss]} (score {values[miss]:.2f})"
        lines.append(f"worst  {worst}, false alarm {index.ids[alarm]} (score {values[alarm]:.2f})")
        lines.append(f"       pictures: {place}/pictures/worst_frames.png, timelines.png")
    return tuple(lines)


_WORST = 8


def write_pictures(
    context: RunContext, evaluation: Evaluation, members: Members, session: Session, folder: Path
) -> None:
    """Draw scores, metrics and losses, and the frames that the best variant got most wrong."""
    from registry import pictures

    folder.mkdir()
    data, best, scores = context.data, evaluation.best, evaluation.test.variants
    labels = data.labels.values if data.labels else None
    pictures.timelines(folder / "timelines.png", data.index, scores, best, labels)
    measured = {name: m for name, m in evaluation.measured.items() if m is not None}
    if context.labels is not None and measured:
        values, index = evaluation.labelled.variants[best], context.labelled.index
        path = folder / "precision_recall.png"
        pictures.precision_recall(path, values, context.labels.values, index, measured[best])
        reference = dict(context.loaded.entry.reference.variants)
        pictures.variant_bars(folder / "variants.png", measured, best, reference, metric_name(data.metric))
    if curves := {name: member.epochs for name, member in members.items() if member.epochs}:
        kept = {name: members[name].epoch or 0 for name in curves}
        pictures.loss_curves(folder / "losses.png", curves, kept)
    if rows := _worst_frames(context, evaluation, members, session):
        pictures.worst_frames(folder / "worst_frames.png", rows)
    pictures.overview(folder / OVERVIEW, data.index, scores[best], best, labels)


def _worst_frames(context: RunContext, evaluation: Evaluation, members: Members, session: Session) -> list[Any]:
    """The worst false alarms and misses, as the largest member of the best variant saw them; the highest scores where there are none."""
    from registry import pictures

    streams = [context.plan.streams[name] for name in context.plan.variants[evaluation.best].streams]
    known = [members[name] for stream in streams for name in stream.members]
    if not known:
        return []
    scores, index = evaluation.test.variants[evaluation.best], context.data.index
    labels = context.data.labels.values if context.data.labels else np.zeros(len(scores), bool)
    alarms, misses = pictures.worst_positions(index, scores, labels, _WORST // 2) if labels.any() else ([], [])
    wrong = {**dict.fromkeys(alarms, "false alarm, "), **dict.fromkeys(misses, "miss, ")}
    chosen = list(wrong) or pictures.worst_positions(index, scores, np.zeros(len(scores), bool), _WORST)[0]
    largest = max(known, key=lambda trained: trained.member.view.height * trained.member.view.width)
    samples = session.samples(largest.member, context.targets[0])
    shown, default = context.plan.scores(largest.member.name)[0], make_detector(largest.member).maps[0]
    explained = explain(largest.way(session.device), samples, shown, default)
    rows = []
    for position in chosen:
        if found := explained(position):
            title = f"{index.ids[position]}: {wrong.get(position, '')}score {scores[position]:.2f}"
            rows.append(pictures.WorstFrame(title, found.seen, found.made, found.map))
    return rows
