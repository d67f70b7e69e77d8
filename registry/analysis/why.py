"""What a run would train or reuse now, and what changed since last time, without running it."""

import ast
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from registry.analysis.changes import as_lines, changes, identity_of, run_changes
from registry.console import plural, table
from registry.runs.context import Request, RunContext, prepare
from registry.runs.executor import finished
from registry.runs.identity import changed_code, identity
from registry.runs.members import MemberStore
from registry.runs.training import task_of
from registry.store.tracking import Found, Tracking
from vad.detectors.kinds import make_detector
from vad.detectors.member import Member
from vad.detectors.training.trainer import so_far


@dataclass(frozen=True)
class Reason:
    """What would become of a member, and why."""

    member: str
    action: str
    why: str


@dataclass(frozen=True)
class Why:
    """What a run would do, and what differs from `last`: the newest finished run, on the same data if there is one."""

    entry: str
    data: str
    profile: str
    done: str | None
    last: str | None
    last_when: str
    entry_changes: list[str]
    data_changes: list[str]
    code_changes: list[str]
    members: list[Reason]


def why(request: Request) -> Why:
    """Look up every member as a run would. Raises InputError for what is wrong with entry, data or labels."""
    work = prepare(request)
    tracking = Tracking(maybe=True)
    store = MemberStore(tracking, request.home)
    done = finished(work, tracking)
    runs = tracking.find("experiment", tags={"vad.entry": work.plan.name})
    here = [run for run in runs if run.tags.get("vad.data") == work.data.place]
    last = next(iter(here or runs), None)
    now = identity(work)
    before = identity_of(last, tracking, request.home) if last else None
    trained = cache(lambda: _trained(work, tracking))  # asked for where a member is to be trained

    def changed(member: Member) -> str:
        return _changed(member, trained(), last, now, tracking, request.home)

    entry, data, code = run_changes(before, now, ("last time", "now")) if before else ([], [], [])
    return Why(
        entry=work.plan.name,
        data=work.data.name,
        profile=work.loaded.profile,
        done=done.run_id if done else None,
        last=last.run_id if last else None,
        last_when=last.when.rpartition(":")[0] if last else "",
        entry_changes=entry,
        data_changes=data,
        code_changes=code,
        members=[_reason(work, member, store, changed) for member in work.plan.members.values()],
    )


def as_text(found: Why) -> str:
    """The answer for a terminal: the conclusion first."""
    training = [r for r in found.members if r.action != "reused"]
    where = f"{found.entry} on {found.data}, profile {found.profile}"
    if found.done:
        head = f"{where}: done already by run {found.done}; nothing would be trained or scored (FORCE=1 runs it again)"
    elif not training:
        head = f"{where}: no member would be trained; scores that are new, fusion and metrics would be computed"
    else:
        done = {"to train": "trained", "to fit": "fitted"}
        what = " or ".join(word for task, word in done.items() if task in {r.action for r in training})
        head = f"{where}: {len(training)} of {plural(len(found.members), 'member')} would be {what}"
    parts = [head, "there is no finished run of this experiment to compare with"]
    if found.last:
        lines = as_lines(found.entry_changes, found.data_changes, found.code_changes)
        parts[1:] = [f"since run {found.last[:8]} of {found.last_when}", *(f"  {line}" for line in lines)]
    if found.members and not found.done:
        parts += ["", table(["member", "", "why"], [[r.member, r.action, r.why] for r in found.members])]
    return "\n".join(parts)


def _reason(work: RunContext, member: Member, store: MemberStore, changed: Callable[[Member], str]) -> Reason:
    digest = work.member_digests[member.name]
    if work.request.force:
        return Reason(member.name, task_of(member), "FORCE=1")
    if known := store.find(member, digest):
        target = work.scores_digest(member.name, work.targets[0])
        scored = all(store.scores(known, target, score) is not None for score in work.plan.scores(member.name))
        scores = "" if scored else "; its scores of these test frames are new"
        origin = ", ".join([known.trained_for, *known.told[:1]])
        return Reason(member.name, "reused", f"from run {known.run_id[:8]} ({origin}){scores}")
    resume = work.request.home / "resume" / f"{digest}.safetensors"
    if resume.exists():
        epochs = len(so_far(resume).epochs)
        return Reason(member.name, "to train", f"resumes after epoch {epochs}, where it was interrupted")
    return Reason(member.name, task_of(member), changed(member))


def _trained(work: RunContext, tracking: Tracking) -> list[Found]:
    """The finished members that were trained on these frames, whichever experiment did it; newest first."""
    if work.train is None:
        return []
    same = {"vad.train_digest": work.train_digest}
    parents = {run.run_id for run in tracking.find("experiment", statuses=("FINISHED", "FAILED", "KILLED"), tags=same)}
    return [run for run in tracking.find("member") if run.tags.get("mlflow.parentRunId") in parents]


def _changed(
    member: Member, trained: Sequence[Found], last: Found | None, now: dict[str, Any], tracking: Tracking, home: Path
) -> str:
    """Return what differs from the trained member of the same network with the fewest changes, else from the last run's."""
    settings, suffix = now["plan"]["members"][member.name], ""
    if alike := [run for run in trained if run.params.get("model") == member.model]:
        told = {run.run_id: changes(_settings(run), settings) for run in alike}
        nearest = min(alike, key=lambda run: (len(told[run.run_id]), run.name != member.name))
        before = identity_of(tracking.get(nearest.tags["mlflow.parentRunId"]), tracking, home)
        lines = [str(change) for change in told[nearest.run_id]]
        # A run that was cut off does not say by which code.
        other = "" if "training" in before["code"] else ", or another version of the code made them"
        gone = f"the weights of run {nearest.run_id[:8]} are gone or were altered{other}"
        if (nearest.name, nearest.tags.get("vad.entry")) != (member.name, now["name"]):
            suffix = f" (from {nearest.name} of {nearest.tags.get('vad.entry')})"
    elif last:
        before = identity_of(last, tracking, home)
        if (old := before["plan"].get("members", {}).get(member.name)) is None:
            return f"not in run {last.run_id[:8]}"
        lines = [str(change) for change in changes(old, settings)]
        lines += ["other train frames"] if before["data"].get("train") != now["data"]["train"] else []
        gone = f"the weights that run {last.run_id[:8]} used are gone or were altered"
    else:
        return f"never {'trained' if make_detector(member).trained else 'fitted'} on these frames"
    lines += _code_changed(before, now, member)
    return "; ".join(lines) + suffix if lines else gone


def _settings(run: Found) -> dict[str, Any]:
    """The settings of a member as it logged them, each as text."""
    settings: dict[str, Any] = dict(run.params)
    for key, text in run.params.items():
        with suppress(ValueError, SyntaxError):  # a bare word, as a loss's name
            settings[key] = ast.literal_eval(text)
    settings.pop("parameters", None)  # their number, which the network decides
    return settings


def _code_changed(before: dict[str, Any], now: dict[str, Any], member: Member) -> list[str]:
    code = {"training": "training code", "filter": "resize filter"}
    known = before["code"].get("blocks", {})  # of all members: what is this one's counts
    mine = {"blocks": {name: known[name] for name in member.code() if name in known}}
    return changed_code(mine, {"blocks": member.code()}) + [
        f"{word}: {before['code'][key]} -> {now['code'][key]}"
        for key, word in code.items()
        if before["code"].get(key, now["code"][key]) != now["code"][key]
    ]
