"""The same member from the same frames is the same bits on the same number of threads, and nearly the same on another."""

import numpy as np
import pytest
import torch

from vad.catalog import Named
from vad.data.frame_index import FrameIndex
from vad.detectors.member import Member
from vad.detectors.network_detector import NetworkScorer
from vad.detectors.networks import ERRORS
from vad.detectors.training.recipe import Training
from vad.detectors.training.trainer import train
from vad.images.view import square
from vad.scoring.frame_scores import Way, score
from vad.system.precision import computes_in_bf16
from vad.system.threads import using

FRAMES = 20
CPU = torch.device("cpu")
PRECISIONS = ["fp32", pytest.param("bf16", marks=pytest.mark.skipif(not computes_in_bf16(CPU), reason="no bf16"))]
NETWORKS = {
    "conv_ae": ("rgb", 32, (("latent", 4),)),
    "unet_ae": ("rgb", 32, (("latent", 4),)),
    "fully_conv_ae": ("frame_difference", 16, ()),
    "conv3d_ae": ("clip", 32, (("latent", 4),)),
    "convlstm": ("sequence", 16, (("hidden", 4),)),
}


def once(member: Member):
    """Weights and scores of a member that is trained and scored from nothing."""
    frames = np.random.default_rng(5).integers(0, 256, (FRAMES, *member.view.shape), np.uint8)
    index = FrameIndex(np.repeat([1, 2], FRAMES // 2), np.tile(np.arange(FRAMES // 2), 2))
    kind = member.kind_of_input()
    trained = train(member.build(), kind.samples(frames, index, CPU, training=True), member.training, member.seed, CPU)
    assert (trained.precision, trained.threads) == (member.training.precision, torch.get_num_threads())
    network = member.build()
    network.load_state_dict(trained.state)
    errors = [Named("mean"), Named("max")]
    found = score(
        Way(NetworkScorer(network, trained.precision, CPU), {}), kind.samples(frames, index, CPU), errors, FRAMES
    )
    return trained.state, [found[error] for error in errors]


def member(network, precision):
    given, size, options = NETWORKS[network]
    recipe = Training("mse", "adam", 1e-3, 0.0, None, 1, None, 0.0, "best", precision, 5)
    return Member("m", network, options, Named(given), square(size), 7, recipe)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("network", NETWORKS)
def test_each_network_twice(network, precision):
    (state, scores), (state_again, scores_again) = (once(member(network, precision)) for _ in range(2))
    assert state.keys() == state_again.keys()
    assert all(torch.equal(state[name], state_again[name]) for name in state)
    assert [values.tobytes() for values in scores] == [values.tobytes() for values in scores_again]


@pytest.mark.parametrize("network", ["conv_ae", "convlstm"])
def test_on_another_number_of_threads_scores_differ_by_less_than_a_hundredth(network):
    scores = []
    for threads in (1, 2):
        with using(threads):
            scores.append(once(member(network, "fp32"))[1])
    for one, two in zip(*scores, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-2)


def test_every_network_is_looked_at():
    from vad.detectors.networks import NETWORKS as known

    assert set(NETWORKS) == set(known.names()) and {"mean", "max"} <= set(ERRORS.names())
