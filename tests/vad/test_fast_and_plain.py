"""The fast way and the plain one give the same: PyTorch's own layers, NCHW, fp32, plain Adam, whole error maps."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import nn
from torch.nn import functional

from benchmarks import notebook, parts
from vad.data.labels import find_labels, read_labels
from vad.data.layouts import read_frameset
from vad.detectors.base import Listener
from vad.detectors.networks import build
from vad.detectors.networks.halving import Double, Halve
from vad.detectors.training.recipe import Training
from vad.detectors.training.trainer import train
from vad.frames.store import SplitSource, open_frames
from vad.images.digest_cache import DigestCache
from vad.images.view import square
from vad.inputs.shape import Shape
from vad.system.devices import VARIABLE

CPU = torch.device("cpu")
COUNT, SIZE, BATCH = 24, 64, 8


@pytest.fixture(autouse=True)
def cpu(monkeypatch):
    monkeypatch.setenv(VARIABLE, "cpu")


def recipe(precision, epochs):
    return Training("mse", "adam", 2e-4, 0.0, None, epochs, None, 0.0, "last", precision, BATCH)


def network(seed=1):
    return build("conv_ae", Shape("frame", 3, SIZE, SIZE), {"latent": 16}, seed)


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


def passed(net, frames):
    """Output, loss and all gradients of a first step."""
    net.train()
    output = net(frames)
    loss = functional.mse_loss(output, frames)
    loss.backward()
    return [output.detach(), loss.detach(), *(parameter.grad for parameter in net.parameters())]


def test_outputs_and_gradients_of_a_first_step_in_fp32():
    frames = parts.as_floats(parts.frames_of(BATCH, SIZE))
    fast = network().to(memory_format=torch.channels_last)
    found = passed(fast, frames.contiguous(memory_format=torch.channels_last))
    exact = passed(plain(network()), frames)
    # A bias before batch norm has no gradient but rounding, which counts beside the others.
    rounding = 1e-6 * max(float(values.norm()) for values in exact[2:])
    for ours, expected in zip(found, exact, strict=True):
        # By the norm: rounding moves a few inputs of a ReLU across zero, and with each a number of the gradient.
        assert float((ours - expected).norm()) <= 1e-3 * float(expected.norm()) + rounding


def test_losses_of_training_in_fp32():
    frames = parts.frames_of(COUNT, SIZE)
    found = []
    train(
        network(),
        parts.samples_of(frames),
        recipe("fp32", 1),
        5,
        CPU,
        Listener(on_batch=lambda _, loss: found.append(float(loss))),
    )
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(5 * 1_000_003 + 1))
    trainer = notebook.Trainer(plain(network()), parts.as_floats(frames), BATCH, CPU)
    trainer._order = list(order.split(BATCH))[::-1]
    for _ in range(COUNT // BATCH):
        trainer.step()
    np.testing.assert_allclose(found[0], trainer.losses[0], rtol=1e-5)
    # Adam makes steps of one size even of gradients that are zero but for rounding, so from here on the ways part.
    np.testing.assert_allclose(np.diff(found), np.diff(trainer.losses), rtol=0.05)


def test_scores_in_fp32():
    frames = parts.frames_of(COUNT, SIZE)
    net = network()
    train(net, parts.samples_of(frames), recipe("fp32", 2), 5, CPU)
    expected = notebook.score(plain(network_like(net)), parts.as_floats(frames), BATCH, CPU)
    found = parts.score_all(net, parts.samples_of(frames), "fp32")
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def network_like(net):
    other = network()
    other.load_state_dict(net.state_dict())
    return other


def test_ap_of_the_demo_street_is_within_the_spread_of_seeds(demo_street, tmp_path):
    """Three seeds each way on every eighth frame; the fast way in the precision that it takes here, the plain one in fp32."""
    frames = read_frameset(demo_street, tmp_path / "index")
    labels = read_labels(find_labels(frames.root), frames.test.index, DigestCache(tmp_path / "memory.json")).values[::8]
    train_frames, test_frames = (
        np.array(open_frames(SplitSource(split), [square(SIZE)], tmp_path)[square(SIZE)][::8])
        for split in (frames.train, frames.test)
    )
    fast, slow = [], []
    for seed in (1, 2, 3):
        net = network(seed)
        train(net, parts.samples_of(train_frames), recipe("auto", 2), seed, CPU)
        scores = parts.score_all(net, parts.samples_of(test_frames))
        fast.append(average_precision_score(labels, scores))
        torch.manual_seed(seed)
        trainer = notebook.Trainer(plain(network(seed)), parts.as_floats(train_frames), BATCH, CPU)
        for _ in range(2):
            trainer.epoch()
        slow.append(
            average_precision_score(labels, notebook.score(trainer.network, parts.as_floats(test_frames), 32, CPU))
        )
    spread = max(max(aps) - min(aps) for aps in (fast, slow))
    assert abs(np.mean(fast) - np.mean(slow)) <= spread, (fast, slow)
