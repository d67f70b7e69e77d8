"""An ensemble as a model that MLflow keeps: its weights, recipe and code in one folder, loaded from checked copies."""

import importlib.metadata
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from registry.store.address import local_path
from registry.store.tracking import Tracking
from vad import blocks
from vad.errors import InputError
from vad.system.files import altered, files_in, sha256, share, twins

if TYPE_CHECKING:  # it would load PyTorch
    from vad.scoring.ensemble import Ensemble

LISTING = "model.sha256"
FACT = "vad.model_sha256"
"""The version's tag that holds the SHA-256 of the list of its files."""
_REMEDY = "its SHA-256 is not the one recorded; bring it back, or run the experiment again with FORCE=1"
_PACKAGES = (
    "mlflow", "torch", "numpy", "scipy", "pandas", "opencv-python-headless", "pillow", "psutil", "safetensors", "simplejpeg",
)  # fmt: skip


def log_model(
    tracking: Tracking, run_id: str, ensemble: "Ensemble", tags: Mapping[str, Any], registered: Collection[str]
) -> str:
    """Log the ensemble on a run, in place of a model that was logged and not `registered`; return the model's id."""
    client = tracking.client
    run = client.get_run(run_id)
    model = tracking.begin_model(run_id, run.info.experiment_id, "ensemble", run.data.params, registered=registered)
    model_id = str(model.model_id)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "model"
        _save(folder, model, run_id, ensemble, tags)
        client.log_model_artifacts(model_id, str(folder))
        if place := local_path(
            model.artifact_location
        ):  # weights of members that lie on one disk with it take room once
            for original, copy in twins([*ensemble.weights.values(), *sorted(place.rglob("weights/*.safetensors"))]):
                share(original, copy)
    client.log_output(run_id, model_id)
    if run.data.params.get("best_variant") == tags["vad.variant"]:
        # Models can be sorted by the run's metrics. At the moment of the run's own, or it would have two points of each.
        metrics = [client.get_metric_history(run_id, key)[-1] for key in run.data.metrics]
        client.log_points(run_id, metrics, model_id)
    client.finalize_logged_model(model_id, "READY")
    return model_id


def _save(folder: Path, model: Any, run_id: str, ensemble: "Ensemble", tags: Mapping[str, Any]) -> None:
    """Write the ensemble as a models-from-code pyfunc, as the files of a logged model of a run."""
    from vad.scoring.ensemble import save

    ids = {"run_id": run_id, "model_id": model.model_id, "model_uuid": model.model_id}
    about = Model(artifact_path=model.artifact_location, **ids)
    with tempfile.TemporaryDirectory() as work, warnings.catch_warnings():
        # The signature is given; an example would put somebody's footage into the model.
        warnings.filterwarnings("ignore", message=".*input example")
        weights = {member.kind_of_input().pretrained for member in ensemble.members.values()}
        packages = [*_PACKAGES, *blocks.packages(), *sorted(filter(None, weights))]
        parts, code = Path(work) / "ensemble", Path(work) / "code" / "vad"
        save(ensemble, parts, {key.removeprefix("vad."): str(value) for key, value in tags.items()})
        blocks.copy_code(code)
        mlflow.pyfunc.save_model(
            folder,
            mlflow_model=about,
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"ensemble": str(parts)},
            code_paths=[str(code)],
            # Versions as an index knows them: without the local part that names a build.
            pip_requirements=[f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in packages],
            signature=_signature(),
        )
    for cache in list(folder.rglob("__pycache__")):  # from a trial load
        shutil.rmtree(cache)


def _signature() -> ModelSignature:
    # Of any type: a video has a number or a name, and the server would cut 8.5 to 8 and drop what is not base64 before
    # the model could name the row.
    return ModelSignature(
        Schema([ColSpec(AnyType(), name) for name in ("video", "frame", "image")]),
        Schema([ColSpec(AnyType(), "video"), ColSpec(DataType.long, "frame"), ColSpec(DataType.double, "score")]),
        ParamSchema([ParamSpec("normalization", DataType.string, "stored")]),
    )


def list_files(tracking: Tracking, model_id: str) -> str:
    """Put the list of a logged model's files beside them; return the list's SHA-256."""
    location = tracking.client.get_logged_model(model_id).artifact_location
    with tempfile.TemporaryDirectory() as work:
        folder, listing = local_path(location) or tracking.download(location, Path(work)), Path(work) / LISTING
        listing.write_text("".join(f"{sha256(file)}  {name}\n" for name, file in _files(folder)))
        tracking.client.log_model_artifact(model_id, str(listing))
        return sha256(listing)


def load(fetch: Callable[[Path], Path], uri: str) -> Any:
    """Return the model by its own code, in another process if need be; `fetch` puts checked files into a folder."""
    from registry.models.loaded import ModelProcess, has_this_code

    blocks.load_project()
    folder = tempfile.mkdtemp(prefix="vad-model-")
    try:
        files = fetch(Path(folder))
        here = has_this_code(files)
        model = mlflow.pyfunc.load_model(str(files)).unwrap_python_model() if here else ModelProcess(files, uri)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, (MlflowException, OSError)):
            raise InputError(f"{uri} cannot be loaded: {' '.join(str(error).split()):.300}") from None
        raise
    weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)  # weights are read when they are needed
    return model


def require_listed(folder: Path, digest: str, what: str) -> None:
    """Leave in a folder the list and what it names. Raises InputError for a file that is missing or was altered."""
    known = listed(folder, digest, what)
    for name in altered(folder, known):
        raise InputError(f"{what}: {name} is missing or was altered: {_REMEDY}")
    for name, file in files_in(folder).items():
        if name not in {*known, LISTING}:
            file.unlink()  # what Python and MLflow add, and what somebody else might


def faults(folder: Path, digest: str) -> list[str]:
    """Return what of the files that lie in a model's folder is missing, was altered, or is no part of it."""
    try:
        known = listed(folder, digest, "")
    except InputError:
        return [f"its {LISTING} is missing or was altered"]
    more = [name for name, _ in _files(folder) if name not in known]
    wrong = [f"{name} is missing or was altered" for name in altered(folder, known)]
    return wrong + [f"{name} is no part of it" for name in more]


def listed(folder: Path, digest: str, what: str) -> dict[str, str]:
    """Return the SHA-256 of each file by name, from the list that has this digest. Raises InputError."""
    path = folder / LISTING
    if not path.is_file() or sha256(path) != digest:
        raise InputError(f"{what}: {LISTING} is missing or was altered: {_REMEDY}")
    return {name: known for known, _, name in (line.partition("  ") for line in path.read_text().splitlines())}


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of a model by name, without the list and what Python and MLflow add when it is loaded."""
    for name, file in files_in(folder).items():
        if "__pycache__" not in file.parts and file.name not in (LISTING, "registered_model_meta"):
            yield name, file
