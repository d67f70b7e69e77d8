"""Repeat a recorded run from its artifacts, in a temporary folder and store, and compare the results."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from registry.analysis.changes import FEW, plan_changes
from registry.analysis.choose import choose_run
from registry.console import plural, say, table
from registry.data.datasets import DEMO, NO_LABELS, Dataset, first_frame_of, open_frames_of
from registry.provenance import checkout
from registry.runs.identity import FILE, changed_frames, videos_of
from registry.signals import STATUS
from registry.store.address import sqlite_uri
from registry.store.record import recorded
from registry.store.score_table import TEST, read_table
from registry.store.tracking import Found, Tracking
from vad.errors import InputError
from vad.system.files import sha256
from vad.system.weights import load_tensors

_PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Repeated:
    """How the repeated run compares with the first."""

    run_id: str
    members: dict[str, bool]  # whether their weights are the same bits
    variants: dict[str, float | None]  # the largest difference of a score; None where the variant is missing now
    predictions: bool  # whether the file is the same
    notes: list[str]  # on what was not as it was then

    @property
    def same(self) -> bool:
        """Whether weights, scores and predictions file are the same, bit for bit."""
        return self.predictions and all(self.members.values()) and all(d == 0 for d in self.variants.values())


@dataclass(frozen=True)
class _Store:
    """A store of runs, and the folder for what is fetched from it."""

    tracking: Tracking
    home: Path

    def file(self, run: Found, name: str) -> Path:
        """An artifact, checked against its SHA-256. Raises InputError where it is gone or was altered."""
        found = self.tracking.fetch(run.run_id, name, self.home)
        if found is None:
            raise InputError(f"{name} of run {run.run_id} is gone; bring it back, or run the experiment again")
        return found

    def weights(self, member: Found) -> dict[str, Tensor]:
        return load_tensors(self.file(member, f"{member.tags['vad.checkpoint']}/weights.safetensors"))[0]

    def members(self, run: Found) -> dict[str, Found]:
        """The members that a run used, by name, wherever they were trained."""
        results = json.loads(self.file(run, "results.json").read_text(encoding="utf-8"))
        return {name: self.tracking.get(run_id) for name, run_id in results["members"].items()}


def reproduce(name: str, data: str | None, home: Path) -> Repeated:
    """Repeat a finished run and compare; `data` is where its frames lie now, if they were moved. Raises InputError."""
    tracking = Tracking()
    tracking.require_in_place(reading=True)
    run, store = choose_run(name, tracking)[0], _Store(tracking, home)
    entry = store.file(run, "entry.yaml").read_text(encoding="utf-8")
    identity = tracking.read_json(run.run_id, FILE, home)
    if identity is None:
        raise InputError(f"run {run.run_id} has no record of what it was made from: it is older than these records")
    for owner in (run, *store.members(run).values()):  # what will be compared: before hours of training, not after them
        for path in recorded(owner.tags):
            store.file(owner, path)
    options = ["--profile", identity["profile"], *_data(run, identity, data, home)]
    options += [f"--set={setting}" for setting in (*identity["set"], *_files(run, entry, identity))]
    home.mkdir(parents=True, exist_ok=True)
    notes: list[str] = []
    with tempfile.TemporaryDirectory(dir=home, prefix=".reproduce-") as work:
        folder = Path(work).resolve()
        code = _code(identity, notes, folder / "code")
        (folder / "experiments").mkdir()
        (folder / "experiments" / f"{identity['name']}.yaml").write_text(entry, encoding="utf-8")
        for path in (path for path in recorded(run.tags) if path.startswith("blocks/")):
            (folder / "blocks").mkdir(exist_ok=True)
            shutil.copy(store.file(run, path), folder / path)
        say(f"run {run.run_id} ({identity['name']}) once more:")
        for note in notes:
            say(f"  note: {note}")
        command = [sys.executable, "-m", "registry.cli", "run", identity["name"], *options]
        _run(command, folder, code, identity, notes)
        return _compare(run, store, identity, folder, notes)


def as_text(found: Repeated) -> str:
    """Members, variants and the verdict, for a terminal."""
    members = [[name, "the same" if same else "differ"] for name, same in found.members.items()]
    variants = [
        [name, "missing now" if difference is None else f"{difference:.3g}" if difference else "none"]
        for name, difference in found.variants.items()
    ]
    parts = [table(["member", "weights"], members)] if members else []
    parts.append(table(["variant", "largest difference of a frame's score"], variants))
    parts += [f"note: {note}" for note in found.notes]
    verdict = "reproduced: bit for bit the same" if found.same else "not reproduced: see above"
    return "\n\n".join([*parts, f"run {found.run_id}: {verdict}"])


def _data(run: Found, identity: Mapping[str, Any], data: str | None, home: Path) -> list[str]:
    """The options that name a run's data, once they were found to be what they were."""
    first_frame, labels = first_frame_of(run.tags), run.tags.get("vad.labels", NO_LABELS)
    first = [] if first_frame is None else ["--first-frame", str(first_frame)]
    if not identity["videos"]:
        return ["--labels", labels if labels == NO_LABELS else str(Path(labels).resolve()), *first]
    if identity["data"]["name"] == DEMO and data is None:
        _require_same(identity, open_frames_of(None, None, home, first_frame), run)
        return first
    place = data or run.tags.get("vad.data", "")
    if not Path(place).exists():
        raise InputError(f"the data of run {run.run_id} ({place or 'unknown'}) is not here; give --data FOLDER")
    found_in_data = data is not None and labels != NO_LABELS and not Path(labels).exists()
    now = open_frames_of(place, None if found_in_data else labels, home, first_frame)
    _require_same(identity, now, run)
    labels = str(Path(now.labels.source).resolve()) if now.labels else NO_LABELS
    return [*first, "--data", str(Path(place).resolve()), "--labels", labels]


def _require_same(identity: Mapping[str, Any], now: Dataset, run: Found) -> None:
    assert now.frames is not None
    videos = {"videos": {"train": videos_of(now.frames.train), "test": videos_of(now.frames.test)}}
    for split in ("train", "test"):
        if lines := changed_frames(identity, videos, split):
            what = f"{split} frames differ: {'; '.join(lines[:FEW])}"
            raise InputError(f"{now.place} is not the data of run {run.run_id}: {what}")
    if now.labels is not None and now.labels.digest != identity["data"]["judge"]:
        raise InputError(f"{now.labels.source} does not hold the labels of run {run.run_id}")


def _files(run: Found, entry: str, identity: Mapping[str, Any]) -> Iterator[str]:
    """Settings that name the predictions files of an entry by their places."""
    base = Path(run.tags.get("mlflow.source.name", "")).resolve().parent
    for name, stream in yaml.safe_load(entry)["streams"].items():
        if isinstance(stream, dict) and "scores" in stream:
            path = (base / stream["scores"]).resolve()
            if not path.is_file() or sha256(path) != identity["files"].get(name):
                raise InputError(f"{path} is missing, or not the file that run {run.run_id} read as streams.{name}")
            yield f"streams.{name}.scores={path}"


def _code(identity: Mapping[str, Any], notes: list[str], folder: Path) -> Path:
    """Return the project at the run's commit: this checkout if it is the same, else a copy in `folder`."""
    then, here = identity["code"], checkout()
    commit = then.get("commit")
    if then.get("dirty") == "yes":
        notes.append(f"files were not committed when it was run: commit {commit[:12]} may not be all of its code")
    if not commit or (commit == here["commit"] and (here["dirty"] != "yes" or then.get("dirty") == "yes")):
        return _PROJECT
    packed = folder.with_suffix(".tar")
    archive = ["git", "-C", str(_PROJECT), "archive", f"--output={packed}", commit]
    try:
        subprocess.run(archive, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        complaint = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        this = here["commit"][:12] or "this place"
        notes.append(f"its commit is not here ({complaint}): it ran with the code of {this}")
        return _PROJECT
    shutil.unpack_archive(packed, folder)
    return folder


def _run(command: list[str], folder: Path, code: Path, identity: Mapping[str, Any], notes: list[str]) -> None:
    elsewhere = ["MLFLOW_REGISTRY_URI", "VAD_HOME", *(["VAD_BLOCKS"] if (folder / "blocks").is_dir() else [])]
    given = {key: value for key, value in os.environ.items() if key not in elsewhere}
    given |= {"PYTHONPATH": str(code), "MLFLOW_TRACKING_URI": sqlite_uri(folder / "mlflow.db")}
    if threads := identity.get("threads"):
        given["OMP_NUM_THREADS"] = str(threads)
    done = subprocess.run(command, cwd=folder, env=given, stdout=subprocess.PIPE, text=True)
    if done.returncode == STATUS:
        raise KeyboardInterrupt
    if done.returncode:
        raise InputError("; ".join(["the run did not come to its end this time (see above)", *notes]))


def _compare(run: Found, store: _Store, identity: Mapping[str, Any], folder: Path, notes: list[str]) -> Repeated:
    again = _Store(Tracking(sqlite_uri(folder / "mlflow.db")), folder)
    (repeated,) = again.tracking.find("experiment")
    if plan := again.tracking.read_json(repeated.run_id, FILE, folder):
        notes += map(str, plan_changes(identity["plan"], plan["plan"]))
    trained = {member.name: member for member in again.tracking.find("member")}
    members = {}
    for name, original in store.members(run).items():
        new = trained.get(name)
        old, made = store.weights(original), again.weights(new) if new else {}
        members[name] = old.keys() == made.keys() and all(torch.equal(old[key], made[key]) for key in old)
        before, after = _computed(original), _computed(new) if new else ""
        if before and after and before != after:
            how = f"{name} was trained in {before} and this time in {after}"
            notes.append(f"{how}; that alone changes its last digits")
    then, now = read_table(store.file(run, TEST)), read_table(again.file(repeated, TEST))
    names = [f"predictions-{one.params['best_variant']}.csv" for one in (run, repeated)]
    same_file = names[0] == names[1] and sha256(store.file(run, names[0])) == sha256(again.file(repeated, names[1]))
    there = now.variants if then.index == now.index else {}
    differences = {n: float(np.max(np.abs(v - there[n]))) if n in there else None for n, v in then.variants.items()}
    return Repeated(run.run_id, members, differences, same_file, notes)


def _computed(member: Found) -> str:
    """In which precision, on how many threads a member was trained; empty for an older one."""
    precision, threads = member.tags.get("vad.precision"), member.tags.get("vad.threads")
    return f"{precision} on {plural(int(threads), 'thread')}" if precision and threads else ""
