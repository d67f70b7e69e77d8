import pytest
import torch

from vad.detectors.networks import build
from vad.errors import InputError
from vad.inputs.shape import Shape
from vad.system.weights import fit_weights, load_tensors, save_tensors


def network(**options):
    return build("conv_ae", Shape("frame", 3, 32, 32), {"latent": 4, **options}, seed=0)


def test_tensors_and_description_come_back_as_they_were(tmp_path):
    tensors = {
        "strided": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "count": torch.tensor(7),
        "half": torch.tensor([1 / 3], dtype=torch.bfloat16),
        "not a number": torch.tensor([float("nan"), float("-inf"), -0.0]),
    }
    about = {"epoch": 3, "loss": 0.1 + 0.2, "names": ["é", None]}
    save_tensors(tmp_path / "new folder" / "w.safetensors", tensors, about)
    loaded, described = load_tensors(tmp_path / "new folder" / "w.safetensors")
    assert described == about
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name].nan_to_num(5), tensor.nan_to_num(5))
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["w.safetensors"]


def test_a_network_gets_its_weights_back(tmp_path):
    first, second = network(), build("conv_ae", Shape("frame", 3, 32, 32), {"latent": 4}, seed=1)
    save_tensors(tmp_path / "w", first.state_dict(), {})
    fit_weights(second, load_tensors(tmp_path / "w")[0], "w")
    assert all(torch.equal(second.state_dict()[name], tensor) for name, tensor in first.state_dict().items())


@pytest.mark.parametrize("damage", ["last byte gone", "cut in the header", "empty", "something else"])
def test_a_damaged_file_is_refused_by_name(tmp_path, damage):
    path = tmp_path / "w.safetensors"
    save_tensors(path, {"a": torch.zeros(100)}, {})
    data = path.read_bytes()
    damaged = {"last byte gone": data[:-1], "cut in the header": data[:5], "empty": b"", "something else": b"{}" * 99}
    path.write_bytes(damaged[damage])
    with pytest.raises(InputError) as caught:
        load_tensors(path)
    assert str(caught.value).startswith(f"{path} is damaged or no safetensors file: ")


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(InputError) as caught:
        load_tensors(tmp_path / "none")
    assert str(caught.value).startswith(f"{tmp_path / 'none'} is damaged or no safetensors file: No such file")


def test_weights_of_another_shape_are_refused(refuses):
    other = build("conv_ae", Shape("frame", 3, 32, 32), {"latent": 5}, seed=0)
    with refuses(
        "model.safetensors: the weights do not fit the network: size mismatch for expand.weight: copying a param with "
        "shape torch.Size([512, 5]) from checkpoint, the shape in current model is torch.Size([512, 4])."
    ):
        fit_weights(network(), other.state_dict(), "model.safetensors")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.pop("expand.bias"), 'Missing key(s) in state_dict: "expand.bias".'),
        (lambda state: state.update(extra=torch.zeros(1)), 'Unexpected key(s) in state_dict: "extra".'),
    ],
)
def test_missing_and_extra_tensors_are_refused(refuses, change, reason):
    state = dict(network().state_dict())
    change(state)
    with refuses(f"w: the weights do not fit the network: {reason}"):
        fit_weights(network(), state, "w")


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "w"
    save_tensors(path, {"a": torch.ones(3)}, {})
    with pytest.raises(TypeError):
        save_tensors(path, {"a": torch.zeros(3)}, {"not json": object()})
    assert torch.equal(load_tensors(path)[0]["a"], torch.ones(3))
    assert list(tmp_path.iterdir()) == [path]
