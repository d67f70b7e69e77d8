"""A suite's matrix of figures: ranks, worst case, paired intervals, ties, and the variant of a row."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from registry.entries.entry import Entry
from registry.store.score_table import ScoreTable
from registry.suites import report
from registry.suites.cells import Cell, Cells, declared_variant
from registry.suites.matrix import matrix
from registry.suites.suite import Source, Suite
from vad.data.frame_index import FrameIndex


class Board:
    """Two data sets of six videos, and cells that are added one by one."""

    def __init__(self, figure="auc", anomalous=(5, 4)):
        self.suite = Suite("two", tuple(Source(n, n, None, None, n) for n in ("a", "b")), (), "full", (), figure)
        self.index, self.labels, self.cells, self.declared = {}, {}, [], {}
        for name, count, start in zip(("a", "b"), anomalous, (0, 50), strict=True):
            index = FrameIndex(np.repeat(range(6), 40), np.tile(np.arange(start, start + 40), 6))
            self.index[name] = index
            self.labels[name] = (index.video < count) & (index.frame % 50 >= 15) & (index.frame % 50 < 30)

    def scores(self, name, strength, seed=0):
        labels = self.labels[name]
        return np.random.default_rng(seed).normal(0, 1, len(labels)) + strength * labels

    def add(self, entry, a=None, b=None, declared="v"):
        """An entry's scores by variant on each set; None where it was not run."""
        self.declared[entry] = declared
        for name, variants in (("a", a), ("b", b)):
            if variants is None:
                self.cells.append(Cell(entry, name, None, why="not run yet", command=f"vad run {entry}"))
            else:
                table = ScoreTable(self.index[name], self.labels[name], variants)
                self.cells.append(Cell(entry, name, table, f"{entry}-{name}"))

    def matrix(self):
        sets = [
            SimpleNamespace(labels=SimpleNamespace(values=self.labels[n]), index=self.index[n], place=n, protocol=str)
            for n in ("a", "b")
        ]
        return matrix(Cells(self.suite, tuple(sets), tuple(self.cells), self.declared))


@pytest.mark.parametrize(("figure", "by"), [("auc", roc_auc_score), ("ap", average_precision_score)])
def test_figures_worst_case_and_mean_rank(figure, by):
    board = Board(figure)
    strength = {"one": (3.0, 1.0), "two": (2.0, 2.0), "three": (0.1, 1.5)}
    given = {e: {n: board.scores(n, s) for n, s in zip("ab", both, strict=True)} for e, both in strength.items()}
    for entry, scores in given.items():
        board.add(entry, {"v": scores["a"]}, {"v": scores["b"]})
    found = board.matrix()
    rows = {row.entry: row for row in found.rows}
    for entry, scores in given.items():
        for name in "ab":
            value, (low, high) = rows[entry].cells[name].value, rows[entry].cells[name].interval
            assert value == pytest.approx(by(board.labels[name], scores[name])) and low < value < high
        assert rows[entry].worst == min(cell.value for cell in rows[entry].cells.values())
        low, high = rows[entry].worst_interval
        assert low < rows[entry].worst < high
    assert [row.entry for row in found.rows] == ["two", "one", "three"], "the best worst case first"
    assert {entry: row.mean_rank for entry, row in rows.items()} == {"one": 2.0, "two": 1.5, "three": 2.5}
    assert rows["one"].worst_on == "b" and rows["three"].worst_on == "a"
    assert rows["one"].behind == pytest.approx(rows["two"].worst - rows["one"].worst)


def test_ties_are_of_paired_draws():
    board = Board()
    base = {name: board.scores(name, 1.0) for name in "ab"}
    noise = {name: 0.2 * board.scores(name, 0.0, seed=9) for name in "ab"}
    board.add("base", *({"v": base[name]} for name in "ab"))
    board.add("same", *({"v": base[name] + noise[name] / 20} for name in "ab"))
    # Less than the width of an interval, but in each draw the same way.
    board.add("less", *({"v": base[name] - 0.35 * board.labels[name]} for name in "ab"))
    rows = {row.entry: row for row in board.matrix().rows}
    assert rows["base"].rank == rows["same"].rank == 1 and rows["base"].tied and rows["same"].tied
    assert rows["less"].rank == 3 and not rows["less"].tied
    assert rows["less"].worst_interval[1] > rows["base"].worst_interval[0], "their own intervals overlap"
    assert rows["less"].behind_interval[0] > 0


def test_equal_figures_share_a_mean_rank_and_tie():
    board = Board()
    for entry in ("one", "other"):
        board.add(entry, *({"v": board.scores(name, 1.0)} for name in "ab"))
    one, other = board.matrix().rows
    assert one.mean_rank == other.mean_rank == 1.5 and one.rank_interval == (1.5, 1.5)
    assert one.tied and other.tied and one.rank == other.rank == 1


def test_a_row_is_one_variant_on_all_sets_and_says_if_labels_chose_it():
    board = Board()
    strong, weak = ({name: board.scores(name, s) for name in "ab"} for s in (3.0, 0.5))
    # Each variant is best on one set; `even` has the best worst case.
    variants = {"first": (strong["a"], weak["b"]), "second": (weak["a"], strong["b"])}
    variants["even"] = tuple(board.scores(name, 1.5) for name in "ab")
    a, b = ({variant: both[side] for variant, both in variants.items()} for side in (0, 1))
    board.add("declares", a, b, declared="first")
    board.add("chooses", a, b, declared=None)
    board.add("declared another", a, b, declared="gone")
    rows = {row.entry: row for row in board.matrix().rows}
    assert (rows["declares"].variant, rows["declares"].hindsight) == ("first", False)
    assert (rows["chooses"].variant, rows["chooses"].hindsight) == ("even", True)
    assert rows["declared another"].hindsight
    text = report.as_text(board.matrix())
    assert "even*" in text and "first*" not in text and "chosen in hindsight" in text


def test_a_set_with_few_anomalous_videos_makes_no_interval():
    board = Board(anomalous=(5, 2))
    for entry, strength in (("one", 2.0), ("other", 1.0)):
        board.add(entry, *({"v": board.scores(name, strength)} for name in "ab"))
    found = board.matrix()
    assert all(row.cells["a"].interval and row.cells["b"].interval is None for row in found.rows)
    assert found.rows[0].worst_interval
    text = report.as_text(found)
    assert "no interval from sets with fewer than 3 videos with an anomaly: b (2)" in text and "too narrow" in text

    board = Board(anomalous=(2, 1))
    for entry, strength in (("one", 2.0), ("other", 1.0)):
        board.add(entry, *({"v": board.scores(name, strength)} for name in "ab"))
    found = board.matrix()
    assert all(row.worst_interval is None and not row.tied for row in found.rows)
    assert [row.rank for row in found.rows] == [1, 2]


def test_a_row_without_all_sets_is_shown_last_and_not_ranked():
    board = Board()
    board.add("half", {"v": board.scores("a", 5.0)}, None)
    board.add("never")
    board.add("whole", *({"v": board.scores(name, 1.0)} for name in "ab"))
    found = board.matrix()
    assert [row.entry for row in found.rows] == ["whole", "half", "never"]
    assert found.rows[0].rank == 1 and found.rows[0].mean_rank == 1.0
    assert found.rows[1].worst is None and found.rows[1].rank is None and set(found.rows[1].cells) == {"a"}
    text = report.as_text(found)
    assert "half on b: not run yet" in text and "\n  vad run half" in text and "3 cells missing" in text


def test_rows_with_pretrained_weights_have_a_ranking_of_their_own():
    board = Board()
    for entry, strength in (("one", 1.0), ("other", 0.5), ("features", 4.0)):
        board.add(entry, *({"v": board.scores(name, strength)} for name in "ab"))
    assert "pretrained" not in report.as_text(board.matrix())
    board.cells = [replace(cell, pretrained=cell.entry == "features") for cell in board.cells]
    found = board.matrix()
    assert [(row.entry, row.rank, row.mean_rank) for row in found.rows] == [
        ("one", 1, 1.0),
        ("other", 2, 2.0),
        ("features", 1, 1.0),
    ]
    assert found.rows[0].behind == found.rows[2].behind == 0
    text = report.as_text(found)
    assert "a ranking of their own" in text and [line.split()[-1] for line in text.splitlines()[4:7]] == [
        "no",
        "no",
        "yes",
    ]


@pytest.mark.parametrize(
    ("reference", "variants", "choose", "expected"),
    [
        ({}, ["only"], "best", "only"),
        ({}, ["x", "y"], "best", None),
        ({}, ["x", "y"], "proxy", None),
        ({}, ["x", "y"], "x", "x"),
        ({"ap": 0.6, "variants": {"x": 0.5, "y": 0.6}}, ["x", "y"], "best", "y"),
        ({"ap": 0.6, "variants": {"x": 0.5, "y": 0.6}}, ["x", "y"], "x", "x"),
        ({"ap": 0.6, "variants": {"gone": 0.6}}, ["x", "y"], "best", None),
    ],
)
def test_the_variant_that_an_entry_declares(reference, variants, choose, expected):
    streams = {"s": {"scores": "file.csv"}}
    about = {"name": "e", "hypothesis": "", "reference": reference, "streams": streams, "choose": choose}
    entry = Entry.model_validate({**about, "variants": {name: {"stream": "s"} for name in variants}})
    assert declared_variant(entry) == expected
