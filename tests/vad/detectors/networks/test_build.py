import pytest
import torch

from vad.detectors.networks import NETWORKS, build, parameter_count, place
from vad.inputs.shape import Shape

SMALL = {
    "conv_ae": (Shape("frame", 3, 32, 32), {"latent": 8}),
    "fully_conv_ae": (Shape("frame", 1, 24, 24), {}),
    "unet_ae": (Shape("frame", 3, 32, 32), {"latent": 8}),
    "conv3d_ae": (Shape("clip", 3, 16, 16, 8), {"latent": 8}),
    "convlstm": (Shape("sequence", 3, 32, 32, 3), {"hidden": 4}),
}


def given_to(shape, count=2):
    sides = {
        "frame": (shape.channels,),
        "clip": (shape.channels, shape.frames),
        "sequence": (shape.frames, shape.channels),
    }
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, *sides[shape.kind], shape.size, shape.size, generator=generator) * 2 - 1


@pytest.mark.parametrize(
    ("name", "shape", "options", "count"),
    [
        ("conv_ae", Shape("frame", 3, 64, 64), {"latent": 64}, 5_842_307),
        ("conv_ae", Shape("frame", 3, 128, 128), {"latent": 128}, 7_683_523),
        ("conv_ae", Shape("frame", 3, 256, 256), {"latent": 256}, 22_388_291),
        ("conv_ae", Shape("frame", 3, 128, 128), {"latent": 256, "expand_activation": "none"}, 9_780_803),
        ("conv_ae", Shape("frame", 2, 128, 128), {"latent": 128}, 7_682_498),
        ("fully_conv_ae", Shape("frame", 1, 128, 128), {}, 329_025),
        ("unet_ae", Shape("frame", 3, 128, 128), {"latent": 512}, 33_852_355),
        ("conv3d_ae", Shape("clip", 3, 128, 128, 8), {"latent": 256}, 11_275_939),
        ("convlstm", Shape("sequence", 3, 128, 128, 8), {"hidden": 64}, 2_267_203),
    ],
)
def test_the_number_of_parameters_is_the_references(name, shape, options, count):
    with torch.device("meta"):  # counting needs no numbers
        assert parameter_count(NETWORKS[name](shape, **NETWORKS.bind(name, options))) == count


def test_the_number_of_parameters_is_that_of_what_training_can_change():
    network = build("fully_conv_ae", Shape("frame", 1, 8, 8), {}, seed=0)
    count = parameter_count(network)
    network.layers[0].weight.requires_grad_(False)
    assert parameter_count(network) == count - 32 * 16


@pytest.mark.parametrize("name", NETWORKS.names())
def test_the_options_that_the_reference_used_are_the_defaults(name):
    defaults = {
        key: option.default for key, option in NETWORKS.options(name).items() if option.default is not option.empty
    }
    assert (
        defaults
        == {
            "conv_ae": {"expand_activation": "leaky_relu"},
            "fully_conv_ae": {"output": "sigmoid"},
            "unet_ae": {"latent": 512},
            "conv3d_ae": {"latent": 256},
            "convlstm": {"hidden": 64},
        }[name]
    )


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        *((name, *SMALL[name]) for name in SMALL),
        ("conv_ae", Shape("frame", 2, 96, 96), {"latent": 8}),
        ("fully_conv_ae", Shape("frame", 3, 8, 8), {"output": "tanh"}),
        ("unet_ae", Shape("frame", 2, 64, 64), {"latent": 8}),
        ("conv3d_ae", Shape("clip", 2, 32, 32, 16), {"latent": 8}),
        ("convlstm", Shape("sequence", 1, 16, 16, 1), {"hidden": 4}),
    ],
)
def test_what_comes_out_has_the_shape_of_what_is_wanted_and_lies_within_its_range(name, shape, options):
    network = build(name, shape, options, seed=0).eval()
    given = given_to(shape)
    with torch.no_grad():
        output = network(3 * given)
    assert output.shape == (given[:, 0].shape if shape.kind == "sequence" else given.shape)
    low = 0 if NETWORKS.bind(name, options).get("output") == "sigmoid" else -1
    assert output.min() > low and output.max() < 1


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_is_reached_by_training(name):
    network = build(name, *SMALL[name], seed=0)
    network(given_to(SMALL[name][0], count=3)).square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.dim() == 1 or parameter.grad.any(), key


@pytest.mark.parametrize("name", SMALL)
def test_weights_follow_from_the_seed_alone(name):
    torch.manual_seed(1)
    first = build(name, *SMALL[name], seed=42).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = build(name, *SMALL[name], seed=42).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    other = build(name, *SMALL[name], seed=43)
    assert all(torch.equal(first[key], again[key]) for key in first)
    for key, parameter in other.named_parameters():
        if parameter.dim() > 1:
            assert not torch.equal(parameter, first[key]), key


@pytest.mark.parametrize("name", SMALL)
def test_where_its_kernels_lie_in_memory_changes_nothing_that_comes_out(name):
    network = build(name, *SMALL[name], seed=0).eval()
    given = given_to(SMALL[name][0])
    with torch.no_grad():
        before = network(given)
        place(network, torch.device("cpu"))
        torch.testing.assert_close(network(given), before, rtol=1e-4, atol=1e-5)
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    kernels = [parameter for parameter in network.parameters() if parameter.dim() in layouts]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=layouts[kernel.dim()]) for kernel in kernels)


@pytest.mark.parametrize(
    ("name", "multiple", "sizes"),
    [
        ("conv_ae", 32, [0, 16, 100]),
        ("fully_conv_ae", 8, [0, 4, 36]),
        ("unet_ae", 32, [0, 16, 48]),
        ("conv3d_ae", 16, [0, 8, 40]),
        ("convlstm", 16, [0, 8, 40]),
    ],
)
def test_a_size_that_a_network_cannot_take_is_refused(refuses, name, multiple, sizes):
    shape, options = SMALL[name]
    for size in sizes:
        with refuses(f'model "{name}" needs a size that is a multiple of {multiple}, not {size}'):
            build(name, Shape(shape.kind, 3, size, size, shape.frames), options, seed=0)


@pytest.mark.parametrize("frames", [2, 4, 9, 12])
def test_clips_that_cannot_be_halved_three_times_are_refused(refuses, frames):
    with refuses(f'model "conv3d_ae" needs clips of 8, 16, 24, ... frames, not {frames}'):
        build("conv3d_ae", Shape("clip", 3, 16, 16, frames), {}, seed=0)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("kind", ["frame", "clip", "sequence"])
def test_a_network_is_refused_an_input_of_another_kind(refuses, name, kind):
    own, options = SMALL[name]
    if kind != own.kind:
        with refuses(f'model "{name}" takes {own.kind}s, but the input makes {kind}s; choose another input'):
            build(name, Shape(kind, 3, 32, 32, 8), options, seed=0)


def test_wrong_names_and_options_are_refused(refuses):
    shape = Shape("frame", 3, 32, 32)
    with refuses(f'unknown model "conv_aa"; did you mean "conv_ae"? (known: {", ".join(NETWORKS.names())})'):
        build("conv_aa", shape, {}, seed=0)
    with refuses('model "conv_ae" has no option "latnt"; did you mean "latent"? (known: latent, expand_activation)\n'
                 'model "conv_ae" needs the option "latent"'):  # fmt: skip
        build("conv_ae", shape, {"latnt": 8}, seed=0)
    with refuses("model \"conv_ae\": expand_activation must be one of leaky_relu, none, not 'relu'"):
        build("conv_ae", shape, {"latent": 8, "expand_activation": "relu"}, seed=0)
    with refuses("model \"fully_conv_ae\": output must be one of sigmoid, tanh, not 'relu'"):
        build("fully_conv_ae", shape, {"output": "relu"}, seed=0)
    with refuses('model "convlstm": hidden must be at least 1, not 0'):
        build("convlstm", shape, {"hidden": 0}, seed=0)


@pytest.mark.parametrize("latent", [10**11, 10**17, 10**30])
def test_a_network_that_no_memory_holds_is_refused(refuses, latent):
    with refuses(f'model "conv_ae" does not fit into memory at size 64 with latent {latent}; make it smaller'):
        build("conv_ae", Shape("frame", 3, 64, 64), {"latent": latent}, seed=1)
