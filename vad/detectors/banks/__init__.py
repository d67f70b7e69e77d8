"""Banks: detectors that keep samples of train frames and compare test frames with them. Filed under the name that entries use."""

from vad.detectors.banks import cells  # noqa: F401
from vad.detectors.banks.base import BANKS, Bank, BankDetector

__all__ = ["BANKS", "Bank", "BankDetector"]
