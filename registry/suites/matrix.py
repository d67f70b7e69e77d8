"""The matrix of a suite: a row an entry and one variant, the same on all sets; ranks, worst case, intervals and ties.

Intervals are a bootstrap over whole videos within each set. A draw is the same for all rows, so that they are paired.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from registry.suites.cells import Cells
from vad.data.frame_index import Flags, FrameIndex, Values
from vad.measures import metrics
from vad.measures.metrics import DIGITS, LEAST_VIDEOS, Metric, drawn, drawn_videos, measured, middle

Interval = tuple[float, float]


@dataclass(frozen=True)
class Column:
    """A data set. Too few videos with an anomaly make no interval."""

    name: str
    place: str
    protocol: str
    frames: int
    videos: int
    anomalous_videos: int
    prevalence: float

    @property
    def has_interval(self) -> bool:
        return self.anomalous_videos >= LEAST_VIDEOS


@dataclass(frozen=True)
class CellValue:
    """A row's figure on one set, with its interval where the set makes one, and the run whose scores it is of."""

    value: float
    interval: Interval | None
    run_id: str


@dataclass(frozen=True)
class Row:
    """An entry and one variant. What compares rows is there for those that have a figure on every set.

    `behind` is what the worst case of the first row exceeds this one's by. `hindsight` says that labels chose the variant.
    Rows with `pretrained` weights, of other data, are compared with each other alone.
    """

    entry: str
    variant: str
    hindsight: bool
    cells: dict[str, CellValue]
    pretrained: bool = False
    rank: int | None = None
    tied: bool = False
    worst: float | None = None
    worst_on: str = ""
    worst_interval: Interval | None = None
    mean_rank: float | None = None
    rank_interval: Interval | None = None
    behind: float | None = None
    behind_interval: Interval | None = None


@dataclass(frozen=True)
class Missing:
    """A cell without a figure, why, and the command that fills it."""

    entry: str
    on: str
    why: str
    command: str


@dataclass(frozen=True)
class Matrix:
    """Rows, the best worst case first, behind them those with pretrained weights, and those that lack a set last.

    Profile and overrides are those of every run.
    """

    name: str
    metric: Metric
    profile: str
    overrides: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    missing: tuple[Missing, ...]


def matrix(cells: Cells) -> Matrix:
    """Measure and rank what was found of a suite."""
    suite = cells.suite
    columns, judges = [], {}
    for source, data in zip(suite.sources, cells.sets, strict=True):
        assert data.labels is not None
        labels, index = data.labels.values, data.index
        anomalous = sum(bool(labels[span].any()) for span in index.spans)
        counts = (len(labels), len(index.spans), anomalous, float(labels.mean()))
        column = Column(source.name, data.place, data.protocol(), *counts)
        columns.append(column)
        judges[source.name] = _Judge(labels, index, drawn_videos(labels, index) if column.has_interval else None)
    drawn_rows = [_row(entry, cells, judges) for entry in cells.declared]
    rows: list[Row] = []
    for pretrained in (False, True):
        whole = [one for one in drawn_rows if len(one[0].cells) == len(columns) and one[0].pretrained == pretrained]
        rows += _ranked(whole, [column.name for column in columns])
    rows += [row for row, _ in drawn_rows if len(row.cells) < len(columns)]
    missing = tuple(Missing(c.entry, c.source, c.why, c.command) for c in cells.found if c.scores is None)
    return Matrix(suite.name, suite.metric, suite.profile, suite.overrides, tuple(columns), tuple(rows), missing)


@dataclass(frozen=True, eq=False)
class _Judge:
    """The labels and frames of a column, and how often each draw has each of its videos; None without an interval."""

    labels: Flags
    index: FrameIndex
    counts: Values | None


def _row(entry: str, cells: Cells, judges: Mapping[str, _Judge]) -> tuple[Row, dict[str, Values]]:
    """An entry's row, not compared yet, and the draws of its figure by set: constant where the set makes no interval."""
    metric = cells.suite.metric
    found = {c.source: (c, c.scores.variants) for c in cells.found if c.entry == entry and c.scores}
    values: dict[str, dict[str, float]] = {}  # by variant and set
    for source, (_, scores) in found.items():
        for variant, given in scores.items():
            values.setdefault(variant, {})[source] = measured(metric, given, judges[source].labels)
    common = {variant: of for variant, of in values.items() if len(of) == len(found)}
    chosen = declared = cells.declared[entry]
    if common and declared not in common:
        chosen = max(common, key=lambda variant: min(common[variant].values()))
    if chosen not in common:
        return Row(entry, chosen or "", False, {}), {}
    row_cells, draws = {}, {}
    for source, (cell, scores) in found.items():
        value, judge = common[chosen][source], judges[source]
        draws[source], interval = np.full(metrics.RESAMPLES, value), None
        if judge.counts is not None:
            draws[source] = drawn(metric, scores[chosen], judge.labels, judge.index, judge.counts)
            interval = middle(draws[source])
        row_cells[source] = CellValue(value, interval, cell.run_id)
    pretrained = any(cell.pretrained for cell, _ in found.values())
    return Row(entry, chosen, chosen != declared, row_cells, pretrained), draws


def _ranked(whole: Sequence[tuple[Row, Mapping[str, Values]]], names: Sequence[str]) -> list[Row]:
    """Compare rows that have a figure on every set, the best worst case first.

    A row ties with the first of its rank where the interval of the difference of their worst cases reaches 0.
    """
    from scipy.stats import rankdata

    if not whole:
        return []
    rows = [row for row, _ in whole]
    values = np.asarray([[row.cells[name].value for name in names] for row in rows])
    draws = np.asarray([[of[name] for name in names] for _, of in whole])  # rows, sets, draws
    worst, worst_draws = values.min(axis=1), draws.min(axis=1)
    rank = rankdata(-values.round(DIGITS), axis=0).mean(axis=1)
    rank_draws = rankdata(-draws.round(DIGITS), axis=0).mean(axis=1)
    several = any(cell.interval for row in rows for cell in row.cells.values())

    def spread(of: Values) -> Interval | None:
        return middle(of) if several else None

    order = np.lexsort((rank, -worst))
    first, ranked = order[0], list[Row]()
    for position, at in enumerate(order, 1):
        gap = spread((worst_draws[first] - worst_draws[at]).round(DIGITS))
        if gap[0] > 0 if gap else worst[at] < worst[first]:
            first = at
        ranked.append(
            replace(
                rows[at],
                rank=position if at == first else ranked[-1].rank,
                worst=float(worst[at]),
                worst_on=names[int(values[at].argmin())],
                # A set without an interval never varies.
                worst_interval=middle(worst_draws[at]) if np.ptp(worst_draws[at]) > 0 else None,
                mean_rank=float(rank[at]),
                rank_interval=spread(rank_draws[at]),
                behind=float(worst[order[0]] - worst[at]),
                behind_interval=spread(worst_draws[order[0]] - worst_draws[at]),
            )
        )
    count = Counter(row.rank for row in ranked)
    return [replace(row, tied=count[row.rank] > 1) for row in ranked]
