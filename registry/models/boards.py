"""Submissions and what a board says of them: found by their SHA-256, scores written back to run and version."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from registry.models.versions import Version, Versions
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
