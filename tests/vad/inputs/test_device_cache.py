"""Frames that are brought to the device whole give the batches that frames in a file give."""

import gc

import numpy as np
import pytest
import torch

from vad.data.frame_index import FrameIndex
from vad.inputs import INPUTS
from vad.inputs import device_cache as residence
from vad.inputs.device_cache import on_device

CPU = torch.device("cpu")
INDEX = FrameIndex.sorted([1] * 6 + [2] * 6, [*range(6), *range(6)])[0]


class Elsewhere:
    """A device with so much room that is a processor all the same."""

    type = "elsewhere"

    def __str__(self):
        return self.type


@pytest.fixture
def room(monkeypatch):
    """Let there be a device with this many bytes; whatever is made there is made here."""

    def give(size):
        monkeypatch.setattr(residence, "_room", lambda device: size)
        original = torch.empty
        monkeypatch.setattr(torch, "empty", lambda *sides, device=None, **more: original(*sides, **more))
        return Elsewhere()

    return give


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "frames.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8))
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize(
    ("name", "options"), [("rgb", {}), ("frame_difference", {}), ("clip", {"frames": 2}), ("sequence", {"frames": 2})]
)
def test_batches_are_the_same(stored, room, monkeypatch, name, options):
    make = INPUTS.make(INPUTS.named(name, options)).samples
    filed, resident = make(stored, INDEX, CPU), make(stored, INDEX, CPU)
    resident._resident = on_device(stored, room(10**9))
    assert isinstance(resident._resident, torch.Tensor)
    monkeypatch.undo()
    which = np.array([3, 0, 2])
    for found, expected in zip(resident.batch(which), filed.batch(which), strict=True):
        assert torch.equal(found, expected)


def test_flow_that_is_kept_is_brought_too(stored, tmp_path):
    samples = INPUTS.make(INPUTS.named("optical_flow", {})).samples(stored, INDEX, CPU)
    samples.keep(tmp_path / "kept", lambda count: None)
    expected = samples.batch(np.array([1, 4])).given
    samples._resident = torch.from_numpy(np.array(samples.array))
    assert torch.equal(samples.batch(np.array([1, 4])).given, expected)


def test_it_is_brought_in_pieces_once_for_all_and_let_go(stored, room, monkeypatch):
    monkeypatch.setattr(residence, "_PIECE", 5 * stored[:1].nbytes)
    device = room(10**9)
    first, second = on_device(stored, device), on_device(stored, device)
    assert first is second
    assert np.array_equal(first.numpy(), stored)
    assert on_device(stored[:6], device) is not first
    del first, second
    gc.collect()
    assert not [key for key in residence._held if key[2] == stored.shape]


def test_without_room_and_on_a_processor_it_stays_where_it_is(stored, room):
    assert on_device(stored, room(stored.nbytes)) is None
    assert on_device(stored, CPU) is None


def test_samples_over_another_array_do_not_look_at_the_old_one(stored):
    samples = INPUTS.make(INPUTS.named("rgb", {})).samples(stored, INDEX, CPU)
    samples._resident = torch.from_numpy(np.array(stored))
    other = samples.over(255 - np.array(stored), CPU)
    assert not torch.equal(other.batch(np.array([0])).given, samples.batch(np.array([0])).given)
