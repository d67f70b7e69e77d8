"""Where predictions and models come from: a file is found by its SHA-256, and what a board says of it is written back."""

import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from registry.console import table
from registry.models.versions import Version, Versions
from registry.store.record import TAG, Altered, recorded
from registry.store.runlog import RunLog
from registry.store.tracking import Found, Tracking
from vad.errors import InputError
from vad.system.files import sha256

KAGGLE = "kaggle"
_WAIT = 600  # seconds for an upload


@dataclass(frozen=True)
class Origin:
    """Where a predictions file came from: a submission of a version, or a run's own predictions, or neither.

    `altered` names the recorded file of the same name whose SHA-256 is another.
    """

    digest: str
    submission: Found | None
    run: Found | None
    altered: Found | None


@dataclass(frozen=True)
class Link:
    """One link of the chain: what it is, and what is known of it, a line each."""

    what: str
    lines: list[str]


@dataclass(frozen=True)
class Lineage:
    """The chain from a file or version back to commit and data; `sound` is False where a link was altered or is gone."""

    links: list[Link]
    members: list[dict[str, Any]] = field(default_factory=list)
    sound: bool = True


def explain(what: str, tracking: Tracking, home: Path) -> Lineage:
    """The lineage of a predictions file (a path) or of a version (`models:/...`, `v3`, an alias).

    Raises InputError where there is neither.
    """
    if Path(what).is_file():
        return _of_file(Path(what), tracking, home)
    versions = Versions(tracking)
    if what.startswith("models:/") or versions.known(what):
        return _of_version(versions.resolve(what), versions, tracking, home)
    raise InputError(
        f"{what} is neither a file nor a model version (give a path, models:/vad-ensemble/3, v3 or production)"
    )


def as_text(found: Lineage) -> str:
    """The chain for a terminal."""
    width = max(len(link.what) for link in found.links)
    lines = []
    for link in found.links:
        lines.append(f"{link.what:<{width}}  {link.lines[0]}")
        lines += [f"{'':<{width}}  {line}" for line in link.lines[1:]]
        if link.what == "members" and found.members:
            rows = [[m["name"], m["run"][:8], m["epoch"], m["loss"], m["entry"], m["weights"]] for m in found.members]
            header = ["", "run", "epoch", "loss", "trained for", "weights, SHA-256"]
            lines += [f"{'':<{width}}  {row}" for row in table(header, rows, right=(2,)).splitlines()]
    return "\n".join(lines)


def _of_file(file: Path, tracking: Tracking, home: Path) -> Lineage:
    origin = find_origin(file, tracking)
    if origin.run is None:
        return Lineage([Link("file", [str(file), unknown(origin)])], sound=False)
    first = Link("file", [str(file), f"SHA-256 {origin.digest}, as recorded: not altered"])
    if origin.submission is None:
        best = origin.run.params.get("best_variant", "")
        rest = _of_run(origin.run, best, tracking, home)
        return Lineage(
            [first, Link("written", [f"by the run itself, as predictions of its best variant {best}"]), *rest.links],
            rest.members,
            rest.sound,
        )
    rest = _of_version(
        Versions(tracking).resolve(origin.submission.tags["vad.version"]), Versions(tracking), tracking, home
    )
    return Lineage([first, _submission(origin), *rest.links], rest.members, rest.sound)


def _submission(origin: Origin) -> Link:
    run = origin.submission
    assert run is not None
    lines = [
        f"run {run.run_id}, {_when(run)}, of {run.tags.get('vad.data', '?')}, normalization {run.tags.get('vad.normalization', '?')}"
    ]
    lines += [f"{board} board: {value}" for board, value in board_scores(run.metrics).items()]
    if "vad.kaggle" in run.tags:
        lines.append(f"Kaggle, {run.tags['vad.kaggle']}: {run.tags.get('vad.kaggle_reply', '')}")
    return Link("submission", lines)


def _of_version(version: Version, versions: Versions, tracking: Tracking, home: Path) -> Lineage:
    aliases = ", ".join(versions.aliases().get(version.number, []))
    lines = [f"{version.uri}{f' ({aliases})' if aliases else ''}"]
    sound = True
    try:
        with tempfile.TemporaryDirectory() as work:
            versions.fetch(version, Path(work))
        lines.append("its files are those that were registered (SHA-256)")
    except InputError as error:
        sound = False
        lines.append(str(error))
    if decision := version.tags.get("vad.decision"):
        lines.append(decision)
    try:
        run = tracking.get(version.run_id)
    except InputError as error:
        return Lineage([Link("version", lines), Link("run", [str(error)])], sound=False)
    rest = _of_run(run, version.tags.get("vad.variant", ""), tracking, home)
    return Lineage([Link("version", lines), *rest.links], rest.members, sound and rest.sound)


def _of_run(run: Found, variant: str, tracking: Tracking, home: Path) -> Lineage:
    tags = run.tags
    identity = _read(tracking, run, "identity.json", home)
    figure = tags.get("vad.figure", "ap")
    value = run.metrics.get(f"{figure}.{variant}")
    lines = [f"{run.run_id}, {run.status}, {_when(run)}", f"on {tags.get('vad.machine', '?')}"]
    faults = _faults(run, tracking, home)
    links = [Link("run", [*lines, *(faults or ["its files are those that it logged (SHA-256)"])])]
    way = identity.get("plan", {}).get("variants", {}).get(variant)
    measured = "" if value is None else f": {figure} {value:.4f}"
    links.append(
        Link(
            "variant",
            [
                f"{variant}{measured}",
                *([yaml.safe_dump(way, default_flow_style=True, width=1000, sort_keys=False).strip()] if way else []),
            ],
        )
    )
    members, sound = _members(run, tracking, home)
    links.append(Link("members", [f"{len(members)} of this run" if members else "none: it reads predictions files"]))
    changed = f", with {tags['vad.set']}" if tags.get("vad.set") else ""
    links.append(
        Link(
            "entry",
            [
                f"{tags.get('mlflow.source.name', '?')}, profile {tags.get('vad.profile', '?')}{changed}",
                "as written and as resolved: entry.yaml and resolved.yaml of the run",
            ],
        )
    )
    data = [f"{tags.get('vad.data_name', '?')} ({tags.get('vad.data', '?')}), labels {tags.get('vad.labels', '?')}"]
    data += [f"{split} frames {tags.get(f'vad.{split}_digest') or '-'}" for split in ("train", "test")]
    links.append(Link("data", data))
    links.append(Link("code", _code(tags, identity)))
    return Lineage(links, members, sound and not faults)


def _members(run: Found, tracking: Tracking, home: Path) -> tuple[list[dict[str, Any]], bool]:
    """Name, run, epoch, loss and weights of each member that the run used."""
    rows, sound = [], True
    for name, run_id in _read(tracking, run, "results.json", home).get("members", {}).items():
        try:
            member = tracking.get(run_id)
        except InputError:
            rows.append(
                {"name": name, "run": run_id, "epoch": "", "loss": "", "entry": "that run is gone", "weights": ""}
            )
            sound = False
            continue
        metrics = member.metrics
        rows.append(
            {
                "name": name,
                "run": run_id,
                "epoch": f"{metrics.get('best_epoch', 0):.0f}",
                "loss": f"{metrics.get('best_loss', float('nan')):.5f}",
                "entry": member.tags.get("vad.entry", ""),
                "weights": member.tags.get("vad.weights_sha256", "")[:16],
            }
        )
    return rows, sound


def _code(tags: dict[str, str], identity: dict[str, Any]) -> list[str]:
    commit = tags.get("mlflow.source.git.commit")
    state = " with files that were not committed" if tags.get("vad.dirty") == "yes" else ""
    versions = identity.get("code", {})
    lines = [f"commit {commit}{state}" if commit else "no commit: not run from a checkout"]
    if versions:
        lines.append(f"training code {versions['training']}, scoring code {versions['scoring']}")
    lines.append(f"Python {tags.get('vad.python', '?')}, PyTorch {tags.get('vad.torch', '?')}")
    return lines


def board_scores(metrics: dict[str, float]) -> dict[str, float]:
    """The scores that boards gave, by board."""
    return {key.removeprefix("board_"): value for key, value in metrics.items() if key.startswith("board_")}


def _read(tracking: Tracking, run: Found, name: str, home: Path) -> dict[str, Any]:
    try:
        path = tracking.fetch(run.run_id, name, home / "fetched" / run.run_id)
        return dict(json.loads(path.read_text())) if path else {}
    except (Altered, OSError, ValueError):
        return {}


def _faults(run: Found, tracking: Tracking, home: Path) -> list[str]:
    """What of the files that a run logged is gone or was altered."""
    known = recorded(run.tags)
    faults = [] if known else [f"run {run.run_id} has lost the record of its files (its tag {TAG})"]
    for path in known:
        try:
            if tracking.fetch(run.run_id, path, home / "fetched" / run.run_id) is None:
                faults.append(f"{path} is gone")
        except Altered as error:
            faults.append(str(error))
    return faults


def _when(run: Found) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.started))


def find_origin(file: Path, tracking: Tracking) -> Origin:
    """Look a file up by its contents. Raises InputError where it cannot be read."""
    try:
        digest = sha256(file)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    submissions = tracking.find("submission", tags={"vad.sha256": digest}, most=1)
    if submissions:
        parent = submissions[0].tags.get("mlflow.parentRunId", "")
        return Origin(digest, submissions[0], tracking.get(parent) if parent else None, None)
    runs = tracking.find("experiment", tags={"vad.predictions_sha256": digest}, most=1)
    if runs:
        return Origin(digest, None, runs[0], None)
    named = tracking.find("submission", tags={"vad.file": str(file.resolve())}, most=1)
    return Origin(digest, None, None, named[0] if named else None)


def record(file: Path, score: float, board: str, tracking: Tracking) -> tuple[Found, Version | None]:
    """Write a board's score back: to the submission, to the run that it came from, to the model version.

    Raises InputError for a file that no run of this store wrote, and for one that was altered.
    """
    origin = find_origin(file, tracking)
    if origin.run is None:
        raise InputError(f"{file}: {unknown(origin)}")
    name = f"board_{board}"
    for run in filter(None, (origin.submission, origin.run)):
        log = tracking.reopen(run.run_id)
        log.metrics({name: score})
        log.tags({f"vad.{name}": f"{score:g}", f"vad.{name}_file": origin.digest})
    versions = Versions(tracking)
    version = None
    if origin.submission:
        version = versions.resolve(origin.submission.tags["vad.version"])
        versions.tag(version.number, {name: f"{score:.4f}"})
    return origin.run, version


def unknown(origin: Origin) -> str:
    """Why a file has no origin."""
    if origin.altered is not None:
        was, run = origin.altered.tags["vad.sha256"], origin.altered.run_id
        return (
            f"the file was altered since it was written: its SHA-256 is {origin.digest}, that of submission {run} was {was}; "
            "the recorded file is among that run's artifacts, and `vad submit` writes it again"
        )
    return (
        f"no run of this store wrote a file with its SHA-256 {origin.digest}: it was made elsewhere, or altered, or "
        "MLFLOW_TRACKING_URI names another store"
    )


def require_kaggle() -> str:
    """The `kaggle` command. Raises InputError where it is not installed; called before any work is done."""
    program = shutil.which(KAGGLE)
    if program is None:
        raise InputError(
            "--kaggle needs Kaggle's own command, and there is none on the path: `pip install kaggle`, and put an API token "
            "where it looks for one (~/.kaggle/kaggle.json); or submit without --kaggle, upload the file by hand, and tell "
            "its score by `vad record FILE --score S --board public`"
        )
    return program


def hand_in(program: str, competition: str, file: Path, message: str, log: RunLog) -> str:
    """Hand a file to Kaggle's command and record its reply on the submission. Raises InputError where it refuses.

    The file is written and recorded by then; nothing is lost by a refusal.
    """
    command = [program, "competitions", "submit", "-c", competition, "-f", str(file), "-m", message]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT, stdin=subprocess.DEVNULL)
        reply = (done.stdout.strip() + "\n" + done.stderr.strip()).strip()
        failed = done.returncode != 0
    except (OSError, subprocess.TimeoutExpired) as error:
        reply, failed = str(error), True
    log.tags({"vad.kaggle": competition, "vad.kaggle_reply": reply, "vad.kaggle_accepted": "no" if failed else "yes"})
    if failed:
        last = reply.splitlines()[-1] if reply else "no reason given"
        raise InputError(
            f"kaggle did not take {file} for {competition}: {last} (the file is written and recorded; see `kaggle competitions submit -h`)"
        )
    return reply
