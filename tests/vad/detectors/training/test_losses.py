import numpy as np
import pytest
import torch

from vad.detectors.training.losses import LOSSES, weighted_loss
from vad.errors import InputError


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(6)
    return tuple(torch.rand(3, 2, 13, 13, generator=generator) * 2 - 1 for _ in range(2))


def test_mse_is_the_mean_over_everything(pair):
    output, target = (np.ravel(values.tolist()) for values in pair)
    assert LOSSES["mse"](*pair).item() == pytest.approx(sum((output - target) ** 2) / len(output), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES.names())
def test_one_loss_by_name_is_that_loss(pair, name):
    assert weighted_loss(name) is LOSSES[name]
    assert LOSSES[name](*pair).shape == ()


@pytest.mark.parametrize(
    "parts",
    [
        (("mse", 1.0), ("ssim", 0.5), ("gradient", 0.2)),
        (("gradient", 3.0), ("mse", 0.25)),
        (("ssim", 0.7),),
    ],
)
def test_several_losses_are_summed_by_their_weights(pair, parts):
    expected = sum(weight * LOSSES[name](*pair).item() for name, weight in parts)
    assert weighted_loss(parts)(*pair).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("parts", [*LOSSES.names(), (("mse", 1.0), ("ssim", 0.5), ("gradient", 0.2))])
def test_a_loss_pulls_the_output_towards_the_target(pair, parts):
    output, target = pair
    output = output.clone().requires_grad_()
    loss = weighted_loss(parts)(output, target)
    loss.backward()
    assert output.grad.isfinite().all()
    assert (output.grad != 0).float().mean() > 0.5
    nearer = (output - 0.01 * output.grad / output.grad.norm()).detach()
    assert weighted_loss(parts)(nearer, target) < loss


@pytest.mark.parametrize("name", LOSSES.names())
def test_where_nothing_differs_there_is_no_loss_and_the_gradient_is_finite(pair, name):
    output = pair[1].clone().requires_grad_()
    loss = LOSSES[name](output, pair[1])
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert output.grad.isfinite().all()


@pytest.mark.parametrize("level", [-1.0, 0.0, 1.0])
def test_flat_black_or_white_images_leave_the_gradient_finite(level):
    output = torch.full((1, 3, 12, 12), level, requires_grad=True)
    weighted_loss((("mse", 1.0), ("ssim", 1.0), ("gradient", 1.0)))(
        output, torch.full((1, 3, 12, 12), level)
    ).backward()
    assert output.grad.isfinite().all()


def test_an_unknown_loss_is_refused():
    with pytest.raises(InputError, match=r'^unknown loss "msse"; did you mean "mse"\? '):
        weighted_loss((("msse", 1.0),))
