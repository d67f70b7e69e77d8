"""What a run has shown, in sentences: which variant won, whether that is more than chance, where it failed."""

import numpy as np

from registry.console import plural
from registry.runs.context import RunContext
from registry.runs.evaluation import Evaluation
from registry.runs.result import figure_name
from vad.measures.metrics import difference, sample


def findings(context: RunContext, evaluation: Evaluation, place: str) -> tuple[str, ...]:
    """Return what a person learns from a run, a sentence a line; nothing where there are no labels to judge by.

    `place` says where the run's files are.
    """
    best, *others = evaluation.measured
    top, judge = evaluation.measured[best], context.judge
    if top is None or judge is None:
        return ()
    figure, videos = f"{figure_name(context.data.figure)} {top.ap:.4f}", plural(top.videos, "video")
    if not top.has_interval:
        chance = f"from {videos} nobody can say whether that is more than chance ({top.prevalence:.4f})"
    elif top.low > top.prevalence:
        chance = f"more than chance ({top.prevalence:.4f}), as even the low end of the interval lies above it"
    else:
        chance = f"no more than chance ({top.prevalence:.4f}), which lies in the interval or above it"
    lines = [f"found  {best} is best with {figure}: {chance}"]
    scores, index = evaluation.judged.variants, context.judged.index
    if others and top.has_interval:
        gain = difference(*(sample(scores[name], judge.values, index) for name in (best, others[0])))
        apart = "tell the two apart" if gain.low > 0 else "do not tell the two apart"
        lines.append(
            f"       {others[0]} follows, {gain.ap:.4f} lower [{gain.low:.4f}, {gain.high:.4f}]: {videos} {apart}"
        )
    values = scores[best]
    alarm = int(np.argmax(np.where(judge.values, -np.inf, values)))
    miss = int(np.argmin(np.where(judge.values, values, np.inf)))
    if values[miss] > values[alarm]:
        lines.append("failed nowhere: every anomalous frame scores above every normal one")
    else:
        worst = f"worst miss {index.ids[miss]} (score {values[miss]:.2f})"
        lines.append(f"failed {worst}, worst false alarm {index.ids[alarm]} (score {values[alarm]:.2f})")
        lines.append(f"       pictures: {place}/pictures/worst_frames.png, timelines.png")
    return tuple(lines)
