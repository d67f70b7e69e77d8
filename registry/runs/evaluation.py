"""From trained members to the scores of every variant: how good they are, what that shows, and pictures of them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from registry.console import Bar, detail, plural
from registry.runs.context import RunContext, Session, Subset
from registry.runs.members import Members, TrainedMember
from registry.runs.result import OVERVIEW, figure_name
from vad.catalog import Named
from vad.data.frame_index import Values
from vad.measures.metrics import Measured, Sampled, difference, sample
from vad.scoring.frame_scores import error_maps, score
from vad.scoring.pipeline import MemberScores, Outcome, run_pipeline


@dataclass(frozen=True)
class Evaluation:
    """Every variant's scores of each target, and its AP with draws, None where there are no labels; the best variant first."""

    outcomes: Sequence[Outcome]
    sampled: dict[str, Sampled | None]

    @property
    def best(self) -> str:
        return next(iter(self.sampled))

    @property
    def measured(self) -> dict[str, Measured | None]:
        return {name: found and found.measured for name, found in self.sampled.items()}

    @property
    def test(self) -> Outcome:
        return self.outcomes[0]

    @property
    def judged(self) -> Outcome:
        """The scores of `RunContext.judged`."""
        return self.outcomes[-1]


def score_targets(context: RunContext, members: Members, session: Session) -> list[MemberScores]:
    """Each target's scores by member and error: those in the store, and the missing ones, computed and stored now."""
    scores: list[MemberScores] = []
    for target in context.targets:
        found: dict[tuple[str, Named], Values] = {}
        for name, member in members.items():
            errors = context.plan.errors(name)
            stored = {error: session.store.scores(member, target.digest, error) for error in errors}
            known = {error: v for error, v in stored.items() if v is not None and len(v) == len(target.index)}
            detail(
                f"{name}: scores of the {target.name} frames for {len(known)} of {plural(len(errors), 'error')} are in run {member.run_id}"
            )
            if missing := [error for error in errors if error not in known]:
                started = time.perf_counter()
                known |= _score(member, missing, target, session)
                context.timing.add("score", time.perf_counter() - started, len(target.index))
            found |= {(name, error): values for error, values in known.items()}
        scores.append(found)
    return scores


def _score(known: TrainedMember, errors: Sequence[Named], target: Subset, session: Session) -> dict[Named, Values]:
    """Score frames under these errors, and keep the scores with the member's run."""
    member, count = known.member, len(target.index)
    network, samples = known.network(), session.samples(member, target)
    what = f"score {member.name}" + ("" if target.name == "test" else f" ({target.name})")
    unit = f"{member.kind_of_input().shape(member.size).kind}s"
    with Bar(what, len(samples), unit) as bar:
        started = time.perf_counter()
        scores = score(network, samples, errors, count, member.training.precision, session.device, bar.advance)
        rate = count / max(time.perf_counter() - started, 1e-9)
    session.store.keep_scores(known, target.digest, scores, rate)
    return scores


def fuse(context: RunContext, scores: Sequence[MemberScores]) -> list[Outcome]:
    """Every variant's scores of each target. Score files cover the test frames only, so variants that read one are left out for other targets."""
    outcomes = []
    for target, member_scores in zip(context.targets, scores, strict=True):
        files = context.files if target.name == "test" else {}
        streams = {name: s for name, s in context.plan.streams.items() if not s.file or name in files}
        variants = {name: v for name, v in context.plan.variants.items() if streams.keys() >= set(v.streams)}
        outcomes.append(run_pipeline(streams, variants, member_scores, files, target.index))
    return outcomes


def evaluate(context: RunContext, outcomes: Sequence[Outcome]) -> Evaluation:
    """Measure every variant that the judge has labels for, and put the best first."""
    sampled: dict[str, Sampled | None] = dict.fromkeys(context.plan.variants)
    if context.judge is not None:
        labels, index = context.judge.values, context.judged.index
        sampled |= {name: sample(scores, labels, index) for name, scores in outcomes[-1].variants.items()}
    order = sorted(sampled, key=lambda name: -(found.measured.ap if (found := sampled[name]) else -1.0))
    return Evaluation(outcomes, {name: sampled[name] for name in order})


def findings(context: RunContext, evaluation: Evaluation, place: str) -> tuple[str, ...]:
    """Return what a run whose files are at `place` shows, a sentence a line; nothing where there are no labels to judge by."""
    best, judge = evaluation.best, context.judge
    (first, second, *_) = (*evaluation.sampled.values(), None)
    if first is None or judge is None:
        return ()
    top = first.measured
    figure, videos = f"{figure_name(context.data.figure)} {top.ap:.4f}", plural(top.videos, "video")
    if not top.has_interval:
        chance = (
            f"{videos} give no interval, so nothing shows whether that is better than chance ({top.prevalence:.4f})"
        )
    elif top.low > top.prevalence:
        chance = f"better than chance ({top.prevalence:.4f}), as even the low end of the interval lies above it"
    else:
        chance = (
            f"not shown to be better than chance ({top.prevalence:.4f}), as the low end of the interval is not above it"
        )
    lines = [f"found  {best} is best with {figure}: {chance}"]
    if second and top.has_interval:
        follower, gain = list(evaluation.sampled)[1], difference(first, second)
        apart = "tell the two apart" if gain.low > 0 else "do not tell the two apart"
        lines.append(
            f"       {follower} follows, {gain.ap:.4f} lower [{gain.low:.4f}, {gain.high:.4f}]: {videos} {apart}"
        )
    values, index = evaluation.judged.variants[best], context.judged.index
    alarm = int(np.argmax(np.where(judge.values, -np.inf, values)))
    miss = int(np.argmin(np.where(judge.values, values, np.inf)))
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
    """Draw scores, figures and losses, and the frames that the best variant got most wrong."""
    from registry import pictures

    folder.mkdir()
    data, best, scores = context.data, evaluation.best, evaluation.test.variants
    labels = data.labels.values if data.labels else None
    pictures.timelines(folder / "timelines.png", data.index, scores, best, labels)
    measured = {name: m for name, m in evaluation.measured.items() if m is not None}
    if context.judge is not None and measured:
        judged, index = evaluation.judged.variants[best], context.judged.index
        path = folder / "precision_recall.png"
        pictures.precision_recall(path, judged, context.judge.values, index, measured[best])
        reference = dict(context.loaded.entry.reference.variants)
        pictures.variant_bars(folder / "variants.png", measured, best, reference, figure_name(data.figure))
    if members:
        curves = {name: member.epochs for name, member in members.items()}
        kept = {name: member.epoch for name, member in members.items()}
        pictures.loss_curves(folder / "losses.png", curves, kept)
    if rows := _worst_frames(context, evaluation, members, session):
        pictures.worst_frames(folder / "worst_frames.png", rows)
    pictures.overview(folder / OVERVIEW, data.index, scores[best], best, labels)


def _worst_frames(context: RunContext, evaluation: Evaluation, members: Members, session: Session) -> list[Any]:
    """False alarms and misses with labels, else the highest scores, as the largest member of the best variant saw them."""
    from registry import pictures

    streams = [context.plan.streams[name] for name in context.plan.variants[evaluation.best].streams]
    known = [members[name] for stream in streams for name in stream.members]
    if not known:
        return []
    scores, index = evaluation.test.variants[evaluation.best], context.data.index
    labels = context.data.labels.values if context.data.labels else np.zeros(len(scores), bool)
    most = _WORST // 2 if context.data.labels else _WORST
    alarms, misses = pictures.worst_positions(index, scores, labels, most)
    largest = max(known, key=lambda trained: trained.member.size)
    samples = session.samples(largest.member, context.targets[0])
    error_map = error_maps(largest.network(), samples, largest.member.training.precision, session.device)
    rows = []
    for position in [*alarms, *misses] if context.data.labels else alarms:
        if maps := error_map(position):
            what = "" if not context.data.labels else "miss, " if labels[position] else "false alarm, "
            title = f"{index.ids[position]}: {what}score {scores[position]:.2f}"
            rows.append(pictures.WorstFrame(title, *(values.numpy() for values in maps)))
    return rows
