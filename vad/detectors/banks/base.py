"""The interface of banks, and their catalog."""

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from vad.catalog import Catalog


class Bank(Protocol):
    """A kind of bank, with its options."""

    takes: str
    """The kind of samples."""

    def keep(self, cells: Tensor) -> Tensor:
        """Return which of these train samples, (N, C, h, w), to keep: their numbers, ascending."""

    def prepare(self, cells: Tensor) -> Any:
        """Return what `distances` needs of the kept samples, (N, C, h, w), on the device that computes: once for all passes."""

    def distances(self, cells: Tensor, prepared: Any, left_out: Tensor | None) -> Tensor:
        """Return the distance of each cell of test samples, (B, C, h, w), from the bank: float32 (B, h, w).

        `left_out`, bool (B, N), says which train samples each must not be compared with.
        """


BANKS: Catalog[Callable[..., Bank]] = Catalog("model")
