"""What a list of layers does not say: the U-Net's bridges and the equations of the ConvLSTM."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import signal
from torch import nn

from vad.detectors.networks import build
from vad.inputs.shape import Shape


def noise(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(4)) * 2 - 1


def acquainted(network, batch):
    """A fresh network whose batch norm knows these samples, so that all its layers pass something on."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean of all that was seen
    with torch.no_grad():
        network(batch)
    return network.eval()


@pytest.fixture(scope="module")
def unet():
    network = build("unet_ae", Shape("frame", 3, 64, 64), {"latent": 8}, seed=3)
    return acquainted(network, noise(4, 3, 64, 64))


@pytest.fixture(scope="module")
def lstm():
    network = build("convlstm", Shape("sequence", 3, 32, 32, 4), {"hidden": 3}, seed=3)
    with torch.no_grad():
        network.gates.weight *= 4  # so that gates open and close
    return acquainted(network, noise(4, 4, 3, 32, 32))


def test_each_block_up_but_the_first_gets_the_block_before_it_and_the_map_of_its_size(unet):
    passed, hooks = [], []
    for block in (*unet.down, *unet.up):
        hooks.append(block.register_forward_hook(lambda _, given, made: passed.append((given[0], made))))
    with torch.no_grad():
        output = unet(noise(2, 3, 64, 64))
        down, up = passed[:5], passed[5:]
        assert torch.equal(up[0][0], unet.bottleneck(down[4][1]))
        assert torch.equal(output, unet.head(up[4][1]))
    for hook in hooks:
        hook.remove()
    for level in range(1, 5):
        assert torch.equal(up[level][0], torch.cat([up[level - 1][1], down[4 - level][1]], 1))


@pytest.mark.parametrize("level", range(5))
def test_what_the_unet_makes_depends_on_every_map(unet, level):
    frames = noise(1, 3, 64, 64)
    with torch.no_grad():
        before = unet(frames)
        hook = unet.down[level].register_forward_hook(lambda _, x, y: y + 0.5)
        changed = unet(frames)
        hook.remove()
        assert torch.equal(unet(frames), before)
    assert (changed - before).abs().mean() > 1e-4


def test_without_its_vector_the_unet_still_sees_the_frame(unet):
    first, second = noise(2, 1, 3, 64, 64)
    hook = unet.bottleneck.register_forward_hook(lambda _, x, y: torch.zeros_like(y))
    with torch.no_grad():
        assert (unet(first) - unet(second)).abs().mean() > 1e-3
    hook.remove()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def slow_convolution(maps, weight, bias):
    """(in, H, W) to (out, H, W), a zero around."""
    return np.stack(
        [
            sum(signal.correlate2d(plane, kernel, "same") for plane, kernel in zip(maps, kernels, strict=True)) + shift
            for kernels, shift in zip(weight, bias, strict=True)
        ]
    )


def slow_state(codes, weight, bias, width):
    """The hidden state after the codes (frames, 256, H, W) of one sequence, gate by gate."""
    parts = {gate: slice(width * i, width * (i + 1)) for i, gate in enumerate(("in", "forget", "out", "new"))}
    hidden = cell = np.zeros((width, *codes.shape[-2:]))
    for code in codes:
        seen = np.concatenate([code, hidden])
        gate = {name: slow_convolution(seen, weight[part], bias[part]) for name, part in parts.items()}
        cell = sigmoid(gate["forget"]) * cell + sigmoid(gate["in"]) * np.tanh(gate["new"])
        hidden = sigmoid(gate["out"]) * np.tanh(cell)
    return hidden


def test_the_convlstm_follows_its_gate_equations_frame_by_frame(lstm):
    sequences = noise(2, 4, 3, 32, 32)
    weight, bias = (values.detach().numpy().astype(np.float64) for values in (lstm.gates.weight, lstm.gates.bias))
    with torch.no_grad():
        found = lstm(sequences)
        for sequence, frame in zip(sequences, found, strict=True):
            codes = np.stack([lstm.encoder(image[None])[0].numpy() for image in sequence])
            hidden = slow_state(codes, weight, bias, 3)
            assert np.abs(hidden).max() > 0.2
            expected = lstm.decoder(torch.from_numpy(hidden[None]).float())[0]
            torch.testing.assert_close(frame, expected, rtol=1e-4, atol=1e-5)


def test_the_convlstm_heeds_every_frame_and_their_order(lstm):
    sequence = noise(1, 4, 3, 32, 32)
    with torch.no_grad():
        before = lstm(sequence)
        for position in range(4):
            changed = sequence.clone()
            changed[:, position] *= -1
            assert not torch.allclose(lstm(changed), before, atol=1e-6)
        assert not torch.allclose(lstm(sequence.flip(1)), before, atol=1e-6)


FIRST = """
import torch
from vad.detectors.networks import build
from vad.inputs.shape import Shape
network = build("conv_ae", Shape("frame", 3, 64, 64), {"latent": 4}, 1).eval()
frames = torch.rand(32, 3, 64, 64, generator=torch.Generator().manual_seed(0))
torch.set_num_threads(2)
with torch.inference_mode():
    first, second = network(frames), network(frames)
raise SystemExit(0 if torch.equal(first, second) else 1)
"""


@pytest.mark.parametrize("trial", range(3))
def test_the_first_pass_of_a_process_is_bit_for_bit_the_second(trial):
    """A process of its own each time: what it guards against happened at a process's first tanh, about once in four."""
    assert subprocess.run([sys.executable, "-c", FIRST], check=False, timeout=100).returncode == 0
