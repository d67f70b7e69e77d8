import pytest
import torch
from torch import nn

from vad.models import NETWORKS, build, parameter_count


@pytest.mark.parametrize(
    ("size", "channels", "options", "count"),
    [
        (64, 3, {"latent": 64}, 5_842_307),
        (128, 3, {"latent": 128}, 7_683_523),
        (256, 3, {"latent": 256}, 22_388_291),
        (128, 3, {"latent": 256, "expand_activation": "none"}, 9_780_803),
        (128, 2, {"latent": 128}, 7_682_498),
    ],
)
def test_the_number_of_parameters_is_the_references(size, channels, options, count):
    assert parameter_count(build("conv_ae", size, channels, options, seed=0)) == count


def test_the_layers_are_the_references():
    network = build("conv_ae", 64, 3, {"latent": 24}, seed=0)
    layers = [layer for layer in network.modules() if not list(layer.children())]
    down, up = [(3, 32), (32, 64), (64, 128), (128, 256), (256, 512)], [(512, 256), (256, 128), (128, 64), (64, 32)]
    expected: list[object] = []
    for widths in down:
        expected += [("Conv2d", *widths), ("BatchNorm2d", widths[1]), ("LeakyReLU", 0.2)]
    expected += [("Linear", 2048, 24), ("Linear", 24, 2048), ("LeakyReLU", 0.2), ("Unflatten", (512, 2, 2))]
    for widths in up:
        expected += [("ConvTranspose2d", *widths), ("BatchNorm2d", widths[1]), ("ReLU",)]
    expected += [("ConvTranspose2d", 32, 3), ("Tanh",)]
    assert [_spelling(layer) for layer in layers] == expected


def _spelling(layer):
    name = type(layer).__name__
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        assert (layer.kernel_size, layer.stride, layer.padding) == ((4, 4), (2, 2), (1, 1))
        assert layer.bias is not None
        return name, layer.in_channels, layer.out_channels
    if isinstance(layer, nn.BatchNorm2d):
        assert (layer.eps, layer.momentum, layer.affine) == (1e-5, 0.1, True)
        return name, layer.num_features
    if isinstance(layer, nn.Linear):
        assert layer.bias is not None
        return name, layer.in_features, layer.out_features
    if isinstance(layer, nn.LeakyReLU):
        return name, layer.negative_slope
    if isinstance(layer, nn.Unflatten):
        return name, tuple(layer.unflattened_size)
    return (name,)


def test_the_layers_are_passed_in_this_order():
    network = build("conv_ae", 64, 3, {"latent": 24}, seed=0)
    seen = []
    for layer in network.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda layer, *_: seen.append(layer))
    network(torch.zeros(2, 3, 64, 64))
    assert seen == [layer for layer in network.modules() if not list(layer.children())]


def test_the_spread_latent_can_stay_linear():
    network = build("conv_ae", 32, 3, {"latent": 4, "expand_activation": "none"}, seed=0)
    assert [type(layer).__name__ for layer in network.modules()].count("LeakyReLU") == 5


@pytest.mark.parametrize("channels", [2, 3])
def test_a_reconstruction_has_the_frames_shape_and_lies_within_one(channels):
    network = build("conv_ae", 96, channels, {"latent": 8}, seed=0)
    output = network(torch.randn(2, channels, 96, 96))
    assert output.shape == (2, channels, 96, 96)
    assert output.abs().max() < 1


def test_weights_follow_from_the_seed_alone():
    torch.manual_seed(1)
    first = build("conv_ae", 32, 3, {"latent": 8}, seed=42).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = build("conv_ae", 32, 3, {"latent": 8}, seed=42).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    other = build("conv_ae", 32, 3, {"latent": 8}, seed=43).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["compress.weight"], other["compress.weight"])


@pytest.mark.parametrize("size", [0, 16, 100])
def test_a_size_that_is_no_multiple_of_32_is_refused(refuses, size):
    with refuses(f'model "conv_ae" needs a size that is a multiple of 32, not {size}'):
        build("conv_ae", size, 3, {"latent": 8}, seed=0)


def test_wrong_names_and_options_are_refused(refuses):
    with refuses(f'unknown model "conv_aa"; did you mean "conv_ae"? (known: {", ".join(NETWORKS.names())})'):
        build("conv_aa", 32, 3, {}, seed=0)
    with refuses('model "conv_ae" has no option "latnt"; did you mean "latent"? (known: latent, expand_activation)\n'
                 'model "conv_ae" needs the option "latent"'):  # fmt: skip
        build("conv_ae", 32, 3, {"latnt": 8}, seed=0)
    with refuses("model \"conv_ae\": expand_activation must be one of leaky_relu, none, not 'relu'"):
        build("conv_ae", 32, 3, {"latent": 8, "expand_activation": "relu"}, seed=0)
