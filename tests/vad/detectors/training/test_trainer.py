import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from vad.catalog import Named
from vad.detectors.base import Diverged, Listener
from vad.detectors.networks import build
from vad.detectors.training.losses import weighted_loss
from vad.detectors.training.recipe import Training
from vad.detectors.training.trainer import train
from vad.images.view import square
from vad.inputs import INPUTS, Batch
from vad.inputs.shape import Shape

CPU = torch.device("cpu")
RECIPE = Training(
    loss="mse",
    optimizer="adam",
    lr=1e-3,
    weight_decay=0.0,
    schedule=None,
    epochs=6,
    patience=None,
    min_delta=0.0,
    keep="best",
    precision="fp32",
    batch_size=4,
)
COSINE = Named("cosine", (("t_max", None), ("eta_min", 1e-5)))
RESTARTS = Named("warm_restarts", (("t_0", 2), ("t_mult", 2), ("eta_min", 1e-6)))
STEP = Named("step", (("step_size", 2), ("gamma", 0.5)))
PLATEAU = Named("plateau", (("factor", 0.5), ("patience", 0)))
MIXED = (("mse", 1.0), ("ssim", 0.5), ("gradient", 0.2))


class Recorded:
    """Samples of random structure that remember in which order they were asked for."""

    def settle(self):
        pass

    def __init__(self, count: int = 10, size: int = 16):
        generator = torch.Generator().manual_seed(1)
        coarse = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
        self._data = nn.functional.interpolate(coarse, (size, size), mode="bilinear")
        self.asked: list[list[int]] = []

    def __len__(self) -> int:
        return len(self._data)

    def batch(self, positions):
        self.asked.append(positions.tolist())
        frames = self._data[torch.from_numpy(positions)]
        return Batch(frames, frames)


def small(seed: int = 0) -> nn.Module:
    """Large enough to hold what matters: convolutions both ways and batch norm."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 4, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.ConvTranspose2d(6, 3, 4, 2, 1), nn.Tanh()
    )


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def copy_of(network: nn.Module) -> dict:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_the_loss_falls_on_real_frames(dataset, tmp_path):
    from vad.data.layouts import read_frameset
    from vad.frames.store import SplitSource, open_frames

    split = read_frameset(dataset(tmp_path / "data"), tmp_path / "memory").train
    frames = open_frames(SplitSource(split), [square(32)], tmp_path / "frames")[square(32)]
    samples = INPUTS["rgb"]().samples(frames, split.index, CPU)
    network = build("conv_ae", Shape("frame", 3, 32, 32), {"latent": 8}, seed=1)
    result = train(network, samples, replace(RECIPE, epochs=12, batch_size=3), 1, CPU)
    losses = [epoch.loss for epoch in result.epochs]
    assert losses[-1] < 0.5 * losses[0]
    assert losses[-1] < 0.05


def test_an_epoch_is_the_plain_mean_of_its_batches_and_the_last_partial_batch_counts():
    batches, epochs = [], []
    train(
        small(),
        Recorded(10),
        replace(RECIPE, epochs=2),
        0,
        CPU,
        Listener(on_batch=lambda count, loss: batches.append((count, float(loss))), on_epoch=epochs.append),
    )
    assert [count for count, _ in batches] == [4, 4, 2, 4, 4, 2]
    losses = [loss for _, loss in batches]
    assert [epoch.loss for epoch in epochs] == pytest.approx([sum(losses[:3]) / 3, sum(losses[3:]) / 3], rel=1e-12)
    assert [epoch.number for epoch in epochs] == [1, 2]
    assert all(epoch.seconds > 0 for epoch in epochs)


def test_training_is_in_train_mode():
    network = small().eval()
    train(network, Recorded(), replace(RECIPE, epochs=1), 0, CPU)
    assert int(network[1].num_batches_tracked) == 3


def orders(seed: int) -> list[list[int]]:
    samples = Recorded(10)
    train(small(), samples, replace(RECIPE, epochs=2), seed, CPU)
    return [[position for batch in samples.asked[part] for position in batch] for part in (slice(3), slice(3, 6))]


def test_the_order_follows_from_seed_and_epoch_alone():
    torch.manual_seed(99)
    first = orders(7)
    torch.manual_seed(100)
    assert orders(7) == first
    assert all(sorted(order) == list(range(10)) for order in first)
    assert first[0] != first[1]
    assert first[0] != list(range(10))
    assert orders(8)[0] != first[0]


@pytest.mark.parametrize(
    ("losses", "epochs", "kept"),
    [
        # An epoch improves when its loss is more than 1/8 below that of the last one that did.
        ([1.0, 0.95, 0.9, 0.5], 3, 1),
        ([1.0, 0.95, 0.85, 0.8, 0.74, 0.1], 5, 3),
        ([1.0, 0.875, 1.5, 0.1], 3, 1),
        ([1.0, 0.8, 0.6, 0.4, 0.2, 0.05], 6, 6),
    ],
)
@pytest.mark.parametrize("keep", ["best", "last"])
def test_training_stops_after_epochs_without_improvement(scripted, losses, epochs, kept, keep):
    scripted(*losses)
    recipe = replace(RECIPE, batch_size=16, min_delta=0.125, patience=2, keep=keep)
    result = train(small(), Recorded(), recipe, 0, CPU)
    assert [epoch.loss for epoch in result.epochs] == pytest.approx(losses[:epochs])
    assert result.epoch == (kept if keep == "best" else epochs)
    assert result.loss == pytest.approx(losses[result.epoch - 1])


@pytest.mark.parametrize(("keep", "kept"), [("best", 2), ("last", 4)])
def test_the_state_of_the_kept_epoch_is_given_back_and_restored(scripted, keep, kept):
    scripted(1.0, 0.2, 0.9, 0.3)
    network, states = small(), []
    recipe = replace(RECIPE, batch_size=16, epochs=4, keep=keep)
    result = train(network, Recorded(), recipe, 0, CPU, Listener(on_epoch=lambda _: states.append(copy_of(network))))
    assert result.epoch == kept
    assert same(result.state, states[kept - 1])
    assert same(network.state_dict(), states[kept - 1])
    assert not same(states[1], states[3])


def test_the_state_is_a_copy():
    network = small()
    result = train(network, Recorded(), replace(RECIPE, epochs=1), 0, CPU)
    before = {name: tensor.clone() for name, tensor in result.state.items()}
    nn.init.zeros_(network[0].weight)
    assert same(result.state, before)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_the_last_good_state(scripted, bad):
    scripted(1.0, 0.5, 0.7, bad)
    network, states = small(), []
    recipe = replace(RECIPE, batch_size=16)
    with pytest.raises(Diverged) as caught:
        train(network, Recorded(), recipe, 0, CPU, Listener(on_epoch=lambda _: states.append(copy_of(network))))
    assert str(caught.value) == "the loss became NaN or infinite in epoch 4"
    assert caught.value.epoch == 4
    good = caught.value.trained
    assert (good.epoch, good.loss, len(good.epochs)) == (2, 0.5, 3)
    assert same(good.state, states[1])


def test_a_first_epoch_that_is_not_finite_leaves_nothing(scripted):
    scripted(math.nan)
    with pytest.raises(Diverged) as caught:
        train(small(), Recorded(), replace(RECIPE, batch_size=16), 0, CPU)
    assert (caught.value.epoch, caught.value.trained) == (1, None)


def test_the_cosine_schedule_is_stepped_once_an_epoch():
    result = train(small(), Recorded(), replace(RECIPE, schedule=COSINE), 0, CPU)
    expected = [1e-5 + (1e-3 - 1e-5) * (1 + math.cos(math.pi * t / 6)) / 2 for t in range(6)]
    assert [epoch.lr for epoch in result.epochs] == pytest.approx(expected, rel=1e-12)


def test_weight_decay_reaches_the_optimizer():
    plain = train(small(), Recorded(), replace(RECIPE, epochs=2), 0, CPU)
    decayed = train(small(), Recorded(), replace(RECIPE, epochs=2, weight_decay=0.5), 0, CPU)
    decoupled = train(small(), Recorded(), replace(RECIPE, epochs=2, weight_decay=0.5, optimizer="adamw"), 0, CPU)
    assert not same(plain.state, decayed.state)
    assert not same(decayed.state, decoupled.state)


def test_a_weighted_loss_is_what_training_makes_small():
    network, samples, losses = small(), Recorded(4), []
    with torch.no_grad():
        frames = samples.batch(np.arange(4)).target
        expected = weighted_loss(MIXED)(copy.deepcopy(network)(frames), frames)
    recipe = replace(RECIPE, loss=MIXED)
    result = train(network, samples, recipe, 0, CPU, Listener(on_batch=lambda _, loss: losses.append(float(loss))))
    assert losses[0] == pytest.approx(expected.item(), rel=1e-5)
    assert result.epochs[-1].loss < result.epochs[0].loss


def norm_of(gradients):
    return math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients))


def gradients_by(clip, lr=1e-3):
    """The gradients with which each batch of an epoch changed the weights."""
    network, seen = small(), []
    recipe = replace(RECIPE, epochs=1, grad_clip=clip, lr=lr)
    train(network, Recorded(), recipe, 0, CPU,
          Listener(on_batch=lambda *_: seen.append([p.grad.clone() for p in network.parameters()])))  # fmt: skip
    return seen


def test_a_gradient_longer_than_grad_clip_is_shortened_to_it():
    free, clipped = gradients_by(None), gradients_by(0.05)
    norm = norm_of(free[0])
    assert norm > 0.1
    for before, after in zip(free[0], clipped[0], strict=True):
        torch.testing.assert_close(after, before * 0.05 / norm, rtol=1e-4, atol=1e-9)
    assert all(norm_of(gradients) <= 0.05 * (1 + 1e-6) for gradients in clipped)


def test_a_gradient_shorter_than_grad_clip_stays_as_it_is():
    assert all(
        torch.equal(a, b)
        for x, y in zip(gradients_by(None), gradients_by(1e3), strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_grad_clip_changes_what_is_learnt():
    plain, clipped = (train(small(), Recorded(), replace(RECIPE, grad_clip=c), 0, CPU) for c in (None, 0.05))
    assert not same(plain.state, clipped.state)
    assert clipped.epochs[-1].loss < clipped.epochs[0].loss


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    "change",
    [{"schedule": schedule} for schedule in (None, COSINE, RESTARTS, STEP, PLATEAU)]
    + [{"grad_clip": 0.05}, {"loss": MIXED}, {"schedule": PLATEAU, "lr": 0.3}],
)
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize("stop", [1, 4])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_training_that_was_cut_off_ends_bit_for_bit_as_undisturbed(tmp_path, change, optimizer, stop, keep):
    recipe = replace(RECIPE, optimizer=optimizer, weight_decay=1e-3, keep=keep, **change)
    undisturbed_network = small()
    undisturbed = train(undisturbed_network, Recorded(), recipe, 3, CPU)

    def kill(epoch):
        if epoch.number == stop:
            raise Killed

    with pytest.raises(Killed):
        train(small(), Recorded(), recipe, 3, CPU, Listener(resume=tmp_path / "state", on_epoch=kill))
    network = small(seed=77)
    resumed = train(network, Recorded(), recipe, 3, CPU, Listener(resume=tmp_path / "state"))

    assert (resumed.resumed_after, undisturbed.resumed_after) == (stop, 0)
    assert [(e.number, e.loss, e.lr) for e in resumed.epochs] == [(e.number, e.loss, e.lr) for e in undisturbed.epochs]
    assert resumed.epoch == undisturbed.epoch
    assert same(resumed.state, undisturbed.state)
    assert same(network.state_dict(), undisturbed_network.state_dict())


def test_the_kept_state_and_the_patience_survive_a_cut(tmp_path, scripted):
    recipe = replace(RECIPE, batch_size=16, patience=3)
    scripted(1.0, 0.2, 0.9)
    network, states = small(), []
    train(
        network,
        Recorded(),
        replace(recipe, epochs=3),
        0,
        CPU,
        Listener(resume=tmp_path / "state", on_epoch=lambda _: states.append(copy_of(network))),
    )
    scripted(0.8, 0.7, 0.1)
    result = train(small(), Recorded(), recipe, 0, CPU, Listener(resume=tmp_path / "state"))
    assert [epoch.loss for epoch in result.epochs] == pytest.approx([1.0, 0.2, 0.9, 0.8, 0.7])
    assert (result.epoch, result.loss) == (2, pytest.approx(0.2))
    assert same(result.state, states[1])


def test_a_finished_training_is_not_trained_on(tmp_path):
    first = train(small(), Recorded(), RECIPE, 0, CPU, Listener(resume=tmp_path / "state"))
    samples = Recorded()
    again = train(small(seed=5), samples, RECIPE, 0, CPU, Listener(resume=tmp_path / "state"))
    assert samples.asked == []
    assert again.resumed_after == 6
    assert same(again.state, first.state)


def test_a_damaged_state_is_refused(tmp_path):
    from vad.errors import InputError

    (tmp_path / "state").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError) as caught:
        train(small(), Recorded(), RECIPE, 0, CPU, Listener(resume=tmp_path / "state"))
    assert str(caught.value).startswith(f"{tmp_path / 'state'} is damaged or no safetensors file: ")


def test_bf16_trains_and_keeps_float32_weights():
    result = train(small(), Recorded(), replace(RECIPE, precision="bf16"), 0, CPU)
    plain = train(small(), Recorded(), RECIPE, 0, CPU)
    assert {tensor.dtype for tensor in result.state.values()} == {torch.float32, torch.int64}
    assert result.epochs[-1].loss < result.epochs[0].loss
    assert not same(result.state, plain.state)
