"""The pictures: that they are made for ordinary and odd runs, stay the same, and mark the right frames."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from registry.pictures import (
    WorstFrame,
    loss_curves,
    precision_recall,
    timelines,
    variant_bars,
    worst_frames,
    worst_positions,
)
from registry.pictures.frames import APART
from registry.pictures.style import DPI, WIDTH
from vad.data.frame_index import FrameIndex, Values
from vad.detectors.training.trainer import Epoch
from vad.measures.metrics import Measured, measure


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    """A layout that does not fit is no more than a warning to matplotlib."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def index_of(*lengths: int, first: int = 0) -> FrameIndex:
    video = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    frame = np.concatenate([np.arange(first, first + length) for length in lengths])
    return FrameIndex(video.astype(np.int64), frame.astype(np.int64))


def scores_of(index: FrameIndex, seed: int = 0) -> Values:
    return np.random.default_rng(seed).random(len(index))


def some(labels: int, index: FrameIndex) -> np.ndarray:
    """The first `labels` frames of all are anomalous."""
    return np.arange(len(index)) < labels


def picture(path: Path) -> np.ndarray:
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    image = cv2.imread(str(path))
    assert image is not None
    assert image.shape[1] == WIDTH * DPI == 1800
    assert image.min() < 100, "nothing was drawn"
    return image


MEASURED = Measured(ap=0.5, low=0.4, high=0.6, auc=0.7, prevalence=0.2, frames=100, videos=5)


class TestWorstPositions:
    def test_the_highest_normal_and_the_lowest_anomalous_come_worst_first(self) -> None:
        index = index_of(100)
        scores, labels = np.full(100, 0.5), np.zeros(100, bool)
        labels[50:] = True
        scores[[10, 30]] = 0.8, 0.9
        scores[[60, 90]] = 0.2, 0.1
        alarms, misses = worst_positions(index, scores, labels, count=2)
        assert alarms == [30, 10]
        assert misses == [90, 60]

    def test_a_frame_that_outranks_all_of_the_other_kind_is_no_error(self) -> None:
        scores, labels = np.asarray([0.1, 0.6, 0.5, 0.9]), np.asarray([False, False, True, True])
        assert worst_positions(index_of(1, 1, 1, 1), scores, labels) == ([1], [2])
        assert worst_positions(index_of(1, 1, 1, 1), np.sort(scores), labels) == ([], [])

    def test_two_of_a_kind_keep_their_distance_and_the_nearest_that_may_is_taken(self) -> None:
        index = index_of(60)
        scores = np.arange(60) / 60
        alarms, misses = worst_positions(index, scores, np.zeros(60, bool))
        assert alarms == [59, 59 - APART, 59 - 2 * APART, 59 - 3 * APART]
        assert misses == []

    def test_distance_counts_within_a_video_alone(self) -> None:
        scores = np.asarray([0.1, 0.9, 0.8, 0.2])
        alarms, _ = worst_positions(index_of(2, 2), scores, np.zeros(4, bool))
        assert alarms == [1, 2]

    def test_distance_is_in_frame_numbers_not_in_places(self) -> None:
        index = FrameIndex(np.asarray([1, 1, 1]), np.asarray([0, 14, 15]))
        alarms, _ = worst_positions(index, np.asarray([0.9, 0.8, 0.7]), np.zeros(3, bool))
        assert alarms == [0, 2]

    def test_a_false_alarm_does_not_keep_a_miss_away(self) -> None:
        assert worst_positions(index_of(2), np.asarray([0.9, 0.1]), np.asarray([False, True])) == ([0], [1])

    def test_ten_at_most_and_ties_go_to_the_first(self) -> None:
        index = index_of(400)
        alarms, _ = worst_positions(index, np.full(400, 0.3), np.zeros(400, bool))
        assert alarms == [APART * place for place in range(10)]


class TestTimelines:
    @pytest.mark.parametrize(
        ("lengths", "labelled"),
        [((40,), True), ((1,), True), ((1,), False), ((30, 1, 20), True), ((30,) * 5, False), ((12,) * 21, True)],
    )
    def test_any_number_of_videos(self, tmp_path: Path, lengths: tuple[int, ...], labelled: bool) -> None:
        index = index_of(*lengths, first=3)
        variants = {"max": scores_of(index), "mean": scores_of(index, 1) * 1e-4}
        timelines(tmp_path / "t.png", index, variants, "max", some(5, index) if labelled else None)
        picture(tmp_path / "t.png")

    @pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
    def test_constant_scores(self, tmp_path: Path, value: float) -> None:
        index = index_of(20, 10)
        variants = {"flat": np.full(30, value), "other": scores_of(index), "flat_too": np.zeros(30)}
        timelines(tmp_path / "t.png", index, variants, "flat", some(5, index))
        picture(tmp_path / "t.png")

    @pytest.mark.parametrize("share", [0, 30])
    def test_labels_all_alike(self, tmp_path: Path, share: int) -> None:
        index = index_of(20, 10)
        timelines(tmp_path / "t.png", index, {"max": scores_of(index)}, "max", some(share, index))
        picture(tmp_path / "t.png")

    def test_missing_frames_and_a_long_name(self, tmp_path: Path) -> None:
        index = FrameIndex(np.ones(6, np.int64), np.asarray([0, 1, 2, 500, 900, 901]))
        name = "a_name_as_long_as_a_name_of_a_variant_may_be_sixty_letters_x"
        timelines(tmp_path / "t.png", index, {name: scores_of(index), "max": scores_of(index, 1)}, name, None)
        picture(tmp_path / "t.png")

    def test_labels_are_shaded_and_the_same_numbers_give_the_same_bytes(self, tmp_path: Path) -> None:
        index = index_of(50, 50)
        variants = {"max": scores_of(index)}
        timelines(tmp_path / "plain.png", index, variants, "max", None)
        timelines(tmp_path / "one.png", index, variants, "max", some(20, index))
        with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "yellow"}):  # someone's matplotlibrc
            timelines(tmp_path / "two.png", index, variants, "max", some(20, index))
        orange = np.asarray([178, 226, 247])  # E69F00 at 30 %, as OpenCV orders it
        shaded = [
            int((np.abs(picture(tmp_path / name).astype(int) - orange).max(axis=2) <= 3).sum())
            for name in ("plain.png", "one.png")
        ]
        assert shaded[0] < 100 < 10_000 < shaded[1]
        assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


class TestPrecisionRecall:
    @pytest.mark.parametrize("lengths", [(60,), (40, 1, 30)])
    @pytest.mark.parametrize("flat", [True, False])
    def test_is_drawn(self, tmp_path: Path, lengths: tuple[int, ...], flat: bool) -> None:
        index = index_of(*lengths)
        scores = np.ones(len(index)) if flat else scores_of(index)
        labels = some(10, index)
        precision_recall(tmp_path / "p.png", scores, labels, index, measure(scores, labels, index))
        picture(tmp_path / "p.png")

    def test_a_light_band_shows_the_interval_and_one_video_has_none(self, tmp_path: Path) -> None:
        index, alone = index_of(20, 20, 20), index_of(60)
        scores, labels = scores_of(index), np.arange(60) % 4 == 0
        blue = np.asarray([241, 229, 209])  # 0072B2 at 18 %, as OpenCV orders it
        found = []
        for name, of in (("band.png", index), ("none.png", alone)):
            precision_recall(tmp_path / name, scores, labels, of, measure(scores, labels, of))
            image = picture(tmp_path / name).astype(int)
            found.append(int((np.abs(image - blue).max(axis=2) <= 4).sum()))
        assert found[1] == 0 and found[0] > 30_000

    def test_nearly_all_are_anomalous(self, tmp_path: Path) -> None:
        index = index_of(20, 20)
        labels = some(39, index)
        scores = scores_of(index)
        precision_recall(tmp_path / "p.png", scores, labels, index, measure(scores, labels, index))
        picture(tmp_path / "p.png")


class TestLossCurves:
    @staticmethod
    def epochs(*losses: float) -> list[Epoch]:
        return [Epoch(number, loss, 2e-4, 1.0) for number, loss in enumerate(losses, 1)]

    def test_groups_seeds_and_kept_epochs(self, tmp_path: Path) -> None:
        curves = {f"{group}-{seed}": self.epochs(0.3, 0.1, 0.2) for group in "abcdefghi" for seed in range(7)}
        loss_curves(tmp_path / "l.png", curves, {})
        loss_curves(tmp_path / "kept.png", curves, kept={"a-0": 2, "b-1": 99, "gone-1": 1})
        assert not np.array_equal(picture(tmp_path / "l.png"), picture(tmp_path / "kept.png"))

    @pytest.mark.parametrize(
        "curves",
        [
            {"ae-42": [0.5]},
            {"ae-42": [0.5, 0.5, 0.5]},
            {"ae-42": [0.0, 0.0]},
            {"ae-42": [0.012, 0.0121], "ae-123": [0.0122, 0.0]},
            {"two-words-42": [1e3, 1e-6], "plain": [1.0]},
        ],
    )
    def test_odd_curves(self, tmp_path: Path, curves: dict[str, list[float]]) -> None:
        loss_curves(tmp_path / "l.png", {name: self.epochs(*losses) for name, losses in curves.items()}, {})
        picture(tmp_path / "l.png")


class TestVariantBars:
    @pytest.mark.parametrize("count", [1, 8, 30])
    @pytest.mark.parametrize("reference", [{}, {"v0": 0.63, "unknown": 0.9}])
    def test_any_number_of_variants(self, tmp_path: Path, count: int, reference: dict[str, float]) -> None:
        variant_bars(tmp_path / "b.png", {f"v{i}": MEASURED for i in range(count)}, "v0", reference, "AP")
        picture(tmp_path / "b.png")

    def test_the_order_given_does_not_matter(self, tmp_path: Path) -> None:
        better = Measured(**{**vars(MEASURED), "ap": 0.55})
        variant_bars(tmp_path / "one.png", {"good": better, "less": MEASURED}, "good", {}, "AP (holdout)")
        variant_bars(tmp_path / "two.png", {"less": MEASURED, "good": better}, "good", {}, "AP (holdout)")
        assert np.array_equal(picture(tmp_path / "one.png"), picture(tmp_path / "two.png"))

    def test_values_at_the_ends_an_interval_beside_the_value_and_one_video(self, tmp_path: Path) -> None:
        odd = [(1.0, 1.0, 1.0, 5), (0.0, 0.0, 0.0, 5), (0.5, 0.6, 0.7, 5), (0.5, 0.5, 0.5, 1)]
        for ap, low, high, videos in odd:
            measured = Measured(ap=ap, low=low, high=high, auc=0.5, prevalence=0.2, frames=9, videos=videos)
            variant_bars(
                tmp_path / "b.png", {"a_variant_with_a_name_longer_than_thirty": measured}, "another", {}, "AP"
            )
            picture(tmp_path / "b.png")


class TestWorstFrames:
    @staticmethod
    def row(height: int, width: int, error: float = 1.0) -> WorstFrame:
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return WorstFrame("1_17   score 0.912   normal", noise, noise // 2, np.full((height, width), error))

    @pytest.mark.parametrize(("count", "size"), [(1, (64, 64)), (3, (36, 64)), (7, (36, 64)), (8, (64, 64))])
    def test_any_number_of_rows(self, tmp_path: Path, count: int, size: tuple[int, int]) -> None:
        worst_frames(tmp_path / "w.png", [self.row(*size)] * count)
        picture(tmp_path / "w.png")

    def test_no_error_anywhere_and_sizes_that_differ(self, tmp_path: Path) -> None:
        worst_frames(tmp_path / "w.png", [self.row(64, 64, 0.0), self.row(128, 128, 0.0)])
        picture(tmp_path / "w.png")


def test_the_module_needs_neither_pytorch_nor_a_tracking_client_nor_a_display() -> None:
    modules = "torch", "mlflow", "click", "yaml", "matplotlib.pyplot"
    code = f"import sys, registry.pictures; print([name for name in {modules} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
