"""An ensemble as a model that MLflow keeps: its weights, recipe and code in one folder, loaded from checked copies."""

import filecmp
import importlib.metadata
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import LoggedModelOutput, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType
from mlflow.utils.file_utils import local_file_uri_to_path

import vad
from registry.store.tracking import Tracking
from vad.errors import InputError
from vad.system.files import sha256, share

if TYPE_CHECKING:  # it would load PyTorch
    from vad.scoring.ensemble import Ensemble

_PACKAGES = (
    "mlflow",
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "opencv-python-headless",
    "pillow",
    "psutil",
    "safetensors",
    "simplejpeg",
)


def log_model(
    tracking: Tracking, run_id: str, ensemble: "Ensemble", tags: Mapping[str, Any], taken: Collection[str]
) -> str:
    """Log the ensemble on a run, call by call: each can be repeated, the whole of it would leave two. The model's id.

    One that was cut off, or logged and not registered, is taken up: a run has one model and no other but those `taken`.
    """
    client = tracking.client
    run = client.get_run(run_id)
    model = tracking.begin_model(run_id, run.info.experiment_id, "ensemble", run.data.params, taken=taken)
    model_id = str(model.model_id)
    with tempfile.TemporaryDirectory() as work:
        whole = Path(work) / "model"
        _save(whole, model, run_id, ensemble, tags)
        client.log_model_artifacts(model_id, str(whole))
        _share_weights(model.artifact_location, ensemble)
    if model_id not in {output.model_id for output in run.outputs.model_outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
    if run.data.params.get("best_variant") == tags["vad.variant"]:
        # Models can be sorted by the run's figures. At the moment of the run's own, or it would have two points of each.
        known = [client.get_metric_history(run_id, key)[-1] for key in run.data.metrics]
        figures = [Metric(m.key, m.value, m.timestamp, m.step, model_id=model_id) for m in known]
        client.log_batch(run_id, metrics=figures)
    client.finalize_logged_model(model_id, "READY")
    return model_id


def _share_weights(location: str, ensemble: "Ensemble") -> None:
    """Let weights of members that lie on one disk with the model stand there once; a model is whole and loads alone all the same."""
    if location.startswith("file:"):
        weights = Path(local_file_uri_to_path(location)) / "artifacts" / "ensemble" / "weights"
        for name, original in ensemble.weights.items():
            copy = weights / f"{name}.safetensors"
            if filecmp.cmp(original, copy, shallow=False):
                share(original, copy)


def _save(folder: Path, model: Any, run_id: str, ensemble: "Ensemble", tags: Mapping[str, Any]) -> None:
    """Write the ensemble as a models-from-code pyfunc, as the files of a logged model of a run."""
    from vad.scoring.ensemble import save

    about = Model(
        artifact_path=model.artifact_location, model_uuid=model.model_id, run_id=run_id, model_id=model.model_id
    )
    with tempfile.TemporaryDirectory() as work, warnings.catch_warnings():
        # The signature is given; an example would put somebody's footage into the model.
        warnings.filterwarnings("ignore", message=".*input example")
        parts, code = Path(work) / "ensemble", Path(work) / "code" / "vad"
        save(ensemble, parts, {key.removeprefix("vad."): str(value) for key, value in tags.items()})
        shutil.copytree(Path(vad.__file__).parent, code, ignore=shutil.ignore_patterns("__pycache__"))
        mlflow.pyfunc.save_model(
            folder,
            mlflow_model=about,
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"ensemble": str(parts)},
            code_paths=[str(code)],
            pip_requirements=[f"{name}=={_release(name)}" for name in _PACKAGES],
            signature=_signature(),
        )
    for cache in list(folder.rglob("__pycache__")):  # from a trial load
        shutil.rmtree(cache)


def list_files(tracking: Tracking, model_id: str) -> str:
    """Put the list of a logged model's files beside them; the list's SHA-256."""
    location = tracking.client.get_logged_model(model_id).artifact_location
    with tempfile.TemporaryDirectory() as work:
        # Without a target, MLflow copies nothing that lies on this disk.
        target = None if location.startswith("file:") else work
        files = tracking.retrying(
            lambda: mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=target)
        )  # fmt: skip
        listing = Path(work) / LISTING
        digest = write_listing(Path(files), listing)
        tracking.client.log_model_artifact(model_id, str(listing))
    return digest


def fetch(tracking: Tracking, uri: str, digest: str | None, folder: Path) -> Path:
    """Copy the files of a model into a folder, and check them by the list that has this SHA-256; where they lie.

    Raises InputError where one is gone or was altered, or the database has lost the digest.
    """
    if digest is None:
        raise InputError(
            f"{uri}: the record of its files (in the version's tag `vad`) is gone or was altered, so nothing of it can be "
            "checked; run its experiment again with FORCE=1"
        )
    found = Path(tracking.retrying(lambda: mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))))
    require_listed(found, digest, uri)
    return found


def load(tracking: Tracking, uri: str, digest: str | None) -> Any:
    """The model by its own code, from checked copies of its files. Raises InputError as `fetch` does.

    Where that code is this project's it is MLflow's Python model; else `Apart`, which runs it in another process.
    """
    from registry.models.loaded import Apart, has_this_code

    folder = tempfile.mkdtemp(prefix="vad-model-")
    try:
        files = fetch(tracking, uri, digest, Path(folder))
        here = has_this_code(files)
        model = mlflow.pyfunc.load_model(str(files)).unwrap_python_model() if here else Apart(files, uri)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, (MlflowException, OSError)):
            raise InputError(f"{uri} cannot be loaded: {' '.join(str(error).split()):.300}") from None
        raise
    weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)  # weights are read when they are needed
    return model


def _signature() -> ModelSignature:
    frame = [ColSpec(DataType.long, "video"), ColSpec(DataType.long, "frame")]
    # Of any type: the server would cut 8.5 to 8 and drop what is not base64 before the model could name the row.
    return ModelSignature(
        Schema([ColSpec(AnyType(), name) for name in ("video", "frame", "image")]),
        Schema([*frame, ColSpec(DataType.double, "score")]),
        ParamSchema([ParamSpec("normalization", DataType.string, "stored")]),
    )


def _release(package: str) -> str:
    """A package's version as an index knows it: without the local part that names a build."""
    return importlib.metadata.version(package).partition("+")[0]


LISTING = "model.sha256"
FACT = "vad.model_sha256"
"""The version's tag that holds the SHA-256 of the list."""


def write_listing(folder: Path, path: Path) -> str:
    """Write the list of a folder's files; its SHA-256."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not _added(file))
    lines = [f"{sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in files]
    path.write_text("".join(lines))
    return sha256(path)


def require_listed(folder: Path, digest: str, what: str) -> None:
    """Leave in a folder what its list names, and the list. Raises InputError that names a file that is missing or was altered."""
    known = {**listed(folder, digest, what), LISTING: digest}
    for name, recorded in known.items():
        if not (folder / name).is_file() or sha256(folder / name) != recorded:
            raise InputError(f"{what}: {name} {_FAULT}")
    for file in folder.rglob("*"):
        if file.is_file() and file.relative_to(folder).as_posix() not in known:
            file.unlink()  # what Python and MLflow add, and what somebody else might


def faults(folder: Path, digest: str) -> list[str]:
    """What of the files that lie in a model's folder is missing, was altered, or is no part of it."""
    try:
        known = listed(folder, digest, "")
    except InputError:
        return [f"its {LISTING} is missing or was altered"]
    wrong = [n for n, recorded in known.items() if not (folder / n).is_file() or sha256(folder / n) != recorded]
    names = (
        file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file() and not _added(file)
    )
    more = [name for name in names if name not in known]
    return [f"{name} is missing or was altered" for name in wrong] + [f"{name} is no part of it" for name in more]


def listed(folder: Path, digest: str, what: str) -> dict[str, str]:
    """The SHA-256 of a model's files by name, from the list that has this digest. Raises InputError where that is another."""
    path = folder / LISTING
    if not path.is_file() or sha256(path) != digest:
        raise InputError(f"{what}: {LISTING} {_FAULT}")
    return {name: known for known, _, name in (line.partition("  ") for line in path.read_text().splitlines())}


_FAULT = (
    "is missing or was altered: its SHA-256 is not the one recorded; bring it back, or run the experiment again with "
    "FORCE=1"
)


def _added(file: Path) -> bool:
    """Whether Python or MLflow put it there when the model was loaded, or it is the list."""
    return "__pycache__" in file.parts or file.name in (LISTING, "registered_model_meta")
