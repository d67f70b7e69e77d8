"""Training that hands over nothing but values, against training at home."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from vad.catalog import Named
from vad.detectors.base import Diverged
from vad.detectors.member import Member
from vad.detectors.training.recipe import Training
from vad.detectors.training.remote import train_remotely
from vad.detectors.training.trainer import so_far, train
from vad.errors import InputError
from vad.images.view import square

CPU = torch.device("cpu")
RECIPE = Training(
    loss="mse",
    optimizer="adam",
    lr=1e-3,
    weight_decay=0.0,
    schedule=None,
    epochs=3,
    patience=None,
    min_delta=0.0,
    keep="best",
    precision="fp32",
    batch_size=4,
)


def member_of(**recipe) -> Member:
    return Member("small", "conv_ae", (("latent", 4),), Named("rgb"), square(32), 1, replace(RECIPE, **recipe))


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), np.uint8)


@pytest.fixture
def samples(frames, index_of):
    return member_of().kind_of_input().samples(frames, index_of(6, 4), CPU)


def remotely(member, samples, frames, state=b""):
    """What is told of a training whose ingredients and words were pickled on the way."""
    bare = samples.over(np.empty(0, np.uint8), CPU)
    given = pickle.loads(pickle.dumps((member, bare, frames, state)))
    for told in train_remotely(*given, "cpu", torch.get_num_threads()):
        yield pickle.loads(pickle.dumps(told))


def same(first, second):
    return first.state.keys() == second.state.keys() and all(
        torch.equal(first.state[name], second.state[name]) for name in first.state
    )


def test_it_is_the_training_at_home_bit_for_bit(frames, samples, tmp_path):
    member = member_of()
    expected = train(member.build(), samples, member.training, member.seed, CPU)
    words = list(remotely(member, samples, frames))
    assert (words[0].samples, words[0].epoch) == (0, None)
    epochs = [word.epoch for word in words if word.epoch]
    assert [(e.number, e.loss, e.lr) for e in epochs] == [(e.number, e.loss, e.lr) for e in expected.epochs]
    assert sum(word.samples for word in words) == 30
    (tmp_path / "state").write_bytes(words[-1].state)
    found = so_far(tmp_path / "state")
    assert (found.epoch, found.loss) == (expected.epoch, expected.loss)
    assert same(found, expected)


def test_it_goes_on_from_a_state(frames, samples, tmp_path):
    member = member_of()
    expected = train(member.build(), samples, member.training, member.seed, CPU)
    first = next(word for word in remotely(member, samples, frames) if word.epoch)
    rest = [word for word in remotely(member, samples, frames, first.state) if word.epoch]
    assert [word.epoch.number for word in rest] == [2, 3]
    (tmp_path / "state").write_bytes(rest[-1].state)
    assert same(so_far(tmp_path / "state"), expected)


def test_nothing_is_left_behind(frames, samples, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    list(remotely(member_of(), samples, frames))
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_is_raised_here(frames, samples):
    with pytest.raises(Diverged) as caught:
        list(remotely(member_of(lr=1e30), samples, frames))
    assert caught.value.trained is None
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.epoch, str(error)) == (caught.value.epoch, str(caught.value))


def test_another_fault_is_raised_here(frames, samples):
    with pytest.raises(InputError, match=r'^unknown loss "nothing"'):
        list(remotely(member_of(loss="nothing"), samples, frames))
