"""Who was production when, and why: every decision on the registered model is a small run in an experiment of its own."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from registry.console import table
from registry.provenance import user
from registry.store.tracking import Found, Tracking

EXPERIMENT = "decisions on vad-ensemble"
ORDER = "vad.decision_number"
"""The tag that orders decisions, as clocks of machines differ. Earlier versions did not set it: theirs come first."""
FOLLOWED = "vad.followed"
"""The tag that says whether the aliases were set as a decision says."""
DECIDING = ("promoted", "rolled back")
Action = Literal["promoted", "refused", "rolled back", "imported"]


@dataclass(frozen=True)
class Event:
    """One decision: what was done with a version, and which one was production before it."""

    when: str
    action: str
    version: str
    production_before: str
    reason: str
    by: str
    run_id: str
    followed: bool


def order_of(run: Found) -> tuple[int, float, str]:
    """Return what to sort decisions by, oldest first."""
    order = int(run.tags.get(ORDER, "0"))
    return order, 0.0 if order else run.started, run.run_id


class History:
    """The decisions, which are only ever added to."""

    def __init__(self, tracking: Tracking):
        self._tracking = tracking

    def add(self, action: Action, version: str, production_before: str | None, reason: str) -> Event:
        """Write a decision down, unless it is the newest one: a process that was killed decides again."""
        params = {"action": action, "version": version, "production_before": production_before or "-"}
        newest = next(iter(self._runs()), None)
        if newest and params.items() <= newest.params.items() and newest.tags.get("vad.reason") == reason:
            return _event(newest)
        note = "Every decision on the registered model, newest first. The same in a terminal: `vad history`."
        experiment = self._tracking.experiment(EXPERIMENT, {"mlflow.note.content": note})
        order = str(1 + (order_of(newest)[0] if newest else 0))
        tags = {ORDER: order, "vad.reason": reason, "mlflow.user": user(), "mlflow.note.content": reason}
        tags |= {FOLLOWED: "no"} if action in DECIDING else {}
        digest = hashlib.sha256("\n".join((*params.values(), reason)).encode()).hexdigest()
        log = self._tracking.open_run(experiment, "decision", digest, f"v{version} {action}", tags)
        log.log(params=params)
        log.end("FINISHED")
        return _event(self._tracking.get(log.run_id))

    def events(self) -> list[Event]:
        """Return every decision, newest first."""
        return [_event(run) for run in self._runs()]

    def deciding(self) -> list[Event]:
        """Return those that made a version production, newest first."""
        return [event for event in self.events() if event.action in DECIDING]

    def last(self) -> Event | None:
        """Return the last decision that made a version production."""
        return next(iter(self.deciding()), None)

    def _runs(self) -> list[Found]:
        return sorted(self._tracking.find("decision"), key=order_of, reverse=True)


def _event(run: Found) -> Event:
    action, version, before = (run.params.get(key, "") for key in ("action", "version", "production_before"))
    reason, by = run.tags.get("vad.reason", ""), run.tags.get("mlflow.user", "")
    return Event(run.when, action, version, before, reason, by, run.run_id, run.tags.get(FOLLOWED) != "no")


def as_text(events: list[Event], production: str | None) -> str:
    """Return a table for a terminal, newest first."""
    if not events:
        return "No decision yet: the first run with labels or held-out frames makes its model production."
    now = f"production is version {production}" if production else "there is no production model"
    before = [f"v{e.production_before}" if e.production_before.isdigit() else e.production_before for e in events]
    rows = [[e.when, f"v{e.version}", e.action, b, e.by or "-", e.reason] for e, b in zip(events, before, strict=True)]
    return f"{now}\n\n{table(['when', 'version', 'decision', 'production before', 'by', 'reason'], rows)}"
