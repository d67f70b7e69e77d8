"""Which version is production: a policy in YAML, a decision that is logged first, and aliases that follow it.

A decision that was cut off is completed by the next process. Of two machines that decide at once both follow the later.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from pydantic import Field

from registry.entries.yaml_reader import Strict, read_yaml, validated
from registry.models.history import FOLLOWED, Action, Event
from registry.models.versions import DECISION, PREVIOUS, PRODUCTION, Version, VersionMetric, Versions
from registry.store.score_table import labelled_table, same_labels
from registry.store.tracking import Tracking
from vad.errors import InputError
from vad.measures.metrics import Difference, difference, sample
from vad.system.files import names_in

FILE = Path("promotion.yaml")
_OURS = Path(__file__).parent / FILE


class SuiteRule(Strict):
    """The least worst case over the data sets of a suite; `file` is relative to the working folder."""

    file: str
    worst: float = Field(ge=0, le=1)


class Policy(Strict):
    """What a candidate must reach. The comments of `promotion.yaml` say what each key means."""

    same_data: bool
    min_gain: float = Field(ge=0, le=1)
    confidence: float = Field(ge=0, le=1)
    suite: SuiteRule | None = None


@dataclass(frozen=True)
class Decision:
    promote: bool
    reason: str


def read_policy() -> Policy:
    """Read the policy of the working folder, or the one that comes with the project. Raises InputError with file and line."""
    names = (FILE.name, FILE.with_suffix(".yml").name)
    own = [Path(name) for name in names_in(FILE.parent) if name.casefold() in names]
    if len(own) > 1:
        raise InputError(f"{own[0]} and {own[1]} both exist; remove one")
    policy = validated(read_yaml(own[0] if own else _OURS), Policy, {("suite", 2): SuiteRule})
    if policy.suite:
        from registry.suites.suite import read_suite

        read_suite(Path(policy.suite.file))
    return policy


def decide(
    candidate: VersionMetric, incumbent: VersionMetric | None, policy: Policy, paired: Difference | None = None
) -> Decision:
    """Decide whether a candidate becomes production; `paired` is its AP less production's, None if unknown."""
    if incumbent is None:
        return Decision(True, "there was no production model")
    if candidate.version == incumbent.version:
        return Decision(False, f"version {incumbent.version} is production already")
    by_hand = f"`vad promote {candidate.version}` makes version {candidate.version} production all the same"
    if candidate.protocol != incumbent.protocol and bool(candidate.trial) != bool(incumbent.trial):
        tried = incumbent if incumbent.trial else candidate
        only = f"version {tried.version} is of {tried.trial}, which is only for trying things out"
        return Decision(True, only) if incumbent.trial else Decision(False, f"{only}; {by_hand}")
    if candidate.metric != incumbent.metric or (policy.same_data and candidate.protocol != incumbent.protocol):
        other = f"version {incumbent.version} was measured on other data or by another protocol"
        if candidate.trial and incumbent.trial:
            both = f"versions {incumbent.version} and {candidate.version} are both only for trying things out"
            other = f"{both} ({incumbent.trial}; {candidate.trial}) and were measured on different data"
            by_hand = f"a run with `--profile full` on your own data takes production, or {by_hand}"
        return Decision(False, f"{other}, so the two cannot be compared; {by_hand}")
    gain = candidate.value - incumbent.value
    values = f"{candidate.metric} {candidate.value:.4f} against {incumbent.value:.4f} of version {incumbent.version}"
    if gain <= 0:
        return Decision(False, f"not better: {values}")
    if gain < policy.min_gain:
        return Decision(False, f"better by {gain:.4f}, less than min_gain {policy.min_gain:g}: {values}; {by_hand}")
    if not policy.confidence or candidate.protocol != incumbent.protocol:
        return Decision(True, f"better: {values}")
    if paired is not None and not paired.has_interval:
        few = f"{paired.videos} videos are too few to say how surely"
        return Decision(False, f"better, but {few}: {values}; {by_hand}")
    if paired is None:
        gone = f"scores of version {incumbent.version} are missing or altered, so the confidence cannot be computed"
        asked = f"(confidence {policy.confidence:g} is asked)"
        return Decision(False, f"better, but {gone} {asked}: {values}; {by_hand}")
    # Rounded down: 49.8 % is less than the 50 % that is asked.
    surely = f"in {int(100 * paired.better + 1e-9)}% of the draws of {paired.videos} videos the better one"
    if paired.better < policy.confidence:
        return Decision(False, f"better, but {surely}, and {policy.confidence:.0%} is asked: {values}; {by_hand}")
    return Decision(True, f"better: {values}; {surely}")


class Production:
    """The decisions on a store's registered model. On one machine they are made one after the other."""

    def __init__(self, versions: Versions, home: Path):
        self._versions, self._tracking, self._history = versions, versions.tracking, versions.history
        self._home = home

    def consider(self, candidate: Version) -> Decision:
        """Make a candidate production if the policy has it so; record the decision either way."""
        policy = read_policy()
        with self._alone():
            incumbent, seen = self._versions.alias(PRODUCTION), self._history.last()
            decision = self._compare(candidate, incumbent, policy)
            if incumbent and incumbent.number == candidate.number:
                return decision
            if not decision.promote:
                self._note("refused", candidate, incumbent, decision.reason)
                return decision
            made = self._make(candidate, incumbent, "promoted", decision.reason)
            # Another machine may have decided since this one looked: then that is the version to beat.
            decisions = self._history.deciding()
            ids = [known.run_id for known in decisions]
            between = decisions[ids.index(made.run_id) + 1 : ids.index(seen.run_id) if seen else None]
            rival = next((v for v in self._versions.all() if between and v.number == between[0].version), None)
            if rival is None or rival.number == candidate.number:
                return decision
            again = self._compare(candidate, rival, policy)
            if not again.promote:
                self._note("refused", candidate, rival, again.reason)
                self._make(rival, candidate, "promoted", "stays: it was decided on in the same moment")
            return again

    def promote(self, version: Version, reason: str) -> None:
        """Make a version production, and production previous. Raises InputError where it is that already, or has lost files."""
        self._versions.require_whole(version)
        with self._alone() as completed:
            incumbent, last = self._versions.alias(PRODUCTION), self._history.last()
            if not (incumbent and last and incumbent.number == last.version == version.number):
                self._make(version, incumbent, "promoted", reason)
            elif not completed:
                raise InputError(f"version {version.number} is production already")

    def rollback(self) -> Version:
        """Make the previous production model production again. Raises InputError where there is none, or its files are gone."""
        with self._alone():
            previous, incumbent = self._versions.alias(PREVIOUS), self._versions.alias(PRODUCTION)
            if previous is None or incumbent is None:
                raise InputError("there is no previous production model to go back to")
            self._versions.require_whole(previous)
            self._make(previous, incumbent, "rolled back", f"went back from version {incumbent.number}")
            return previous

    def receive(self, version: Version, reason: str) -> None:
        """Take in a version from another store. It never becomes production by that: `vad promote` is for people."""
        with self._alone():
            self._versions.nominate(version)
            incumbent = self._versions.alias(PRODUCTION)
            if not (incumbent and incumbent.number == version.number):
                self._note("imported", version, incumbent, reason)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Decide while no other process of this machine does; yield whether a decision that was cut off had to be completed."""
        lock = self._home / "locks" / "production"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            last = self._history.last()
            cut_off = last is not None and not last.followed
            if last and cut_off:
                self._follow(last)
            yield cut_off

    def _make(self, version: Version, incumbent: Version | None, action: Action, reason: str) -> Event:
        before = incumbent.number if incumbent and incumbent.number != version.number else None
        event = self._history.add(action, version.number, before, reason)
        self._follow(event)
        return event

    def _follow(self, event: Event) -> None:
        """Set the aliases as the last decision has it: this one, or one that another machine made meanwhile."""
        while True:
            if event.production_before.isdigit():
                self._versions.point(PREVIOUS, event.production_before)
            self._versions.make_production(event.version)
            last = self._history.last()
            if last is None or last.run_id == event.run_id:
                break
            event = last
        self._versions.tag(event.version, DECISION, f"{event.action}: {event.reason}")
        self._tracking.reopen(event.run_id).tags({FOLLOWED: "yes"})

    def _note(self, action: Action, version: Version, incumbent: Version | None, reason: str) -> None:
        self._versions.tag(version.number, DECISION, f"{action}: {reason}")
        self._history.add(action, version.number, incumbent.number if incumbent else None, reason)

    def _compare(self, candidate: Version, incumbent: Version | None, policy: Policy) -> Decision:
        paired = None
        if policy.suite and not (incumbent and incumbent.number == candidate.number):
            from registry.suites.worst_case import short_of

            rule = policy.suite
            if reason := short_of(candidate, Path(rule.file), rule.worst, self._tracking, self._home):
                by_hand = f"`vad promote {candidate.number}` makes version {candidate.number} production all the same"
                return Decision(False, f"{reason}; {by_hand}")
        if incumbent and incumbent.number != candidate.number:
            if not self._versions.complete(incumbent):
                return Decision(True, f"version {incumbent.number} has lost files of its model")
            if policy.confidence:
                paired = compare_scores(candidate, incumbent, self._tracking, self._home)
        return decide(candidate.metric(), incumbent.metric() if incumbent else None, policy, paired)


def compare_scores(candidate: Version, incumbent: Version, tracking: Tracking, home: Path) -> Difference | None:
    """Return the candidate's AP less the incumbent's, paired; None where they were measured by other labels or scores are gone."""
    one, other = (labelled_table(tracking, version.run_id, home) for version in (candidate, incumbent))
    if one is None or other is None or not same_labels(one, other):
        return None
    names = (version.tags.get("vad.variant", "") for version in (candidate, incumbent))
    scores = [table.variants.get(name) for table, name in zip((one, other), names, strict=True)]
    if one.labels is None or any(values is None for values in scores):
        return None
    return difference(*(sample(values, one.labels, one.index) for values in scores if values is not None))
