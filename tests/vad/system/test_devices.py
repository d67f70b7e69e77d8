"""The device that is asked for, where there are GPUs, and what other programs see of them."""

import os

import pytest
import torch

from vad.system.devices import computing_on, device


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch):
    """As on a machine with two."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("VAD_DEVICE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


def test_by_default_a_gpu_is_taken_where_there_is_one(monkeypatch):
    assert device() == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device() == torch.device("cpu")


@pytest.mark.parametrize(
    ("asked", "before", "chosen", "visible"),
    [
        ("cpu", None, "cpu", ""),
        ("cuda", None, "cuda", None),
        ("cuda:1", None, "cuda", "1"),
        ("cuda:1", "4,7", "cuda", "7"),
    ],
)
def test_a_device_is_for_this_process_and_those_it_starts(monkeypatch, asked, before, chosen, visible):
    if before:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    with computing_on(asked):
        assert device() == torch.device(chosen)
        assert (os.environ["VAD_DEVICE"], os.environ.get("CUDA_VISIBLE_DEVICES")) == (chosen, visible)
    assert (os.environ.get("VAD_DEVICE"), os.environ.get("CUDA_VISIBLE_DEVICES")) == (None, before)


def test_a_gpu_that_is_not_there(monkeypatch, refuses):
    message = (
        "device cuda:2: the GPUs here are cuda:0 to cuda:1; give another by --device or VAD_DEVICE, or leave it out"
    )
    with refuses(message), computing_on("cuda:2"):
        pass
    monkeypatch.setenv("VAD_DEVICE", "cuda:2")
    with refuses(message):
        device()
