"""The same member from the same frames is the same bits, on whatever number of threads the process has."""

import numpy as np
import pytest
import torch

from vad.catalog import Named
from vad.frame_errors import ERRORS
from vad.member import Member, Training
from vad.scores import FrameIndex
from vad.scoring import score
from vad.threads import using
from vad.training import train

FRAMES = 20
CPU = torch.device("cpu")
NETWORKS = {
    "conv_ae": ("rgb", 32, (("latent", 4),)),
    "unet_ae": ("rgb", 32, (("latent", 4),)),
    "fully_conv_ae": ("frame_difference", 16, ()),
    "conv3d_ae": ("clip", 32, (("latent", 4),)),
    "convlstm": ("sequence", 16, (("hidden", 4),)),
}


def once(member: Member):
    """Weights and scores of a member that is trained and scored from nothing."""
    frames = np.random.default_rng(5).integers(0, 256, (FRAMES, member.size, member.size, 3), np.uint8)
    index = FrameIndex(np.repeat([1, 2], FRAMES // 2), np.tile(np.arange(FRAMES // 2), 2))
    kind = member.kind_of_input()
    with using(member.training.threads):
        trained = train(
            member.build(), kind.samples(frames, index, CPU, training=True), member.training, member.seed, CPU
        )
        network = member.build()
        network.load_state_dict(trained.state)
        errors = [Named("mean"), Named("max")]
        found = score(network, kind.samples(frames, index, CPU), errors, FRAMES, member.training.precision, CPU)
    return trained.state, [found[error].tobytes() for error in errors]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("network", NETWORKS)
def test_each_network_twice(network, precision):
    given, size, options = NETWORKS[network]
    recipe = Training("mse", "adam", 1e-3, 0.0, None, 1, None, 0.0, "best", precision, 5, threads=2)
    member = Member("m", network, options, Named(given), size, 7, recipe)
    results = []
    for ambient in (1, 2):
        torch.set_num_threads(ambient)
        results.append(once(member))
        assert torch.get_num_threads() == ambient
    (state, scores), (state_again, scores_again) = results
    assert state.keys() == state_again.keys()
    assert all(torch.equal(state[name], state_again[name]) for name in state)
    assert scores == scores_again


def test_every_network_is_looked_at():
    from vad.models import NETWORKS as known

    assert set(NETWORKS) == set(known.names()) and {"mean", "max"} <= set(ERRORS.names())
