"""Distances from the background, by hand."""

import numpy as np
import torch

from vad.detectors.banks import BANKS


def cells(*values):
    """Samples of one cell with two values each: (N, 2, 1, 1)."""
    return torch.tensor(values, dtype=torch.float32)[:, :, None, None]


def test_the_distance_is_from_the_median_by_the_deviation():
    bank = BANKS["background"](stride=1)
    train = cells((10, 0), (12, 0), (14, 4), (12, 0))
    prepared = bank.prepare(train)
    # Medians 12 and 0, mean absolute deviations 1 and 1.
    assert bank.distances(cells((12, 0), (15, 0), (12, 5)), prepared, None).flatten().tolist() == [0, 1.5, 2.5]
    assert bank.keep(train).tolist() == [0, 1, 2, 3]
    assert BANKS["background"](stride=3).keep(train).tolist() == [0, 3]


def test_a_background_that_never_changes_makes_no_infinite_distance():
    bank = BANKS["background"](stride=1)
    found = bank.distances(cells((9, 9)), bank.prepare(cells((7, 7), (7, 7))), None)
    assert found.flatten().tolist() == [2]


def test_residuals_forget_the_ground_and_not_what_stands_before_it():
    bank, plain = BANKS["nearest_residuals"](reach=0, stride=1), BANKS["nearest_cells"](reach=0, stride=1)
    generator = np.random.default_rng(1)
    ground = torch.from_numpy(generator.integers(40, 200, (1, 4, 2, 3))).float()
    train = ground.repeat(7, 1, 1, 1)
    train[2] += 9
    seen = bank.prepare(train)
    brighter, darker = ground + 9, ground - 9  # both are 9 from the ground, as train frame 2
    assert not bank.distances(brighter, seen, None).any() and not bank.distances(darker, seen, None).any()
    assert (plain.distances(darker, plain.prepare(train), None) == 18).all()
    odd = ground + 30
    assert (bank.distances(odd, seen, None) == 2 * 21).all()  # of four values, each 21 from the nearest
    left_out = torch.zeros(1, 7, dtype=torch.bool)
    left_out[0, 2] = True
    assert (bank.distances(brighter, seen, left_out) == 2 * 9).all()
