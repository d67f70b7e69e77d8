"""The fast way and the plain one give the same: PyTorch's own layers, NCHW, fp32, plain Adam, whole error maps."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import nn

from benchmarks import notebook, parts
from vad.catalog import Named
from vad.frames.digests import Memory
from vad.frames.labels import find_labels, read_labels
from vad.frames.layouts import read_frameset
from vad.frames.store import SplitSource, open_frames
from vad.member import Training
from vad.models import Shape, build
from vad.models.halving import Double, Halve
from vad.scoring import score
from vad.training import train

CPU = torch.device("cpu")
COUNT, SIZE, BATCH = 24, 64, 8


def recipe(precision, epochs):
    return Training("mse", "adam", 2e-4, 0.0, None, epochs, None, 0.0, "last", precision, BATCH)


def network(seed=1):
    return build("conv_ae", Shape("frame", 3, SIZE), {"latent": 16}, seed)


def plain(net):
    """The same network of PyTorch's own layers."""
    for block in [module for module in net.modules() if isinstance(module, nn.Sequential)]:
        for place, layer in enumerate(block):
            if isinstance(layer, (Halve, Double)):
                kind = nn.Conv2d if isinstance(layer, Halve) else nn.ConvTranspose2d
                block[place] = kind(layer.in_channels, layer.out_channels, 4, 2, 1)
                block[place].load_state_dict(layer.state_dict())
    assert not any(isinstance(layer, (Halve, Double)) for layer in net.modules())
    return net


def test_losses_of_training_in_fp32():
    frames = parts.frames_of(COUNT, SIZE)
    found = []
    train(
        network(),
        parts.samples_of(frames),
        recipe("fp32", 1),
        5,
        CPU,
        on_batch=lambda _, loss: found.append(float(loss)),
    )
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(5 * 1_000_003 + 1))
    trainer = notebook.Trainer(plain(network()), parts.as_floats(frames), BATCH, CPU)
    trainer._order = list(order.split(BATCH))[::-1]
    for _ in range(COUNT // BATCH):
        trainer.step()
    np.testing.assert_allclose(found[0], trainer.losses[0], rtol=1e-5)
    # Adam makes steps of one size even of gradients that are zero but for rounding, so the ways part slowly.
    np.testing.assert_allclose(found, trainer.losses, rtol=1e-4)
    assert found[0] != found[-1]


def test_scores_in_fp32():
    frames = parts.frames_of(COUNT, SIZE)
    net = network()
    train(net, parts.samples_of(frames), recipe("fp32", 2), 5, CPU)
    expected = notebook.score(plain(network_like(net)), parts.as_floats(frames), BATCH, CPU)
    found = score(net, parts.samples_of(frames), [Named("max")], COUNT, "fp32", CPU)[Named("max")]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def network_like(net):
    other = network()
    other.load_state_dict(net.state_dict())
    return other


@pytest.mark.timeout(600)
def test_ap_of_the_demo_street_in_bf16_is_within_the_spread_of_seeds(demo_street, tmp_path):
    """Three seeds each way on every eighth frame; the fast way in bf16, the plain one in fp32."""
    frames = read_frameset(demo_street, tmp_path / "index")
    labels = read_labels(find_labels(frames.root), frames.test.index, Memory(tmp_path / "memory.json")).values[::8]
    train_frames, test_frames = (
        np.array(open_frames(SplitSource(split), [SIZE], tmp_path)[SIZE][::8]) for split in (frames.train, frames.test)
    )
    fast, slow = [], []
    for seed in (1, 2, 3):
        net = network(seed)
        train(net, parts.samples_of(train_frames), recipe("bf16", 2), seed, CPU)
        scores = score(net, parts.samples_of(test_frames), [Named("max")], len(test_frames), "bf16", CPU)
        fast.append(average_precision_score(labels, scores[Named("max")]))
        torch.manual_seed(seed)
        trainer = notebook.Trainer(plain(network(seed)), parts.as_floats(train_frames), BATCH, CPU)
        for _ in range(2):
            trainer.epoch()
        slow.append(
            average_precision_score(labels, notebook.score(trainer.network, parts.as_floats(test_frames), 32, CPU))
        )
    spread = max(max(aps) - min(aps) for aps in (fast, slow))
    assert abs(np.mean(fast) - np.mean(slow)) <= spread, (fast, slow)
