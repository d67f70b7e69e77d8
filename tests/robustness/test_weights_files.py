"""Weights and states of trainings: what was saved, or one error that names the file; damage never reaches a network unseen."""

import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vad.detectors.training.trainer import so_far
from vad.errors import InputError
from vad.system.weights import fit_weights, load_tensors, save_tensors

ABOUT = {
    "epochs": [{"number": 1, "loss": 0.5, "lr": 0.1, "seconds": 1.0}],
    "best_loss": "0.5",
    "kept_epoch": 1,
    "stale": 0,
}
VALUES = [None, True, -1, 0, 2, 10**30, "x", "nan", [], {}, [1], [{}], [{"number": 1}], [{"number": 2, "loss": 1, "lr": 1, "seconds": 1}], [{"number": 1, "loss": "y", "lr": None, "seconds": []}]]  # fmt: skip


def _file(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_weights(tmp_path, damaged, judged, data):
    path = tmp_path / "w.safetensors"
    network = torch.nn.Linear(3, 2)
    save_tensors(path, network.state_dict(), {"epoch": 1})
    path.write_bytes(data.draw(damaged(path.read_bytes())))

    def load():
        state, _ = load_tensors(path)
        fit_weights(network, state, str(path))
        return state

    state = judged(load, "w.safetensors")
    assert state is None or {name: tuple(t.shape) for name, t in state.items()} == {"weight": (2, 3), "bias": (2,)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 99_000_000) + b"{}",
        _file(b'{"a":{"dtype":"F32","shape":[4000000000,4000000000],"data_offsets":[0,4]}}', b"1234"),
        _file(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', b"1234"),
        _file(b'{"__metadata__":{"about":"' + b"[" * 100_000 + b'"}}'),
        _file(b'{"__metadata__":{"about":"x"}}'),
        _file(b"[" * 100_000),
        b"\x80\x04\x95cos\nsystem\n",
    ],
)
def test_headers_that_lie(tmp_path, judged, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    assert judged(lambda: load_tensors(tmp_path / "w.safetensors"), "w.safetensors") is None


@settings(max_examples=100)
@given(key=st.sampled_from(list(ABOUT)), value=st.sampled_from(VALUES))
def test_states_that_say_anything(tmp_path, judged, key, value):
    path = tmp_path / "r.safetensors"
    save_tensors(path, {"now/a": torch.zeros(2)}, {**ABOUT, key: value})
    found = judged(lambda: so_far(path), "r.safetensors")
    assert found is None or (found.epoch == 1 and len(found.epochs) == 1)


@settings(max_examples=100)
@given(data=st.data())
def test_damaged_states(tmp_path, damaged, judged, data):
    path = tmp_path / "r.safetensors"
    save_tensors(path, {"now/a": torch.zeros(2), "optimizer/0/step": torch.zeros(())}, ABOUT)
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    judged(lambda: so_far(path), "r.safetensors")


@pytest.mark.parametrize("name", ["a", "x/y", "now", "optimizer"])
def test_tensors_of_no_part_are_refused(tmp_path, name):
    path = tmp_path / "r.safetensors"
    save_tensors(path, {name: torch.zeros(2)}, ABOUT)
    with pytest.raises(InputError, match=r"r.safetensors is not a training state"):
        so_far(path)
