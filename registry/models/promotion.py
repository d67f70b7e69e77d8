"""Which version is production: a pure decision with its reason."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """What promotion looks at: a version, the figure it reached, and the data and protocol of that figure."""

    version: str
    figure: str
    value: float
    protocol: str


@dataclass(frozen=True)
class Decision:
    promote: bool
    reason: str


def decide(candidate: Standing, incumbent: Standing | None) -> Decision:
    """A candidate becomes production where there is none, or where it beats it on the same data and protocol."""
    if incumbent is None:
        return Decision(True, "there was no production model")
    if candidate.version == incumbent.version:
        return Decision(False, f"version {incumbent.version} is production already")
    if candidate.protocol != incumbent.protocol or candidate.figure != incumbent.figure:
        return Decision(
            False,
            f"version {incumbent.version} was measured on other data or by another protocol, so the two cannot be "
            f"compared; `vad promote {candidate.version}` makes version {candidate.version} production all the same",
        )
    figures = f"{candidate.figure} {candidate.value:.4f} against {incumbent.value:.4f} of version {incumbent.version}"
    if candidate.value > incumbent.value:
        return Decision(True, f"better: {figures}")
    return Decision(False, f"not better: {figures}")
