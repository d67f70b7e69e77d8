"""Two runs side by side: what differs between them, how surely one is better, and on which videos."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.analysis.changed import code_changes, data_changes, entry_changes, identity_of
from registry.analysis.choose import choose_run
from registry.analysis.differences import changes
from registry.console import table
from registry.store.score_table import ScoreTable, judged_table, same_judge
from registry.store.tracking import Tracking
from vad.data.frame_index import Values
from vad.measures.metrics import CONFIDENCE, Difference, Measured, difference, sample, shortfall

_FEW = 12
_SHARE = (
    "share: what A's AP loses in a video less what B's loses there; the shares add up to the difference. AP is lost where a",
    "normal frame, of whichever video, scores as high as an anomalous one or higher: half by the video of each.",
)


@dataclass(frozen=True)
class Side:
    """One of the two: a run, the variant that is looked at, and its figure."""

    run_id: str
    entry: str
    variant: str
    figure: str
    measured: Measured | None


@dataclass(frozen=True)
class VideoShare:
    """One video: AP of each side where it has both kinds of frames, and how much of the difference it makes.

    `share` is what its frames cost A less what they cost B (`vad.metrics.shortfall`); those of all videos add up to the
    difference.
    """

    video: int
    frames: int
    anomalous: int
    a: float | None
    b: float | None
    share: float


@dataclass(frozen=True)
class Comparison:
    """What sets B apart from A. `difference` is B less A; None where they were not judged by the same frames."""

    a: Side
    b: Side
    entry: list[str]
    data: list[str]
    code: list[str]
    difference: Difference | None
    videos: list[VideoShare]
    why_not: str


def compare(a: str, b: str, tracking: Tracking, home: Path) -> Comparison:
    """Set two runs side by side. Raises InputError where one of them is not there."""
    (run_a, variant_a), (run_b, variant_b) = choose_run(a, tracking), choose_run(b, tracking)
    before, now = identity_of(run_a, tracking, home), identity_of(run_b, tracking, home)
    one, other = judged_table(tracking, run_a.run_id, home), judged_table(tracking, run_b.run_id, home)
    found, videos, why_not = None, [], ""
    measured: list[Measured | None] = [None, None]
    if one is None or other is None:
        missing = run_a if one is None else run_b
        why_not = f"run {missing.run_id[:8]} has no labelled scores, or they are gone or altered"
    else:
        values = [scores.variants[variant] for scores, variant in ((one, variant_a), (other, variant_b))]
        sampled = [
            sample(v, t.labels, t.index) for v, t in zip(values, (one, other), strict=True) if t.labels is not None
        ]
        measured = [s.measured for s in sampled]
        if same_judge(one, other):
            found = difference(sampled[1], sampled[0])
            videos = _videos(one, values[0], values[1])
        else:
            why_not = "they were judged on other frames or labels, so their figures cannot be compared"
    sides = [
        Side(run.run_id, run.tags.get("vad.entry", run.name), variant, run.tags.get("vad.figure", "ap"), figure)
        for run, variant, figure in ((run_a, variant_a, measured[0]), (run_b, variant_b, measured[1]))
    ]
    told = _variant_change(before, now, variant_a, variant_b) + entry_changes(before, now)
    return Comparison(
        sides[0], sides[1], told, data_changes(before, now), code_changes(before, now), found, videos, why_not
    )


def as_text(found: Comparison) -> str:
    """The comparison for a terminal."""
    a, b = found.a, found.b
    name = "AP" if a.figure == "ap" else "proxy AP"
    rows = [
        [letter, side.entry, side.variant, *_figures(side.measured), side.run_id[:8]]
        for letter, side in (("A", a), ("B", b))
    ]
    parts = [table(["", "experiment", "variant", name, f"{CONFIDENCE:.0%} interval", "run"], rows, right=(3,)), ""]
    for title, lines in (("entry", found.entry), ("data", found.data), ("code", found.code)):
        parts.append(f"{title:<6} {'the same' if not lines else lines[0]}")
        parts += [f"       {line}" for line in lines[1:_FEW]]
        if len(lines) > _FEW:
            parts.append(f"       and {len(lines) - _FEW} more (--json has all)")
    parts.append("")
    if found.difference is None:
        return "\n".join([*parts, f"No difference in {name}: {found.why_not}."])
    parts.append(f"B less A  {_verdict(found.difference, name)}")
    if found.videos:
        body: list[list[object]] = [
            [v.video, v.frames, v.anomalous, _number(v.a), _number(v.b), f"{v.share:+z.4f}"]
            for v in sorted(found.videos, key=lambda v: -v.share)
        ]
        header = ["video", "frames", "anomalous", f"{name} of A", f"{name} of B", "share of the difference"]
        parts += ["", table(header, body, right=range(6))]
        parts += ["", *_SHARE]
    return "\n".join(parts)


def _verdict(found: Difference, name: str) -> str:
    if found.videos == 1:
        return f"{found.ap:+.4f} {name}; one video says nothing of others"
    judged = "B is better" if found.low > 0 else "A is better" if found.high < 0 else "undecided"
    interval = f"{CONFIDENCE:.0%} interval {found.low:+.4f} to {found.high:+.4f}"
    draws = f"paired bootstrap over {found.videos} videos, B ahead in {found.better:.0%} of the draws"
    return f"{found.ap:+.4f} {name}, {interval} ({draws}): {judged}"


def _videos(scores: ScoreTable, a: Values, b: Values) -> list[VideoShare]:
    labels = scores.labels
    assert labels is not None
    gained = shortfall(a, labels) - shortfall(b, labels)
    shares = []
    for span in scores.index.spans:
        inside = labels[span]
        mixed = inside.any() and not inside.all()
        own = [_ap(values[span], inside) if mixed else None for values in (a, b)]
        video, share = int(scores.index.video[span.start]), float(gained[span].sum())
        shares.append(VideoShare(video, len(inside), int(inside.sum()), own[0], own[1], share))
    return shares


def _ap(values: Values, labels: Any) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, values))


def _variant_change(before: dict[str, Any], now: dict[str, Any], a: str, b: str) -> list[str]:
    """How the two variants that are compared differ, where they go by other names."""
    if a == b:
        return []
    ways = [side["plan"].get("variants", {}).get(name, {}) for side, name in ((before, a), (now, b))]
    return [f"variant: {a} -> {b}", *(f"  {change}" for change in changes(*ways))]


def _figures(measured: Measured | None) -> list[str]:
    if measured is None:
        return ["-", "-"]
    return [f"{measured.ap:.4f}", f"{measured.low:.4f} to {measured.high:.4f}" if measured.videos > 1 else "-"]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
