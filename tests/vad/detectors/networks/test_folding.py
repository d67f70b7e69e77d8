"""A folded network gives what the network gives, and no batch norm is left in any of ours."""

import pytest
import torch
from torch import nn

from vad.detectors.networks import build, fold_batch_norm
from vad.inputs.shape import Shape

CASES = {
    "conv_ae": (Shape("frame", 3, 64, 64), {"latent": 8}, (2, 3, 64, 64)),
    "fully_conv_ae": (Shape("frame", 1, 32, 32), {}, (2, 1, 32, 32)),
    "unet_ae": (Shape("frame", 3, 32, 32), {"latent": 8}, (2, 3, 32, 32)),
    "conv3d_ae": (Shape("clip", 3, 16, 16, 8), {"latent": 8}, (2, 3, 8, 16, 16)),
    "convlstm": (Shape("sequence", 3, 16, 16, 4), {"hidden": 8}, (2, 4, 3, 16, 16)),
}


@pytest.mark.parametrize("name", CASES)
def test_it_computes_the_same_without_batch_norm(name):
    shape, options, batch = CASES[name]
    network = build(name, shape, options, seed=1)
    given = torch.rand(batch, generator=torch.Generator().manual_seed(2)) * 2 - 1
    for _ in range(3):  # statistics that differ from the first ones
        network(given * 0.7 + 0.1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fold_batch_norm(network)
    with torch.inference_mode():
        torch.testing.assert_close(folded(given), network.eval()(given), rtol=1e-5, atol=1e-5)
    norms = (nn.BatchNorm2d, nn.BatchNorm3d)
    assert not any(isinstance(layer, norms) for layer in folded.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
