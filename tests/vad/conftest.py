from collections.abc import Callable

import pytest
from torch import nn

from vad.detectors.training import losses


@pytest.fixture
def scripted(monkeypatch) -> Callable[..., None]:
    """Let the epochs' losses be these numbers; their gradient is that of the true loss."""

    def use(*numbers: float) -> None:
        left = iter(numbers)

        def loss(output, target):
            true = nn.functional.mse_loss(output, target)
            return true - true.detach() + next(left)

        monkeypatch.setattr(losses, "LOSSES", {"mse": loss})

    return use
