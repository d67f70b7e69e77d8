"""Two runs side by side: what differs between them, how surely one is better, and on which videos."""

from dataclasses import dataclass
from pathlib import Path

from registry.analysis.changes import FEW, as_lines, changes, identity_of, run_changes
from registry.analysis.choose import choose_run
from registry.console import difference_text, interval, number, table
from registry.runs.result import metric_name
from registry.store.score_table import ScoreTable, labelled_table, same_labels
from registry.store.tracking import Tracking
from vad.data.frame_index import Values
from vad.measures.metrics import CONFIDENCE, Difference, Measured, difference, sample, shortfall

_SHARE = (
    "share: what A's AP loses in a video less what B's loses there; the shares add up to the difference. AP is lost where a",
    "normal frame, of whichever video, scores as high as an anomalous one or higher: half by the video of each.",
)


@dataclass(frozen=True)
class Side:
    """One of the two: a run, the variant that is looked at, and its metric."""

    run_id: str
    entry: str
    variant: str
    figure: str  # `ap` or `proxy_ap`; so spelt in --json
    measured: Measured | None
    data: str  # the MLflow experiment: data set, metric, digest of the protocol


@dataclass(frozen=True)
class VideoShare:
    """One video: AP of each side where it has both kinds of frames. The shares of all videos add up to the difference."""

    video: int | str
    frames: int
    anomalous: int
    a: float | None
    b: float | None
    share: float


@dataclass(frozen=True)
class Comparison:
    """What sets B apart from A. `difference` is B less A; None where they were not measured on the same frames and labels."""

    a: Side
    b: Side
    entry: list[str]
    data: list[str]
    code: list[str]
    difference: Difference | None
    videos: list[VideoShare]
    why_not: str


def compare(a: str, b: str, home: Path) -> Comparison:
    """Compare two runs. Raises InputError where one of them does not exist."""
    tracking = Tracking()
    tracking.require_in_place(reading=True)
    chosen = [choose_run(name, tracking) for name in (a, b)]
    before, now = (identity_of(run, tracking, home) for run, _ in chosen)
    one, other = (labelled_table(tracking, run.run_id, home) for run, _ in chosen)
    measured: list[Measured | None] = [None, None]
    found, videos, why_not = None, [], ""
    if one is None or other is None:
        why_not = f"run {chosen[one is not None][0].run_id[:8]} has no labelled scores, or they are gone or altered"
    else:
        values = [table.variants[variant] for table, (_, variant) in zip((one, other), chosen, strict=True)]
        sampled = [
            sample(v, t.labels, t.index) for v, t in zip(values, (one, other), strict=True) if t.labels is not None
        ]
        measured = [s.measured for s in sampled]
        if same_labels(one, other):
            found, videos = difference(sampled[1], sampled[0]), _videos(one, *values)
        else:
            why_not = "they were measured on other frames or labels"
    a_side, b_side = (
        Side(
            run.run_id,
            run.tags.get("vad.entry", run.name),
            variant,
            run.tags.get("vad.figure", "ap"),
            metrics,
            run.experiment,
        )
        for (run, variant), metrics in zip(chosen, measured, strict=True)
    )
    entry, data, code = run_changes(before, now)
    if a_side.variant != b_side.variant:
        old, new = (side["plan"].get("variants", {}) for side in (before, now))
        how = changes(old.get(a_side.variant, {}), new.get(b_side.variant, {}))
        entry = [f"variant: {a_side.variant} -> {b_side.variant}", *(f"  {change}" for change in how), *entry]
    return Comparison(a_side, b_side, entry, data, code, found, videos, why_not)


def as_text(found: Comparison) -> str:
    """The comparison for a terminal."""
    names = [metric_name(side.figure) for side in (found.a, found.b)]
    name, rows = " or ".join(dict.fromkeys(names)), []
    for letter, side, own in zip("AB", (found.a, found.b), names, strict=True):
        m = side.measured
        metrics = [f"{own} {m.ap:.4f}" if name != own else f"{m.ap:.4f}", interval(m)] if m else ["-", "-"]
        rows.append([letter, side.entry, side.variant, *metrics, side.run_id[:8]])
    on = found.a.data if found.a.data == found.b.data else f"A on {found.a.data}, B on {found.b.data}"
    parts = [on, table(["", "experiment", "variant", name, f"{CONFIDENCE:.0%} interval", "run"], rows, right=(3,)), ""]
    parts += [*as_lines(found.entry, found.data, found.code, FEW), ""]
    if found.difference is None:
        return "\n".join([*parts, f"{name} cannot be compared: {found.why_not}."])
    body: list[list[object]] = [
        [v.video, v.frames, v.anomalous, number(v.a), number(v.b), f"{v.share:+z.4f}"]
        for v in sorted(found.videos, key=lambda v: -v.share)
    ]
    header = ["video", "frames", "anomalous", f"{name} of A", f"{name} of B", "share of the difference"]
    verdict = f"B less A  {difference_text(found.difference, name)}"
    return "\n".join([*parts, verdict, "", table(header, body, right=range(6)), "", *_SHARE])


def _videos(scores: ScoreTable, a: Values, b: Values) -> list[VideoShare]:
    from sklearn.metrics import average_precision_score

    labels = scores.labels
    assert labels is not None
    gained = shortfall(a, labels) - shortfall(b, labels)
    shares = []
    for span in scores.index.spans:
        inside = labels[span]
        mixed = inside.any() and not inside.all()
        own = [float(average_precision_score(inside, values[span])) if mixed else None for values in (a, b)]
        id = int(scores.index.video[span.start])
        video, share = scores.index.names.get(id, id), float(gained[span].sum())
        shares.append(VideoShare(video, len(inside), int(inside.sum()), own[0], own[1], share))
    return shares
