"""A recorded run once more, from its artifacts alone: its entry, its commit, its data; and whether the same comes out.

It runs in a folder and a store of its own, trains every member anew, and touches neither store nor caches of this place.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from registry.analysis.differences import plan_changes
from registry.console import Console, plural, table
from registry.data.datasets import DEMO, NO_LABELS, Dataset, first_frame_of, open_frames_of
from registry.provenance import checkout
from registry.runs.identity import changed_frames, stored_identity, videos_of
from registry.store.address import sqlite_uri
from registry.store.record import recorded
from registry.store.score_table import TEST, ScoreTable, read_table
from registry.store.tracking import Found, Tracking
from vad.errors import InputError
from vad.system.files import sha256
from vad.system.weights import load_tensors

_PROJECT = Path(__file__).resolve().parents[2]
_STOPPED = 130
_FEW = 12


@dataclass(frozen=True)
class Repeated:
    """What came out the second time: for each member whether its weights are the same bits, for each variant the largest
    difference of a frame's score (None where the run has no such variant now), and what was not as it was then."""

    run_id: str
    members: dict[str, bool]
    variants: dict[str, float | None]
    predictions: bool
    notes: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether weights, scores and predictions file are the same, bit for bit."""
        return self.predictions and all(self.members.values()) and all(d == 0 for d in self.variants.values())


def reproduce(run: Found, data: str | None, tracking: Tracking, home: Path, console: Console) -> Repeated:
    """Run a finished run again and compare.

    `data` is where its frames lie now, if not where they lay then. Raises InputError where its record is gone or was
    altered, for data that are not the same, and where the run does not end.
    """
    record = _Record(run, tracking, home)
    identity = stored_identity(tracking, run, home)
    if identity is None:
        raise InputError(f"run {run.run_id} has no record of what it was made from: it is older than such records")
    _require_whole(record, run, tracking, home)
    place = _data(run, identity, data, home)
    home.mkdir(parents=True, exist_ok=True)
    notes: list[str] = []
    with tempfile.TemporaryDirectory(dir=home, prefix=".reproduce-") as work, _code(identity, notes) as code:
        folder = Path(work).resolve()
        (folder / "experiments").mkdir()
        (folder / "experiments" / f"{identity['name']}.yaml").write_text(record.read("entry.yaml"), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "registry.cli",
            "run",
            identity["name"],
            "--profile",
            identity["profile"],
            *place,
        ]
        for setting in [*identity["set"], *_files(run, record.read("entry.yaml"), identity)]:
            command += ["--set", setting]
        console.say(f"run {run.run_id} ({identity['name']}) once more:")
        for note in notes:
            console.say(f"  note: {note}")
        _run(command, folder, code, identity, notes)
        return _compare(run, tracking, home, identity, folder, notes)


def _require_whole(record: "_Record", run: Found, tracking: Tracking, home: Path) -> None:
    """Raise InputError where a file that will be compared is gone or was altered: before hours of training, not after them."""
    members = json.loads(record.read("results.json"))["members"].values()
    for owner in (run, *(tracking.get(member) for member in members)):
        for path in recorded(owner.tags):
            if tracking.fetch(owner.run_id, path, home / "fetched" / owner.run_id) is None:
                raise InputError(f"{path} of run {owner.run_id} is gone; bring it back, or run the experiment again")


def as_text(found: Repeated) -> str:
    """Members, variants and the verdict, for a terminal."""
    members = [[name, "the same" if same else "differ"] for name, same in found.members.items()]
    variants = [
        [name, "not there now" if difference is None else f"{difference:.3g}" if difference else "none"]
        for name, difference in found.variants.items()
    ]
    parts = [table(["member", "weights"], members)] if members else []
    parts.append(table(["variant", "largest difference of a frame's score"], variants))
    parts += [f"note: {note}" for note in found.notes]
    verdict = "reproduced: bit for bit the same" if found.same else "not reproduced: see above"
    return "\n\n".join([*parts, f"run {found.run_id}: {verdict}"])


class _Record:
    """The artifacts of a run, checked against their SHA-256."""

    def __init__(self, run: Found, tracking: Tracking, home: Path):
        self._run, self._tracking, self._home = run, tracking, home

    def path(self, name: str) -> Path:
        found = self._tracking.fetch(self._run.run_id, name, self._home / "fetched" / self._run.run_id)
        if found is None:
            raise InputError(f"run {self._run.run_id} has lost {name}, without which it cannot be repeated")
        return found

    def read(self, name: str) -> str:
        return self.path(name).read_text(encoding="utf-8")


def _data(run: Found, identity: Mapping[str, Any], data: str | None, home: Path) -> list[str]:
    """The options that name a run's data, once they were found to be what they were."""
    first_frame = first_frame_of(run.tags)
    first = [] if first_frame is None else ["--first-frame", str(first_frame)]
    if not identity["videos"]:
        labels = run.tags.get("vad.labels", NO_LABELS)
        return ["--labels", labels if labels == NO_LABELS else str(Path(labels).resolve()), *first]
    demo = identity["data"]["name"] == DEMO and data is None
    place = None if demo else data or run.tags.get("vad.data", "")
    if place is not None and not Path(place).exists():
        raise InputError(f"the data of run {run.run_id} ({place or 'unknown'}) is not here; give --data FOLDER")
    labels = run.tags.get("vad.labels", NO_LABELS)
    found_in_data = data is not None and labels != NO_LABELS and not Path(labels).exists()
    now = open_frames_of(place, None if demo or found_in_data else labels, home, first_frame)
    _require_same(identity, now, run)
    options = first if demo else [*first, "--data", str(Path(str(place)).resolve())]
    return options + ([] if demo else ["--labels", str(Path(now.labels.source).resolve()) if now.labels else NO_LABELS])


def _require_same(identity: Mapping[str, Any], now: Dataset, run: Found) -> None:
    assert now.frames is not None
    videos = {"videos": {"train": videos_of(now.frames.train), "test": videos_of(now.frames.test)}}
    for split in ("train", "test"):
        if lines := changed_frames(identity, videos, split):
            raise InputError(
                f"{now.place} is not the data of run {run.run_id}: {split} frames differ: {'; '.join(lines[:_FEW])}"
            )
    if now.labels is not None and now.labels.digest != identity["data"]["judge"]:
        raise InputError(f"{now.labels.source} does not hold the labels of run {run.run_id}")


def _files(run: Found, entry: str, identity: Mapping[str, Any]) -> Iterator[str]:
    """Settings that name the predictions files of an entry by their places."""
    base = Path(run.tags.get("mlflow.source.name", "")).resolve().parent
    for name, stream in yaml.safe_load(entry)["streams"].items():
        if isinstance(stream, dict) and "scores" in stream:
            path = (base / stream["scores"]).resolve()
            if not path.is_file() or sha256(path) != identity["files"].get(name):
                raise InputError(f"{path} is not there, or not the file that run {run.run_id} read as streams.{name}")
            yield f"streams.{name}.scores={path}"


@contextmanager
def _code(identity: Mapping[str, Any], notes: list[str]) -> Iterator[Path]:
    """The project as it was at the run's commit: a checkout of it, or this one where it is the same or that is gone.

    Changes of this one that are not committed count for a run alone that had such itself.
    """
    then, here = identity["code"], checkout()
    if then.get("dirty") == "yes":
        notes.append(
            f"files were not committed when it was run: commit {then['commit'][:12]} may not be all of its code"
        )
    as_it_was = then.get("commit") == here["commit"] and (here["dirty"] != "yes" or then.get("dirty") == "yes")
    if as_it_was or not then.get("commit"):
        yield _PROJECT
        return
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "code"
        made = _git("worktree", "add", "--detach", str(folder), then["commit"])
        if made:
            notes.append(
                f"its commit is not here ({made}): it ran with the code of {here['commit'][:12] or 'this place'}"
            )
            yield _PROJECT
            return
        try:
            yield folder
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> str:
    """Run git on the project; what it complained of, or nothing."""
    try:
        done = subprocess.run(["git", "-C", str(_PROJECT), *arguments], capture_output=True, text=True)
    except OSError as error:
        return str(error.strerror)
    return (done.stderr.strip() or "git failed").splitlines()[-1] if done.returncode else ""


def _run(command: list[str], folder: Path, code: Path, identity: Mapping[str, Any], notes: list[str]) -> None:
    given = {key: value for key, value in os.environ.items() if key not in ("MLFLOW_TRACKING_URI", "VAD_HOME")}
    given |= {
        "PYTHONPATH": str(code),
        "MLFLOW_TRACKING_URI": sqlite_uri(folder / "mlflow.db"),
        "MLFLOW_REGISTRY_URI": "",
    }
    if threads := identity.get("threads"):
        given["OMP_NUM_THREADS"] = str(threads)
    done = subprocess.run(command, cwd=folder, env=given, stdout=subprocess.PIPE, text=True)
    if done.returncode == _STOPPED:
        raise KeyboardInterrupt
    if done.returncode:
        raise InputError("; ".join(["the run did not come to its end this time (see above)", *notes]))


def _compare(
    run: Found, tracking: Tracking, home: Path, identity: Mapping[str, Any], folder: Path, notes: list[str]
) -> Repeated:
    again = Tracking(sqlite_uri(folder / "mlflow.db"))
    record = _Record(run, tracking, home)
    (parent,) = again.find("experiment")
    new = _Record(parent, again, folder)
    plan = stored_identity(again, parent, folder)
    notes += [f"{change}" for change in plan_changes(identity["plan"], plan["plan"])] if plan else []
    trained = {member.name: member for member in again.find("member")}
    members = {}
    for name, run_id in yaml.safe_load(record.read("results.json"))["members"].items():
        original, repeated = tracking.get(run_id), trained.get(name)
        members[name] = repeated is not None and _equal(
            _weights(original, tracking, home), _weights(repeated, again, folder)
        )
        ways = [_computed(member) for member in (original, repeated) if member is not None]
        if len(set(ways)) == 2 and all(ways):
            notes.append(
                f"{name} was trained in {ways[0]} and this time in {ways[1]}; that alone changes its last digits"
            )
    then, now = read_table(record.path(TEST)), read_table(new.path(TEST))
    name = f"predictions-{run.params['best_variant']}.csv"
    best_now = f"predictions-{parent.params['best_variant']}.csv"
    same_file = name == best_now and record.path(name).read_bytes() == new.path(name).read_bytes()
    return Repeated(run.run_id, members, _differences(then, now), same_file, notes)


def _computed(member: Found) -> str:
    """In which precision, on how many threads a member was trained; empty for one that is older than such records."""
    precision, threads = member.tags.get("vad.precision"), member.tags.get("vad.threads")
    return f"{precision} on {plural(int(threads), 'thread')}" if precision and threads else ""


def _weights(member: Found, tracking: Tracking, home: Path) -> dict[str, Tensor]:
    path = _Record(member, tracking, home).path(f"{member.tags['vad.checkpoint']}/weights.safetensors")
    return load_tensors(path)[0]


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _differences(then: ScoreTable, now: ScoreTable) -> dict[str, float | None]:
    same_frames = then.index == now.index
    return {
        name: float(np.max(np.abs(values - now.variants[name]))) if same_frames and name in now.variants else None
        for name, values in then.variants.items()
    }
