"""The layers of each network, one by one, are the reference's, and are passed in that order."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from vad.detectors.networks import build
from vad.inputs.shape import Shape

LEAKY = ("LeakyReLU", 0.2)


def conv_ae():
    down, up = [(3, 32), (32, 64), (64, 128), (128, 256), (256, 512)], [(512, 256), (256, 128), (128, 64), (64, 32)]
    layers = []
    for widths in down:
        layers += [("Conv2d", *widths, 4, 2, 1, "bias"), ("BatchNorm2d", widths[1]), LEAKY]
    layers += [("Linear", 2048, 24), ("Linear", 24, 2048), LEAKY, ("Unflatten", (512, 2, 2))]
    for widths in up:
        layers += [("ConvTranspose2d", *widths, 4, 2, 1, "bias"), ("BatchNorm2d", widths[1]), ("ReLU",)]
    return [*layers, ("ConvTranspose2d", 32, 3, 4, 2, 1, "bias"), ("Tanh",)]


def fully_conv_ae():
    layers = []
    for widths in ((1, 32), (32, 64), (64, 128)):
        layers += [("Conv2d", *widths, 4, 2, 1, "bias"), ("ReLU",)]
    for widths in ((128, 64), (64, 32)):
        layers += [("ConvTranspose2d", *widths, 4, 2, 1, "bias"), ("ReLU",)]
    return [*layers, ("ConvTranspose2d", 32, 1, 4, 2, 1, "bias"), ("Sigmoid",)]


def unet_ae():
    layers = []
    for wide_in, wide in ((3, 64), (64, 128), (128, 256), (256, 512), (512, 512)):
        layers += [("Conv2d", wide_in, wide, 4, 2, 1), ("BatchNorm2d", wide), LEAKY]
        layers += [("Conv2d", wide, wide, 3, 1, 1), ("BatchNorm2d", wide), LEAKY]
    layers += [("Flatten",), ("Linear", 2048, 24), LEAKY, ("Linear", 24, 2048), LEAKY, ("Unflatten", (512, 2, 2))]
    for wide_in, wide in ((512, 512), (512 + 512, 256), (256 + 256, 128), (128 + 128, 64), (64 + 64, 64)):
        layers += [("ConvTranspose2d", wide_in, wide, 4, 2, 1), ("BatchNorm2d", wide), ("ReLU",)]
        layers += [("Conv2d", wide, wide, 3, 1, 1), ("BatchNorm2d", wide), ("ReLU",)]
    return [*layers, ("Conv2d", 64, 3, 3, 1, 1, "bias"), ("Tanh",)]


def conv3d_ae():
    layers = []
    for widths, stride in (((3, 32), (1, 2, 2)), ((32, 64), 2), ((64, 128), 2), ((128, 256), 2)):
        layers += [("Conv3d", *widths, 3, stride, 1), ("BatchNorm3d", widths[1]), LEAKY]
    layers += [("Flatten",), ("Linear", 1024, 24), LEAKY, ("Linear", 24, 1024), LEAKY, ("Unflatten", (256, 1, 2, 2))]
    for widths, kernel, padding in (((256, 128), (2, 4, 4), (0, 1, 1)), ((128, 64), 4, 1), ((64, 32), 4, 1)):
        layers += [("ConvTranspose3d", *widths, kernel, 2, padding), ("BatchNorm3d", widths[1]), ("ReLU",)]
    return [*layers, ("ConvTranspose3d", 32, 3, (1, 4, 4), (1, 2, 2), (0, 1, 1), "bias"), ("Tanh",)]


def convlstm():
    layers = []
    for widths in ((3, 32), (32, 64), (64, 128), (128, 256)):
        layers += [("Conv2d", *widths, 4, 2, 1, "bias"), ("BatchNorm2d", widths[1]), LEAKY]
    layers += [("Conv2d", 256 + 24, 4 * 24, 3, 1, 1, "bias")]
    layers += [("Conv2d", 24, 256, 3, 1, 1, "bias"), ("BatchNorm2d", 256), ("ReLU",)]
    for widths in ((256, 128), (128, 64), (64, 32)):
        layers += [("ConvTranspose2d", *widths, 4, 2, 1, "bias"), ("BatchNorm2d", widths[1]), ("ReLU",)]
    return [*layers, ("ConvTranspose2d", 32, 3, 4, 2, 1, "bias"), ("Tanh",)]


CASES = {
    "conv_ae": (Shape("frame", 3, 64, 64), {"latent": 24}, conv_ae, (2, 3, 64, 64)),
    "fully_conv_ae": (Shape("frame", 1, 16, 16), {}, fully_conv_ae, (2, 1, 16, 16)),
    "unet_ae": (Shape("frame", 3, 64, 64), {"latent": 24}, unet_ae, (2, 3, 64, 64)),
    "conv3d_ae": (Shape("clip", 3, 32, 32, 8), {"latent": 24}, conv3d_ae, (2, 3, 8, 32, 32)),
    "convlstm": (Shape("sequence", 3, 32, 32, 1), {"hidden": 24}, convlstm, (2, 1, 3, 32, 32)),
}


def leaves(network):
    return [layer for layer in network.modules() if not list(layer.children())]


def per_side(setting, dimensions):
    """3 for (3, 3, 3); what differs stays."""
    sides = setting if isinstance(setting, tuple) else (setting,) * dimensions
    return sides[0] if len(set(sides)) == 1 else sides


def spelling(layer):
    name = {"Halve": "Conv2d", "Double": "ConvTranspose2d"}.get(type(layer).__name__, type(layer).__name__)
    if name.startswith("Conv"):
        assert layer.groups == 1 and set(layer.dilation) == {1} and not any(getattr(layer, "output_padding", (0,)))
        assert layer.padding_mode == "zeros"
        how = [per_side(setting, int(name[-2])) for setting in (layer.kernel_size, layer.stride, layer.padding)]
        return (name, layer.in_channels, layer.out_channels, *how, *(("bias",) if layer.bias is not None else ()))
    if name.startswith("BatchNorm"):
        assert (layer.eps, layer.momentum, layer.affine, layer.track_running_stats) == (1e-5, 0.1, True, True)
        return name, layer.num_features
    if isinstance(layer, nn.Linear):
        assert layer.bias is not None
        return name, layer.in_features, layer.out_features
    if isinstance(layer, nn.LeakyReLU):
        return name, layer.negative_slope
    if isinstance(layer, nn.Unflatten):
        return name, tuple(layer.unflattened_size)
    return (name,)


@pytest.mark.parametrize("name", CASES)
def test_the_layers_are_the_references(name):
    shape, options, expected, _ = CASES[name]
    assert [spelling(layer) for layer in leaves(build(name, shape, options, seed=0))] == expected()


@pytest.mark.parametrize("name", CASES)
def test_the_layers_are_passed_in_this_order(name):
    shape, options, _, batch = CASES[name]
    network, seen = build(name, shape, options, seed=0), []
    for layer in leaves(network):
        layer.register_forward_hook(lambda layer, *_: seen.append(layer))
    with torch.no_grad():
        network(torch.zeros(batch))
    assert seen == leaves(network)


def test_the_spread_latent_of_conv_ae_can_stay_linear():
    network = build("conv_ae", Shape("frame", 3, 32, 32), {"latent": 4, "expand_activation": "none"}, seed=0)
    assert [type(layer).__name__ for layer in network.modules()].count("LeakyReLU") == 5


def test_the_last_layer_of_fully_conv_ae_can_be_tanh():
    network = build("fully_conv_ae", Shape("frame", 3, 16, 16), {"output": "tanh"}, seed=0)
    names = [spelling(layer)[0] for layer in leaves(network)]
    assert names == [*(layer[0] for layer in fully_conv_ae()[:-1]), "Tanh"]


def passed(name, *parts):
    """The shapes that go into and come out of blocks, without batch and channels."""
    shape, options, _, batch = CASES[name]
    network, shapes = build(name, shape, options, seed=0), []
    for block in (block for part in parts for block in getattr(network, part)):
        block.register_forward_hook(lambda _, given, made: shapes.append((given[0].shape[2:], made.shape[2:])))
    with torch.no_grad():
        network(torch.zeros(batch))
    return shapes


def test_each_block_of_the_unet_halves_or_doubles_the_map():
    sides = [64, 32, 16, 8, 4, 2]
    down = [((a, a), (b, b)) for a, b in pairwise(sides)]
    assert passed("unet_ae", "down") == down
    assert passed("unet_ae", "up") == [(b, a) for a, b in reversed(down)]


def test_the_first_step_down_and_the_last_step_up_leave_the_time_of_clips():
    volumes = [(8, 32, 32), (8, 16, 16), (4, 8, 8), (2, 4, 4), (1, 2, 2)]
    down = list(pairwise(volumes))
    assert [step for step in passed("conv3d_ae", "encoder") if step[0] != step[1]] == down
    up = [step for step in passed("conv3d_ae", "decoder") if step[0] != step[1]]
    assert up == [(b, a) for a, b in reversed(down)]
