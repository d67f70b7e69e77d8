"""Maps measured on train frames: mean and deviation of each cell against NumPy, and scores of maps that are calibrated by them."""

import numpy as np
import pytest
import torch

from vad.catalog import Named
from vad.detectors.network_detector import NetworkScorer
from vad.detectors.networks import build
from vad.images.view import square
from vad.inputs import INPUTS
from vad.scoring.frame_scores import Way, calibrate, explain, score
from vad.scoring.reductions import MapScore

CPU = torch.device("cpu")
LEAST = 0.1  # of the mean deviation, what the deviation of a cell counts as at least
TOP = Named("top", (("count", 3),))


class Fixed:
    """A detector whose maps are given: (N, C, H, W) by kind. Passes are of five samples, the last one filled up."""

    def __init__(self, **maps):
        self._maps = {kind: torch.from_numpy(values).float() for kind, values in maps.items()}
        self.asked = []

    def pass_size(self, samples):
        return 5

    def run(self, samples, which):
        self.asked.append(which.tolist())
        return Made({kind: maps[torch.from_numpy(samples.scored[which].ravel())] for kind, maps in self._maps.items()})


class Made:
    def __init__(self, maps):
        self._maps = maps

    def map(self, kind):
        return self._maps[kind]

    def pictures(self, frame):
        return np.zeros((4, 4, 3), np.uint8), None


class Single:
    """Samples of one frame each."""

    def __init__(self, count):
        self.scored = np.arange(count)[:, None]

    def __len__(self):
        return len(self.scored)

    def settle(self):
        pass


@pytest.fixture
def maps():
    """Maps whose cells differ in how much happens there."""
    generator = np.random.default_rng(3)
    return generator.gamma(2, 1, (13, 2, 3, 4)) * generator.uniform(0.5, 4, (2, 3, 4)) + 3


def test_mean_and_deviation_of_each_cell_and_channel_are_numpys(maps):
    scorer, told = Fixed(distance=maps), []
    found = calibrate(scorer, Single(13), ["distance"], told.append)
    assert list(found) == ["distance"]
    values = found["distance"]
    assert (values.shape, values.dtype, values.device) == ((2, 2, 3, 4), torch.float32, CPU)
    # Maps come in single precision, as a detector gives them; no frame that fills up the last pass counts.
    maps = maps.astype(np.float32).astype(float)
    np.testing.assert_allclose(values[0], maps.mean(0), rtol=1e-6)
    np.testing.assert_allclose(values[1], maps.std(0), rtol=1e-5)
    assert scorer.asked[-1] == [10, 11, 12, 12, 12] and told == [5, 5, 3]


def test_a_cell_in_which_nothing_happens_counts_a_tenth_of_the_mean_deviation(maps):
    maps[:, 0, 1, 2] = 7
    maps[:, 1, 0, 0] = 7 + 1e-3 * (maps[:, 1, 0, 0] - 7)
    (mean, deviation) = calibrate(Fixed(distance=maps), Single(13), ["distance"])["distance"]
    least = LEAST * maps.std(0).mean()
    assert mean[0, 1, 2] == 7
    assert deviation[0, 1, 2] == deviation[1, 0, 0] == pytest.approx(least, rel=1e-4)
    assert (deviation >= 0.999 * least).all()
    others = np.ones(maps.shape[1:], bool)
    others[0, 1, 2] = others[1, 0, 0] = False
    np.testing.assert_allclose(deviation[others], np.maximum(maps.std(0), least)[others], rtol=1e-4)


def test_where_nothing_happens_at_all_scores_are_finite():
    still = np.full((6, 1, 2, 2), 5.0)
    calibration = calibrate(Fixed(distance=still), Single(6), ["distance"])
    wanted = MapScore("distance", Named("max"), calibrate=True)
    found = score(Way(Fixed(distance=still), calibration), Single(6), [wanted], 6)[wanted]
    assert found.tolist() == [0] * 6


def test_each_kind_of_map_is_measured_by_itself(maps):
    found = calibrate(Fixed(a=maps, b=maps[:, :1] * 2), Single(13), ["b", "a"])
    assert {kind: tuple(values.shape) for kind, values in found.items()} == {"a": (2, 2, 3, 4), "b": (2, 1, 3, 4)}
    np.testing.assert_allclose(found["b"][:, 0], 2 * found["a"][:, 0], rtol=1e-5)


def slow_scores(maps, mean, deviation, count):
    found = []
    for frame in maps:
        away = ((frame - mean) / deviation).mean(0).ravel()
        found.append(np.sort(away)[-count:].mean())
    return found


def test_a_calibrated_score_is_reduced_from_how_many_deviations_each_cell_is_away(maps):
    train, test = maps, maps[::-1] * 1.5
    calibration = calibrate(Fixed(distance=train), Single(13), ["distance"])
    wanted, plain = MapScore("distance", TOP, calibrate=True), MapScore("distance", TOP)
    found = score(Way(Fixed(distance=test), calibration), Single(13), [wanted, plain], 13)
    expected = slow_scores(test, train.mean(0), np.maximum(train.std(0), LEAST * train.std(0).mean()), 3)
    np.testing.assert_allclose(found[wanted], expected, rtol=1e-4)
    np.testing.assert_allclose(found[plain], slow_scores(test, 0, 1, 3), rtol=1e-5)


def test_a_busy_place_no_longer_hides_a_quiet_one():
    generator = np.random.default_rng(0)
    train = generator.normal(0, 1, (200, 1, 1, 2)) * (10, 0.5) + (30, 1)
    test = np.array(
        [[[[30.0, 1.0]]], [[[30.0, 4.0]]], [[[41.0, 1.0]]]]
    )  # usual, odd at the quiet place, a little at the busy
    calibration = calibrate(Fixed(distance=train), Single(200), ["distance"])
    wanted, plain = MapScore("distance", Named("max"), calibrate=True), MapScore("distance", Named("max"))
    found = score(Way(Fixed(distance=test), calibration), Single(3), [wanted, plain], 3)
    assert found[wanted].argmax() == 1 and found[plain].argmax() == 2


def test_what_is_shown_is_the_calibrated_map_behind_the_score(maps):
    calibration = calibrate(Fixed(distance=maps), Single(13), ["distance"])
    way = Way(Fixed(distance=maps), calibration)
    wanted = MapScore("distance", Named("mean"), calibrate=True)
    shown = explain(way, Single(13), wanted, "distance")
    scores = score(way, Single(13), [wanted], 13)[wanted]
    for frame in (0, 7, 12):
        assert shown(frame).map.mean() == pytest.approx(scores[frame], abs=1e-5)
    plain = explain(way, Single(13), MapScore("distance", Named("mean")), "distance")
    np.testing.assert_allclose(plain(7).map, maps[7].mean(0), rtol=1e-5)


@pytest.mark.parametrize(("kind", "error"), [("squared", "mean"), ("ssim", "ssim")])
def test_a_networks_maps_are_calibrated_like_any(index_of, kind, error):
    network = build("fully_conv_ae", INPUTS["rgb"]().shape(square(16)), {}, 1)
    frames = np.random.default_rng(0).integers(0, 256, (70, 16, 16, 3), np.uint8)
    samples = INPUTS["rgb"]().samples(frames, index_of(70), CPU)
    scorer = NetworkScorer(network, "fp32", CPU)
    calibration = calibrate(scorer, samples, [kind])
    plain, calibrated = MapScore(kind, Named("mean")), MapScore(kind, Named("mean"), calibrate=True)
    found = score(Way(scorer, calibration), samples, [plain, calibrated, Named(error)], 70)
    np.testing.assert_allclose(found[plain], found[Named(error)], rtol=1e-4)
    assert calibration[kind].shape == (2, 3, 16, 16)
    assert abs(found[calibrated].mean()) < 1e-4  # of the very frames that were measured
    assert found[calibrated].std() > 0


def test_a_calibrated_score_that_is_not_finite_names_its_frame(maps, refuses):
    calibration = calibrate(Fixed(distance=maps), Single(13), ["distance"])
    maps[8, 0, 0, 0] = np.nan
    wanted = MapScore("distance", Named("max"), calibrate=True)
    with refuses("the distance-calibrated-max score of frame 9 of 13 is not finite; train.precision=fp32 may help"):
        score(Way(Fixed(distance=maps), calibration), Single(13), [wanted], 13)
