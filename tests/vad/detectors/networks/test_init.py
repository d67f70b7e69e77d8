"""First weights against PyTorch's own functions called module by module, and against the variance that they promise."""

import math

import pytest
import torch
from torch import nn

from vad.catalog import Named
from vad.detectors.networks import INITS, build
from vad.inputs.shape import Shape

NETWORKS = {
    "conv_ae": (Shape("frame", 3, 32, 32), {"latent": 300}),
    "unet_ae": (Shape("frame", 3, 32, 32), {"latent": 100}),
    "conv3d_ae": (Shape("clip", 3, 16, 16, 8), {"latent": 300}),
    "convlstm": (Shape("sequence", 3, 16, 16, 2), {"hidden": 4}),
    "fully_conv_ae": (Shape("frame", 1, 8, 8), {}),
}
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, nn.Conv3d, nn.ConvTranspose3d)


def built(name, **options):
    shape, given = NETWORKS[name]
    return build(name, shape, given, seed=11, init=INITS.named("kaiming_normal", options))


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_drawn_module_by_module_behind_pytorchs_own(name):
    shape, given = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(11)
        expected = type(build(name, shape, given, seed=0))(shape, **given)
        for module in expected.modules():
            if isinstance(module, CONVOLUTIONS):
                nn.init.kaiming_normal_(module.weight, a=0, mode="fan_out", nonlinearity="leaky_relu")
            elif isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                module.bias.data[:] = 0
    found = built(name)
    for key, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[key], tensor), key


@pytest.mark.parametrize("linear", ["kaiming", "xavier"])
@pytest.mark.parametrize("name", ["conv_ae", "conv3d_ae"])
def test_weights_have_the_promised_variance(name, linear):
    for key, module in built(name, linear=linear).named_modules():
        if isinstance(module, CONVOLUTIONS):
            fan_out = module.weight.shape[0] * math.prod(module.kernel_size)
            variance = 2 / fan_out
        elif isinstance(module, nn.Linear):
            fans = module.in_features, module.out_features
            variance = 2 / sum(fans) if linear == "xavier" else 2 / fans[0]
        else:
            continue
        count = module.weight.numel()
        assert module.weight.var().item() == pytest.approx(variance, rel=6 * math.sqrt(2 / count)), key
        assert abs(module.weight.mean().item()) < 6 * math.sqrt(variance / count), key


@pytest.mark.parametrize("linear_bias", ["zero", "default"])
def test_biases_of_linear_layers_are_zero_on_wish_and_all_else_is_pytorchs(linear_bias):
    shape, given = NETWORKS["conv_ae"]
    plain = dict(build("conv_ae", shape, given, seed=11).named_modules())
    for key, module in built("conv_ae", linear_bias=linear_bias).named_modules():
        if isinstance(module, nn.Linear):
            assert module.bias.any() == (linear_bias == "default")
            assert linear_bias == "zero" or torch.equal(module.bias, plain[key].bias)
        elif isinstance(module, CONVOLUTIONS):
            assert torch.equal(module.bias, plain[key].bias)
            assert not torch.equal(module.weight, plain[key].weight)
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()


def test_first_weights_follow_from_the_seed_and_leave_the_generator_alone():
    before = torch.get_rng_state()
    first = built("convlstm").state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    again = built("convlstm").state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_without_an_init_weights_are_pytorchs():
    shape, given = NETWORKS["fully_conv_ae"]
    with torch.random.fork_rng():
        torch.manual_seed(11)
        expected = type(build("fully_conv_ae", shape, given, seed=0))(shape).state_dict()
    found = build("fully_conv_ae", shape, given, seed=11).state_dict()
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())


def test_wrong_names_and_options_are_refused(refuses):
    shape, given = NETWORKS["fully_conv_ae"]
    with refuses('unknown init "kaiming"; did you mean "kaiming_normal"? (known: kaiming_normal)'):
        build("fully_conv_ae", shape, given, 0, Named("kaiming"))
    with refuses("init \"kaiming_normal\": linear must be one of kaiming, xavier, not 'he'"):
        INITS.named("kaiming_normal", {"linear": "he"})
