"""The kinds of detectors: which class makes a detector of a member."""

from vad.detectors.bank_detector import BankDetector
from vad.detectors.base import Detector
from vad.detectors.member import Member
from vad.detectors.network_detector import NetworkDetector
from vad.detectors.networks import NETWORKS


def detector_class(model: str) -> type[NetworkDetector] | type[BankDetector]:
    """Return the detector class of a model."""
    return NetworkDetector if model in NETWORKS else BankDetector


def make_detector(member: Member) -> Detector:
    """Return a detector with a member's settings, not fitted yet."""
    return detector_class(member.model)(member)
