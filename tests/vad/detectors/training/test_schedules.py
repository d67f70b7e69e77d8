"""The learning rate of each epoch, as training used it, against a slow formula."""

import math

import pytest
import torch
from torch import nn

from vad.catalog import Named
from vad.detectors.base import Listener
from vad.detectors.training.optimizers import SCHEDULES
from vad.detectors.training.recipe import Training
from vad.detectors.training.trainer import train
from vad.inputs import Batch

LR = 0.01


class Few:
    """One batch of four frames of one colour."""

    def settle(self):
        pass

    def __len__(self):
        return 4

    def batch(self, positions):
        frames = torch.from_numpy(positions).float().reshape(-1, 1, 1, 1) / 4
        return Batch(frames, frames)


class Killed(Exception):
    pass


def recipe_of(name, options, epochs):
    schedule = SCHEDULES.named(name, options)
    return Training("mse", "adam", LR, 0.0, schedule, epochs, None, 0.0, "last", "fp32", 4)


def train_by(name, options, epochs, **more):
    torch.manual_seed(0)
    network = nn.Conv2d(1, 1, 1)
    return train(network, Few(), recipe_of(name, options, epochs), 0, torch.device("cpu"), Listener(**more))


def rates(name, options, epochs):
    return [epoch.lr for epoch in train_by(name, options, epochs).epochs]


def cosine(t, of, low):
    return low + (LR - low) * (1 + math.cos(math.pi * t / of)) / 2


@pytest.mark.parametrize(
    ("options", "of", "low"), [({}, 8, 0.0), ({"t_max": 5}, 5, 0.0), ({"t_max": 10, "eta_min": 1e-3}, 10, 1e-3)]
)
def test_cosine(options, of, low):
    expected = [cosine(t, of, low) for t in range(8)]
    assert rates("cosine", options, 8) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("gamma", [0.5, 0.1])
@pytest.mark.parametrize("step_size", [1, 3, 20])
def test_step(step_size, gamma):
    expected = [LR * gamma ** (epoch // step_size) for epoch in range(8)]
    assert rates("step", {"step_size": step_size, "gamma": gamma}, 8) == pytest.approx(expected, rel=1e-9)


def test_a_step_is_a_tenth_unless_told_otherwise():
    assert rates("step", {"step_size": 2}, 4) == pytest.approx([LR, LR, LR / 10, LR / 10], rel=1e-9)


def slow_restarts(t_0, t_mult, low, epochs):
    found, length, since = [], t_0, 0
    for _ in range(epochs):
        if since == length:
            length, since = length * t_mult, 0
        found.append(cosine(since, length, low))
        since += 1
    return found


@pytest.mark.parametrize(("t_0", "t_mult"), [(1, 1), (3, 1), (2, 2), (2, 3), (50, 1)])
@pytest.mark.parametrize("low", [0.0, 1e-4])
def test_warm_restarts(t_0, t_mult, low):
    found = rates("warm_restarts", {"t_0": t_0, "t_mult": t_mult, "eta_min": low}, 16)
    assert found == pytest.approx(slow_restarts(t_0, t_mult, low, 16), rel=1e-9)


def test_a_restart_comes_after_t_0_epochs_then_after_t_mult_times_as_many():
    found = rates("warm_restarts", {"t_0": 2, "t_mult": 2}, 15)
    assert [epoch for epoch, lr in enumerate(found) if lr == LR] == [0, 2, 6, 14]


def slow_plateau(losses, factor, patience):
    """A loss counts as fallen when it is more than a ten-thousandth below the best."""
    found, lr, best, bad = [], LR, math.inf, 0
    for loss in losses:
        found.append(lr)
        if loss < best * (1 - 1e-4):
            best, bad = loss, 0
        else:
            bad += 1
        if bad > patience:
            lr, bad = lr * factor, 0
    return found


FALLING = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
STANDING = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
MIXED = [1.0, 0.5, 0.6, 0.49999, 0.7, 0.4, 0.5, 0.3999]


@pytest.mark.parametrize("losses", [FALLING, STANDING, MIXED], ids=["falling", "standing", "mixed"])
@pytest.mark.parametrize(("factor", "patience"), [(0.5, 0), (0.5, 1), (0.1, 2), (0.5, 10)])
def test_plateau(scripted, losses, factor, patience):
    scripted(*losses)
    found = rates("plateau", {"factor": factor, "patience": patience}, 8)
    assert found == pytest.approx(slow_plateau(losses, factor, patience), rel=1e-9)


def test_a_plateau_lowers_when_the_patience_is_over_and_not_before(scripted):
    scripted(*STANDING)
    assert rates("plateau", {"factor": 0.5, "patience": 2}, 8) == pytest.approx([LR] * 4 + [LR / 2] * 3 + [LR / 4])


@pytest.mark.parametrize("stop", range(1, 8))
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cosine", {"t_max": 3}),
        ("step", {"step_size": 3}),
        ("warm_restarts", {"t_0": 2, "t_mult": 2}),
        ("plateau", {"patience": 1, "factor": 0.5}),
    ],
)
def test_a_schedule_goes_on_where_it_was_cut_off(scripted, tmp_path, name, options, stop):
    def kill(epoch):
        if epoch.number == stop:
            raise Killed

    scripted(*MIXED)
    undisturbed = train_by(name, options, 8)
    scripted(*MIXED)
    with pytest.raises(Killed):
        train_by(name, options, 8, resume=tmp_path / "state", on_epoch=kill)
    scripted(*MIXED[stop:])
    resumed = train_by(name, options, 8, resume=tmp_path / "state")
    assert resumed.resumed_after == stop
    assert [(e.loss, e.lr) for e in resumed.epochs] == [(e.loss, e.lr) for e in undisturbed.epochs]
    assert all(torch.equal(resumed.state[key], tensor) for key, tensor in undisturbed.state.items())
    assert len({epoch.lr for epoch in undisturbed.epochs}) > 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("step", {}, 'schedule "step" needs the option "step_size"'),
        ("warm_restarts", {"t_0": 0}, 'schedule "warm_restarts": t_0 must be at least 1, not 0'),
        ("plateau", {"factor": 1}, 'schedule "plateau": factor must be at most 0.999, not 1'),
        ("plateau", {"patience": -1}, 'schedule "plateau": patience must be at least 0, not -1'),
    ],
)
def test_options_out_of_bounds_are_refused(refuses, name, options, message):
    with refuses(message):
        SCHEDULES.named(name, options)


def test_an_unknown_schedule_is_refused(refuses):
    with refuses('unknown schedule "cosin"; did you mean "cosine"? (known: cosine, plateau, step, warm_restarts)'):
        SCHEDULES.make(Named("cosin"), None, 1)
