"""From maps to one number a frame: each reduction against a loop over cells, and the scores that name them."""

import numpy as np
import pytest
import torch

from vad.catalog import Named
from vad.detectors.networks import ERRORS
from vad.detectors.networks.reconstruction_errors import MAPS
from vad.scoring.reductions import REDUCTIONS, MapScore, code_of


def maps_of(count=3, channels=2, height=7, width=10):
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(width)) - 0.3


def cells_of(frame):
    """Means over channels, of each cell."""
    channels = frame.tolist()
    return [
        [sum(channel[y][x] for channel in channels) / len(channels) for x in range(frame.shape[2])]
        for y in range(frame.shape[1])
    ]


def slow_top(frame, count):
    largest = sorted((value for row in cells_of(frame) for value in row), reverse=True)[:count]
    return sum(largest) / len(largest)


def slow_patch(frame, size):
    rows = cells_of(frame)
    found = []
    for top in range(0, len(rows), size):
        for left in range(0, len(rows[0]), size):
            inside = [value for row in rows[top : top + size] for value in row[left : left + size]]
            found.append(sum(inside) / len(inside))
    return max(found)


def reduced(maps, name, **options):
    return REDUCTIONS.make(REDUCTIONS.named(name, options), maps)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 12, 12), (2, 7, 10), (1, 4, 33)])
def test_mean_and_max_are_of_all_channels_and_cells(shape):
    maps = maps_of(4, *shape)
    np.testing.assert_allclose(reduced(maps, "mean"), [np.mean(frame.double().numpy()) for frame in maps], rtol=1e-5)
    assert reduced(maps, "max").tolist() == [float(frame.max()) for frame in maps]


@pytest.mark.parametrize("count", [1, 2, 9, 70, 71, 1000])
def test_top_is_the_mean_of_the_largest_cells_or_of_all(count):
    maps = maps_of()
    np.testing.assert_allclose(reduced(maps, "top", count=count), [slow_top(f, count) for f in maps], rtol=1e-5)


def test_top_averages_channels_before_it_looks_for_the_largest():
    maps = torch.zeros(1, 2, 2, 2)
    maps[0, 0, 0, 0] = 10  # 5 on average
    maps[0, :, 1, 1] = 6
    assert reduced(maps, "top", count=1).tolist() == [6]
    assert reduced(maps, "top", count=2).tolist() == [5.5]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 10, 16, 50])
def test_patch_is_the_largest_mean_of_a_patch_of_which_the_last_may_be_smaller(size):
    maps = maps_of()
    expected = [slow_patch(frame, size) for frame in maps]
    np.testing.assert_allclose(reduced(maps, "patch", size=size), expected, rtol=1e-5)


@pytest.mark.parametrize(("name", "key", "default"), [("top", "count", 9), ("patch", "size", 16)])
def test_options_have_their_defaults_and_bounds(refuses, name, key, default):
    maps = maps_of(height=20, width=40)
    assert torch.equal(REDUCTIONS[name](maps), reduced(maps, name, **{key: default}))
    with refuses(f'reduction "{name}": {key} must be at least 1, not 0'):
        REDUCTIONS.named(name, {key: 0})


@pytest.mark.parametrize("name", ["mean", "max", "patch"])
def test_a_reduction_of_the_squared_map_is_the_error_of_its_name(name):
    output, target = maps_of(width=40), maps_of(width=41)[..., :40]
    found = REDUCTIONS[name](MAPS["squared"](output, target))
    torch.testing.assert_close(found, ERRORS[name](output, target), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["ssim", "gradient"])
def test_the_mean_of_a_map_is_the_error_of_its_name(name):
    output, target = maps_of(height=24, width=32), maps_of(height=24, width=33)[..., :32]
    made = MAPS[name](output, target)
    assert made.shape == output.shape
    if name == "ssim":
        torch.testing.assert_close(REDUCTIONS["mean"](made), ERRORS["ssim"](output, target), rtol=1e-5, atol=0)
    else:  # the error's means are over the differences that there are, the map's over all pixels
        difference = (output - target).numpy()
        rows, columns = np.diff(difference, axis=3) ** 2, np.diff(difference, axis=2) ** 2
        expected = np.zeros(difference.shape)
        expected[..., :-1] += rows
        expected[..., :-1, :] += columns
        np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-6)


TOP = Named("top", (("count", 9),))


def test_a_score_of_a_map_says_all_that_it_is_in_an_entrys_words_and_in_one():
    plain, calibrated = MapScore("distance", TOP), MapScore("distance", TOP, calibrate=True)
    assert plain.plain() == {"map": "distance", "reduce": {"top": {"count": 9}}, "calibrate": False}
    assert calibrated.plain() == {"map": "distance", "reduce": {"top": {"count": 9}}, "calibrate": True}
    assert (plain.label, calibrated.label) == ("distance-top-count_9", "distance-calibrated-top-count_9")
    assert MapScore("squared", Named("max")).label == "squared-max"


def test_scores_that_differ_are_different_keys():
    scores = [
        Named("max"), MapScore("squared", Named("max")), MapScore("ssim", Named("max")), MapScore("squared", Named("mean")),
        MapScore("squared", Named("max"), calibrate=True), MapScore("squared", TOP), Named("mean"),
    ]  # fmt: skip
    assert len(dict.fromkeys((*scores, *scores))) == len({score.label for score in scores}) == 7
    assert MapScore("distance", Named("top", (("count", 9),))) == MapScore("distance", TOP)


def test_the_code_of_a_score_is_that_of_its_error_or_reduction(monkeypatch):
    assert code_of(Named("max")) == code_of(MapScore("squared", Named("max"))) == {}
    monkeypatch.setitem(REDUCTIONS._versions, "max", 2)
    assert code_of(MapScore("squared", Named("max"))) == {"reduction max": "2"}
    assert code_of(Named("max")) == {}
