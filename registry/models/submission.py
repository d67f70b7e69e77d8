"""From a registered model to a predictions file, checked, written whole, and traceable."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from registry.console import Console, plural
from registry.data.datasets import DEMO, Dataset, first_frame_of, open_frames_of
from registry.models.versions import PRODUCTION, Version, Versions
from registry.provenance import provenance
from registry.store.tracking import Tracking
from vad.data.labels import read_labels
from vad.data.tables import Form, Table, read_scores, read_table, require_same_frames, write_scores
from vad.errors import InputError
from vad.frames.store import SplitSource, open_frames
from vad.images.digest_cache import DigestCache
from vad.measures.metrics import Measured, measure
from vad.scoring.ensemble import Normalization
from vad.system.files import require_writable, sha256

BEST = "best"
SAMPLES = [
    n + end for n in ("sample_submission", "sampleSubmission") for end in (".csv", ".csv.gz", ".csv.zip", ".zip")
]


@dataclass(frozen=True)
class Submission:
    """A written predictions file and where it came from."""

    path: Path
    sha256: str
    frames: int
    version: Version
    measured: Measured | None
    run_id: str


def submit(
    model: str,
    data: str | None,
    out: str | None,
    normalization: Normalization,
    home: Path,
    console: Console,
    first_frame: int | None = None,
) -> Submission:
    """Score the test frames of `data` by a registered model and write `Id,Predicted`.

    By default the data that the model was made on; in the form of its `sample_submission.csv` if there is one. Raises
    InputError for a model or data that are not there, for frames that `sample_submission.csv` does not list, and for an
    `out` that cannot be written.
    """
    tracking = Tracking()
    versions = Versions(tracking)
    version, dataset = model_and_data(model, data, versions, home, first_frame)
    assert dataset.frames is not None
    path = Path(out) if out else Path("submissions") / f"{dataset.name}-v{version.number}.csv"
    require_file(path)
    _require_predictions(path)
    sample = _find_sample(dataset)
    tags = version.tags
    console.say(
        f"model version {version.number}: {tags.get('vad.variant', '?')} of {tags.get('vad.entry', '?')}, "
        f"made on {tags.get('vad.data_name', '?')}"
    )
    for note in (*require_data_of(version, model, dataset, versions), *dataset.notes):
        console.say(f"  note: {note}")
    python_model = versions.load(version)
    ensemble, device = python_model.ensemble, python_model.device
    source = SplitSource(dataset.frames.test)
    with console.bar("decode test", len(source)) as bar:
        frames = open_frames(source, ensemble.sizes(), home / "frames", bar.advance)
    networks = len(ensemble.members)
    with console.bar(f"score, {plural(networks, 'network')}", len(source) * networks) as bar:
        scores = ensemble.score(frames, dataset.index, device, normalization, bar.advance)
    write_scores(path, dataset.index, scores, sample)
    digest = sha256(path)
    measured = None
    if dataset.labels is not None:
        measured = measure(scores, dataset.labels.values, dataset.index)
    with tracking.ending_runs():
        run_id = _record(tracking, version, dataset, path, digest, normalization)
    return Submission(path, digest, len(scores), version, measured, run_id)


def evaluate(file: Path, labels: str, home: Path, first_frame: int | None = None) -> Measured:
    """Measure a predictions file against labels. Raises InputError where the two do not fit."""
    if labels == "none":
        raise InputError("LABELS=none: evaluate needs labels; give a CSV (Id,Label) or a folder of N_label.mat")
    index, values = read_scores(file)
    place = Path(labels)
    if place.is_file():  # what is asked is whether the scores are those of the labelled frames, not the reverse
        require_same_frames(index, read_table(place, "Label").index, str(file), f"the labels in {place}")
    known = read_labels(place, index, DigestCache(home / "index" / "labels-evaluate.json"), first_frame)
    return measure(values, known.values, index)


def model_and_data(
    model: str, data: str | None, versions: Versions, home: Path, first_frame: int | None = None
) -> tuple[Version, Dataset]:
    """The version that `model` names and the data to score. `best` is the best version that was made on these data.

    Raises InputError where one is not there.
    """
    if model != BEST:
        version = versions.resolve(model)
        return version, dataset_of(version, data, home, first_frame)
    dataset = open_frames_of(data, None, home, first_frame)
    best = versions.best_on(dataset.test_digest)
    if best is None:
        raise InputError(
            f"MODEL={BEST}: no registered version was made on {dataset.place}; run an experiment on it first"
        )
    return versions.resolve(best.number), dataset


def dataset_of(version: Version, data: str | None, home: Path, first_frame: int | None = None) -> Dataset:
    """The data set in the folder `data`, or the one that a version was made on. Raises InputError where it is gone."""
    if data is not None:
        return open_frames_of(data, None, home, first_frame)
    first_frame = first_frame_of(version.tags) if first_frame is None else first_frame
    place, name = version.tags.get("vad.data", ""), version.tags.get("vad.data_name", "")
    if name == DEMO:
        return open_frames_of(None, None, home)
    if not place or not Path(place).exists():
        raise InputError(
            f"the data that version {version.number} was made on ({place or 'unknown'}) is not here; give DATA=folder"
        )
    labels = version.tags.get("vad.labels", "none")
    return open_frames_of(place, labels if labels == "none" or Path(labels).exists() else "none", home, first_frame)


def require_data_of(version: Version, model: str, dataset: Dataset, versions: Versions) -> list[str]:
    """Notes on a version that was made on other data. Raises InputError for `production`, which nobody chose for these data."""
    if version.tags.get("vad.test_digest") == dataset.test_digest:
        return []
    if model.rpartition("@")[2] != PRODUCTION:
        return [f"{dataset.name} is not the data that this model was made on"]
    best = versions.best_on(dataset.test_digest)
    other, means = (
        (BEST, f"is version {best.number}, made on it") if best else (f"v{version.number}", "scores it all the same")
    )
    raise InputError(
        f"production is version {version.number}, made on {version.tags.get('vad.data_name', '?')}, and {dataset.name} is "
        f"other data; `--model {other}` (make: MODEL={other}) {means}, and so does any version; `vad leaderboard --all` lists them"
    )


def require_file(path: Path) -> None:
    """Raise InputError where `path` cannot be written: before the scoring, not after it."""
    if path.is_dir():
        raise InputError(f"OUT={path} is a folder; name a file in it")
    require_writable(path)


def _require_predictions(path: Path) -> None:
    """Raise InputError where `path` is there and holds anything but predictions, which nobody meant to replace."""
    if path.exists() and path.stat().st_size:
        try:
            read_scores(path)
        except InputError as error:
            raise InputError(
                f"OUT={path} is there and holds no predictions, so it stays; name another file ({error})"
            ) from None


def _find_sample(dataset: Dataset) -> Table | None:
    """`sample_submission.csv`, where the data set comes with one.

    Raises InputError where its frames are others, and for two that differ in form.
    """
    assert dataset.frames is not None
    root = dataset.frames.root
    found: dict[Form, tuple[Path, Table]] = {}
    for sample in (folder / name for folder in (root, *root.glob("*"), *root.glob("*/*")) for name in SAMPLES):
        if sample.is_file():
            table = read_table(sample, "Predicted", ids_alone=True)
            require_same_frames(dataset.index, table.index, "the set of test frames on disk", str(sample))
            found.setdefault(table.form, (sample, table))
    if len(found) > 1:
        paths = " and ".join(str(path) for path, _ in found.values())
        raise InputError(f"{paths} differ in form; remove the ones that do not say how to submit")
    return next((table for _, table in found.values()), None)


def _record(
    tracking: Tracking, version: Version, dataset: Dataset, path: Path, digest: str, normalization: Normalization
) -> str:
    """Log the file under the run that made the model, with its SHA-256 and the version."""
    same = tracking.find("submission", digest, tags={"vad.version": version.number}, most=1)
    if same:
        tracking.reopen(same[0].run_id).tags({"vad.file": str(path.resolve())})
        return same[0].run_id
    made = tracking.get(version.run_id)
    tags = {
        **provenance("vad submit"),
        "vad.version": version.number,
        "vad.sha256": digest,
        "vad.file": str(path.resolve()),
        "vad.data": dataset.place,
        "vad.test_digest": dataset.test_digest,
        "vad.normalization": normalization,
    }
    log = tracking.open_run(
        made.experiment_id, "submission", digest, f"submission v{version.number}", tags, version.run_id
    )
    log.artifact(path)
    with tempfile.TemporaryDirectory() as work:
        note = Path(work) / "sha256.txt"
        note.write_text(f"{digest}  {path.name}\n")
        log.artifact(note)
    log.end("FINISHED")
    return log.run_id
