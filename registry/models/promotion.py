"""Which version is production: a policy in YAML, and a pure decision with its reasons."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from registry.entries.yaml_reader import read_yaml, validated
from vad.errors import InputError
from vad.measures.metrics import Difference

FILE = Path("promotion.yaml")
_OURS = Path(__file__).parent / FILE


class Policy(BaseModel):
    """What a candidate must reach. The comments of `promotion.yaml` say what each key means."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    same_data: bool
    min_gain: float = Field(ge=0, le=1)
    confidence: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class VersionMetric:
    """A version's metric: `figure` is `ap` or `proxy_ap`; `protocol` says on which frames and labels; `demo`: of the demo street."""

    version: str
    figure: str
    value: float
    protocol: str
    demo: bool = False


@dataclass(frozen=True)
class Decision:
    promote: bool
    reason: str


def read_policy() -> Policy:
    """Read the policy of the working folder, or the one that comes with the project. Raises InputError with file and line."""
    own = [path for path in (FILE, FILE.with_suffix(".yml")) if path.is_file()]
    if len(own) > 1:
        raise InputError(f"{own[0]} and {own[1]} both exist; remove one")
    return validated(read_yaml(own[0] if own else _OURS), Policy)


def decide(
    candidate: VersionMetric, incumbent: VersionMetric | None, policy: Policy, paired: Difference | None = None
) -> Decision:
    """Decide whether a candidate becomes production; `paired` is its AP less production's, None if unknown."""
    if incumbent is None:
        return Decision(True, "there was no production model")
    if candidate.version == incumbent.version:
        return Decision(False, f"version {incumbent.version} is production already")
    if incumbent.demo and not candidate.demo:
        return Decision(True, f"version {incumbent.version} is of the demo street, which is only for trying things out")
    by_hand = f"`vad promote {candidate.version}` makes version {candidate.version} production all the same"
    if candidate.figure != incumbent.figure or (policy.same_data and candidate.protocol != incumbent.protocol):
        other = f"version {incumbent.version} was measured on other data or by another protocol"
        return Decision(False, f"{other}, so the two cannot be compared; {by_hand}")
    gain = candidate.value - incumbent.value
    figures = f"{candidate.figure} {candidate.value:.4f} against {incumbent.value:.4f} of version {incumbent.version}"
    if gain <= 0:
        return Decision(False, f"not better: {figures}")
    if gain < policy.min_gain:
        return Decision(False, f"better by {gain:.4f}, less than min_gain {policy.min_gain:g}: {figures}; {by_hand}")
    if not policy.confidence or candidate.protocol != incumbent.protocol:
        return Decision(True, f"better: {figures}")
    if paired is not None and not paired.has_interval:
        few = f"{paired.videos} videos are too few to say how surely"
        return Decision(False, f"better, but {few}: {figures}; {by_hand}")
    if paired is None:
        gone = f"scores of version {incumbent.version} are missing or altered, so the confidence cannot be computed"
        asked = f"(confidence {policy.confidence:g} is asked)"
        return Decision(False, f"better, but {gone} {asked}: {figures}; {by_hand}")
    surely = f"in {paired.better:.0%} of the draws of {paired.videos} videos the better one"
    if paired.better < policy.confidence:
        return Decision(False, f"better, but {surely}, and {policy.confidence:.0%} is asked: {figures}; {by_hand}")
    return Decision(True, f"better: {figures}; {surely}")
