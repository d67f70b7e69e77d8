"""From a registered model to a predictions file, checked, written whole, and traceable."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

from registry.console import Bar, plural, rank_nothing, say
from registry.data.datasets import DEMO, NO_LABELS, Dataset, first_frame_of, open_frames_of
from registry.models.versions import PRODUCTION, Version, Versions
from registry.provenance import provenance
from registry.store.tracking import Tracking
from vad.data.tables import Form, Table, read_scores, read_table, require_same_frames, write_scores
from vad.errors import InputError
from vad.measures.metrics import Measured, measure
from vad.scoring.ensemble import Normalization
from vad.system.files import names_in, require_writable, sha256

BEST = "best"
_ENDINGS = (".csv", ".csv.gz", ".csv.zip", ".zip")
SAMPLES = [name + ending for name in ("sample_submission", "samplesubmission") for ending in _ENDINGS]
_UPLOAD_SECONDS = 600


@dataclass(frozen=True)
class Request:
    """What a registered model is asked to score, and the file to write; None stands for what the commands' help says."""

    model: str
    data: str | None
    first_frame: int | None
    out: str | None


@dataclass(frozen=True)
class Submission:
    """A written predictions file and where it came from."""

    path: Path
    sha256: str
    frames: int
    version: Version
    measured: Measured | None
    run_id: str


def submit(request: Request, normalization: Normalization, home: Path) -> Submission:
    """Score test frames and write `Id,Predicted`, in the form of their `sample_submission.csv` if any. Raises InputError."""
    tracking = Tracking()
    versions = Versions(tracking)
    version, dataset = model_and_data(request, versions, home)
    assert dataset.frames is not None
    path = Path(request.out or f"submissions/{dataset.name}-v{version.number}.csv")
    require_file(path)
    tracking.require_in_place()
    _require_predictions(path)
    sample = _find_sample(dataset)
    variant, entry, data = (version.tags.get(f"vad.{key}", "?") for key in ("variant", "entry", "data_name"))
    say(f"model version {version.number}: {variant} of {entry}, made on {data}")
    for note in (*require_data_of(version, request.model, dataset, versions), *dataset.notes):
        say(f"  note: {note}")
    python_model = versions.load(version)
    ensemble, device = python_model.ensemble, python_model.device
    test, members = dataset.frames.test, len(ensemble.members)
    with Bar("decode test", len(test)) as bar:
        frames, index = ensemble.decode(test, home / "frames", bar.advance)
    with Bar(f"score, {plural(members, 'member')}", len(test) * members) as bar:
        scores = ensemble.score(frames, index, device, normalization, bar.advance)
    write_scores(path, dataset.index, scores, sample)
    if flat := rank_nothing(scores):
        say(f"  note: {flat}; is this model made for such frames?")
    digest = sha256(path)
    measured = measure(scores, dataset.labels.values, dataset.index) if dataset.labels else None
    tags = {"vad.version": version.number, "vad.sha256": digest, "vad.file": str(path.resolve())}
    tags |= {"vad.data": dataset.place, "vad.test_digest": dataset.test_digest, "vad.normalization": normalization}
    with tracking.ending_runs():
        run_id = _record(tracking, version, path, tags)
    return Submission(path, digest, len(scores), version, measured, run_id)


def model_and_data(request: Request, versions: Versions, home: Path) -> tuple[Version, Dataset]:
    """Return the requested version and the data to score, by default the version's own. Raises InputError."""
    if request.model == BEST:
        dataset = _open(request, home)
        best = versions.best_on(dataset.test_digest, dataset.protocol())
        if best is None:
            none = f"no registered version was made on {dataset.place}"
            fix = "run an experiment on it first" if request.data else "give DATA=folder"
            raise InputError(f"MODEL={BEST}: {none}; {fix}")
        return versions.resolve(best.number), dataset
    version = versions.resolve(request.model)
    tags = version.tags
    place, labels = tags.get("vad.data", ""), tags.get("vad.labels", "none")
    if request.data is not None and Path(request.data).resolve() != Path(place):  # else with the run's labels
        return version, _open(request, home)
    if tags.get("vad.data_name") == DEMO:
        return version, open_frames_of(None, None, home)
    if not place or not Path(place).exists():
        made_on = f"the data that version {version.number} was made on ({place or 'unknown'})"
        raise InputError(f"{made_on} is not here; give DATA=folder")
    first_frame = first_frame_of(tags) if request.first_frame is None else request.first_frame
    return version, open_frames_of(place, labels if Path(labels).exists() else "none", home, first_frame)


def _open(request: Request, home: Path) -> Dataset:
    """Return the data with the labels that lie there; only AP needs them, so labels that cannot be used are left out."""
    try:
        return open_frames_of(request.data, None, home, request.first_frame)
    except InputError as error:
        dataset = open_frames_of(request.data, NO_LABELS, home)  # raises what is wrong with frames
        say(f"  note: scored without labels, so there is no AP: {error}")
        return dataset


def require_data_of(version: Version, model: str, dataset: Dataset, versions: Versions) -> list[str]:
    """Return notes on a version that was made on other data. Raises InputError for `production` on other data."""
    if version.tags.get("vad.test_digest") == dataset.test_digest:
        return []
    if model.rpartition("@")[2] != PRODUCTION:
        return [f"{dataset.name} is not the data that this model was made on"]
    best = versions.best_on(dataset.test_digest, dataset.protocol())
    other, means = f"v{version.number}", "scores it all the same"
    if best:
        other, means = BEST, f"is version {best.number}, made on it"
    made_on = f"production is version {version.number}, made on {version.tags.get('vad.data_name', '?')}"
    way = f"`--model {other}` (make: MODEL={other}) {means}; any other version scores it too (`vad leaderboard --all` lists them)"
    same = version.tags.get("vad.data_name") == dataset.name
    now = "whose test frames are others now" if same else f"and {dataset.name} is other data"
    raise InputError(f"{made_on}, {now}; {way}")


def require_file(path: Path) -> None:
    """Raise InputError where `path` cannot be written: before the scoring, not after it."""
    if path.is_dir():
        raise InputError(f"OUT={path} is a folder; name a file in it")
    if path.suffix.lower() in (".gz", ".zip"):
        raise InputError(f"OUT={path}: files are not packed; name one that ends with .csv")
    require_writable(path)


def _require_predictions(path: Path) -> None:
    """Raise InputError where `path` exists and holds anything but predictions: it is not overwritten."""
    if path.exists() and path.stat().st_size:
        try:
            read_scores(path)
        except InputError as error:
            stays = f"OUT={path} is there and holds no predictions, so it stays"
            raise InputError(f"{stays}; name another file ({error})") from None


def _find_sample(dataset: Dataset) -> Table | None:
    """Return `sample_submission.csv`, if any. Raises InputError for other frames, and for two that differ in form."""
    assert dataset.frames is not None
    root = dataset.frames.root
    found: dict[Form, tuple[Path, Table]] = {}
    folders = [folder for folder in (root, *root.glob("*"), *root.glob("*/*")) if folder.is_dir()]
    for sample in (folder / name for folder in folders for name in names_in(folder) if name.casefold() in SAMPLES):
        if sample.is_file():
            table = read_table(sample, "Predicted", ids_alone=True)
            require_same_frames(dataset.index, table.index, "the set of test frames on disk", str(sample))
            found.setdefault(table.form, (sample, table))
    if len(found) > 1:
        paths = " and ".join(str(path) for path, _ in found.values())
        raise InputError(f"{paths} differ in form; remove the ones that do not say how to submit")
    return next((table for _, table in found.values()), None)


def _record(tracking: Tracking, version: Version, path: Path, tags: dict[str, str]) -> str:
    """Log a predictions file under the run that made the model, unless that has the same file; return the run's id."""
    digest = tags["vad.sha256"]
    for same in tracking.find("submission", digest, tags={"vad.version": version.number}, most=1):
        tracking.reopen(same.run_id).tags({"vad.file": tags["vad.file"]})
        return same.run_id
    experiment = tracking.get(version.run_id).experiment_id
    tags = {**provenance("vad submit"), **tags}
    log = tracking.open_run(experiment, "submission", digest, f"submission v{version.number}", tags, version.run_id)
    log.artifact(path)
    log.text("sha256.txt", f"{digest}  {path.name}\n")
    log.end("FINISHED")
    return log.run_id


def require_kaggle() -> str:
    """Return the path of the command `kaggle`. Raises InputError where it is not installed; called before any work is done."""
    program = shutil.which("kaggle")
    if program is None:
        install = "`pip install kaggle`, and put an API token into ~/.kaggle/kaggle.json"
        by_hand = "upload the file by hand, and record its score with `vad record FILE --score S --board public`"
        raise InputError(f"--kaggle needs the command `kaggle`, which is not on the path: {install}; or {by_hand}")
    return program


def upload(program: str, competition: str, done: Submission, message: str) -> str:
    """Hand a submission to Kaggle's command; record and return its reply. Raises InputError where Kaggle refuses it."""
    command = [program, "competitions", "submit", "-c", competition, "-f", str(done.path), "-m", message]
    try:
        called = subprocess.run(command, capture_output=True, text=True, timeout=_UPLOAD_SECONDS, stdin=DEVNULL)
        reply = (called.stdout.strip() + "\n" + called.stderr.strip()).strip()
        accepted = called.returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        reply, accepted = str(error), False
    tags = {"vad.kaggle": competition, "vad.kaggle_reply": reply, "vad.kaggle_accepted": "yes" if accepted else "no"}
    Tracking().reopen(done.run_id).tags(tags)
    if not accepted:
        last = reply.splitlines()[-1] if reply else "no reason given"
        hint = "the file is written and recorded; see `kaggle competitions submit -h`"
        raise InputError(f"kaggle did not take {done.path} for {competition}: {last} ({hint})")
    return reply
