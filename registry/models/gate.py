"""The gate before production: a candidate's scores against those of what is production now, by the policy."""

from pathlib import Path

from filelock import FileLock

from registry.models.promotion import Decision, Policy, decide, read_policy
from registry.models.versions import PRODUCTION, Version, Versions
from registry.store.score_table import judged_table, same_judge
from registry.store.tracking import Tracking
from vad.metrics import Difference, difference, sample


def consider(candidate: Version, versions: Versions, tracking: Tracking, home: Path) -> Decision:
    """Let the candidate become production if the policy has it so, and record the decision either way."""
    policy = read_policy()
    lock = home / "locks" / "production"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):  # runs that end at once would each undo what the other decided
        return _consider(candidate, versions, tracking, home, policy)


def _consider(candidate: Version, versions: Versions, tracking: Tracking, home: Path, policy: Policy) -> Decision:
    overtaken = False
    while True:
        incumbent = versions.alias(PRODUCTION)
        if incumbent and incumbent.number == candidate.number:
            versions.settle(candidate)
            return decide(candidate.standing(), incumbent.standing(), policy)
        paired = compare_scores(candidate, incumbent, tracking, home) if incumbent and policy.confidence else None
        decision = decide(candidate.standing(), incumbent.standing() if incumbent else None, policy, paired)
        if not decision.promote:
            versions.refuse(candidate, decision.reason)
            if overtaken and incumbent:
                versions.confirm(incumbent)
            return decision
        # Another machine may have made its own version production meanwhile: then that is the one to beat.
        if _is(incumbent, versions.alias(PRODUCTION)):
            versions.promote(candidate, decision.reason)
            if _is(candidate, versions.alias(PRODUCTION)):
                return decision
            overtaken = True


def _is(one: Version | None, other: Version | None) -> bool:
    return (one and one.number) == (other and other.number)


def compare_scores(candidate: Version, incumbent: Version, tracking: Tracking, home: Path) -> Difference | None:
    """The candidate's AP less the incumbent's, paired; None where they were judged otherwise or scores are gone."""
    sampled = []
    one, other = (judged_table(tracking, version.run_id, home) for version in (candidate, incumbent))
    if one is None or other is None or not same_judge(one, other) or one.labels is None:
        return None
    for version, scores in ((candidate, one), (incumbent, other)):
        values = scores.variants.get(version.tags.get("vad.variant", ""))
        if values is None:
            return None
        sampled.append(sample(values, one.labels, one.index))
    return difference(*sampled)
