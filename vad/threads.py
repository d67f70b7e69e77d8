"""On how many threads a network computes. Sums are split among threads, so the last bits of a result depend on it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def using(count: int | None) -> Iterator[None]:
    """Compute on so many threads of the processor, in this thread of Python; None leaves it as it is."""
    before = torch.get_num_threads()
    if count is not None and count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
