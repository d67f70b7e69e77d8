"""Banks keep samples of train frames, with which test frames are compared. Each is registered under the name that entries use."""

from vad.detectors.banks import cells  # noqa: F401
from vad.detectors.banks.base import BANKS, Bank

__all__ = ["BANKS", "Bank"]
