"""Registered models in MLflow: versions of one model, and the aliases that say what each is for."""

import importlib.metadata
import json
import random
import shutil
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import LoggedModelOutput, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

import vad
from registry.models.history import Action, History
from registry.models.promotion import Standing
from registry.models.version_tags import facts_of_version, tags_of_version
from registry.store.reaching import absent
from registry.store.tracking import Tracking
from vad.errors import InputError

if TYPE_CHECKING:  # it would load PyTorch
    from vad.ensemble import Ensemble

NAME = "vad-ensemble"
_ABOUT = "Fused ensembles that score video frames for anomalies."
PRODUCTION, CANDIDATE, PREVIOUS = "production", "candidate", "previous"
_ATTEMPTS = 5
_SOURCE = ("mlflow.user", "mlflow.source.")
_PACKAGES = ("mlflow", "torch", "numpy", "scipy", "pandas", "opencv-python-headless", "safetensors")


@dataclass(frozen=True)
class Version:
    """A version of the registered model and what its tags say of it."""

    number: str
    run_id: str
    tags: dict[str, str]
    source: str

    @property
    def uri(self) -> str:
        return f"models:/{NAME}/{self.number}"

    def standing(self) -> Standing:
        tags = self.tags
        return Standing(self.number, tags["vad.figure"], float(tags["vad.value"]), tags["vad.protocol"])


class Versions:
    """The registered model in a tracking store."""

    def __init__(self, tracking: Tracking):
        self._client = tracking.client
        self._patiently = tracking.patiently
        self._history = History(tracking)

    def register(
        self, run_id: str, ensemble: "Ensemble", digest: str, tags: Mapping[str, Any], description: str
    ) -> tuple[Version, bool]:
        """The version of this ensemble: the one that is there, or a new one with alias `candidate`. True if new."""
        known = [
            v
            for v in self.all()
            if v.tags.get("vad.ensemble") == digest and v.tags.get("vad.protocol") == tags["vad.protocol"]
        ]
        known = [version for version in known if self.whole(version)]
        if known:
            self._point(CANDIDATE, known[0].number)
            return known[0], False
        model_id = self._log(run_id, ensemble, tags)
        self._measure(run_id, model_id, tags)
        every = {"vad.ensemble": digest, "vad.run_id": run_id, **tags}
        made = self.add(f"models:/{model_id}", model_id, run_id, {k: str(v) for k, v in every.items()}, description)
        self._point(CANDIDATE, made.number)
        return made, True

    def add(self, source: str, model_id: str, run_id: str, tags: Mapping[str, str], description: str) -> Version:
        """A new version of a logged model, without an alias."""
        try:
            self._client.create_registered_model(NAME, description=_ABOUT)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self._client.create_model_version(
            NAME, source, run_id, tags_of_version(tags), description=description, model_id=model_id
        )
        # Without it the UI's list of logged models does not say that this one is registered.
        told = json.dumps([{"name": NAME, "version": made.version}])
        self._client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: told})
        return self._version(made)

    def receive(self, version: Version, reason: str) -> None:
        """Take in a version from another store: as candidate, and as production where there is none."""
        self._point(CANDIDATE, version.number)
        if incumbent := self.alias(PRODUCTION):
            self._decided("imported", version, incumbent, reason)
        else:
            self.promote(version, reason)

    def _log(self, run_id: str, ensemble: "Ensemble", tags: Mapping[str, Any]) -> str:
        """Log the ensemble on a run, call by call: each can be repeated, the whole of it would leave two. Its model id."""
        run = self._client.get_run(run_id)
        source = {key: value for key, value in run.data.tags.items() if key.startswith(_SOURCE)}
        made = self._client.create_logged_model(
            run.info.experiment_id, "ensemble", run_id, source, dict(run.data.params)
        )
        self._client.log_outputs(run_id, [LoggedModelOutput(made.model_id, 0)])
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder) / "model"
            _save(files, made, run_id, ensemble, tags)
            self._client.log_model_artifacts(made.model_id, str(files))
        self._client.finalize_logged_model(made.model_id, "READY")
        return str(made.model_id)

    def _measure(self, run_id: str, model_id: str, tags: Mapping[str, Any]) -> None:
        """The figures of a run on the model of its best variant too, so that models can be sorted by them."""
        run = self._client.get_run(run_id).data
        if run.params.get("best_variant") != tags["vad.variant"]:
            return
        points = [point for key in run.metrics for point in self._client.get_metric_history(run_id, key)]
        # At the moment of the run's own, or the run would have two points of each.
        again = [Metric(point.key, point.value, point.timestamp, point.step, model_id) for point in points]
        self._client.log_batch(run_id, metrics=again)

    def whole(self, version: Version) -> bool:
        """Whether a version's files are where the store says they are."""
        try:
            self._patiently(lambda: mlflow.models.get_model_info(version.uri))
        except (MlflowException, OSError):
            return False
        return True

    def promote(self, version: Version, reason: str) -> None:
        """Make a version production; what was production becomes previous.

        Raises InputError where it is production already, or its files are gone.
        """
        if not self.whole(version):
            raise InputError(
                f"{version.uri} has lost its files; run {version.tags.get('vad.entry', 'its entry')} again"
            )
        incumbent = self.alias(PRODUCTION)
        if incumbent and incumbent.number == version.number:
            raise InputError(f"version {version.number} is production already")
        if incumbent:
            self._point(PREVIOUS, incumbent.number)
        self._make_production(version)
        self._decided("promoted", version, incumbent, reason)

    def refuse(self, version: Version, reason: str) -> None:
        """Record that a version did not become production, and why."""
        self._decided("refused", version, self.alias(PRODUCTION), reason)

    def rollback(self) -> Version:
        """Make the previous production model production again. Raises InputError where there is none."""
        previous, incumbent = self.alias(PREVIOUS), self.alias(PRODUCTION)
        if previous is None or incumbent is None:
            raise InputError("there is no previous production model to go back to")
        self._make_production(previous)
        self._point(PREVIOUS, incumbent.number)
        self._decided("rolled back", previous, incumbent, f"went back from version {incumbent.number}")
        return previous

    def alias(self, name: str) -> Version | None:
        try:
            return self._version(self._client.get_model_version_by_alias(NAME, name))
        except MlflowException as error:
            if not absent(error):
                raise
            return None

    def all(self) -> list[Version]:
        """Every version, newest first."""
        try:
            found = self._client.search_model_versions(f"name = '{NAME}'", max_results=10_000)
        except MlflowException as error:
            if not absent(error):
                raise
            return []
        return sorted((self._version(v) for v in found), key=lambda v: -int(v.number))

    def aliases(self) -> dict[str, list[str]]:
        """The aliases of each version number."""
        result: dict[str, list[str]] = {}
        for name in (PRODUCTION, CANDIDATE, PREVIOUS):
            if version := self.alias(name):
                result.setdefault(version.number, []).append(name)
        return result

    def known(self, model: str) -> bool:
        """Whether `resolve` would find it."""
        try:
            self.resolve(model)
        except InputError:
            return False
        return True

    def resolve(self, model: str, argument: str = "MODEL") -> Version:
        """A version by alias, number, or `models:/` URI. Raises InputError that says what there is."""
        versions = self.all()
        if not versions:
            raise InputError(
                "no model is registered yet; run an experiment first, as in `make run EXP=phase5_multiscale`"
            )
        wanted = model
        for prefix in (f"models:/{NAME}@", f"models:/{NAME}/"):
            wanted = wanted.removeprefix(prefix)
        numbers = {version.number: version for version in versions}
        found = numbers.get(wanted.removeprefix("v")) or (self.alias(wanted) if "/" not in wanted else None)
        if found is None:
            names = sorted({alias for aliases in self.aliases().values() for alias in aliases})
            raise InputError(
                f"{argument}={model}: {NAME} has no such alias or version (aliases: {', '.join(names) or 'none'}; "
                f"versions: {', '.join(sorted(numbers, key=int))})"
            )
        return found

    def load(self, version: Version) -> Any:
        """The Python model of a version, as MLflow loads it."""
        try:
            return self._patiently(lambda: mlflow.pyfunc.load_model(version.uri)).unwrap_python_model()
        except (MlflowException, OSError) as error:
            raise InputError(f"{version.uri} cannot be loaded: {str(error).splitlines()[0]}") from None

    def tag(self, version: Version, tags: Mapping[str, Any]) -> None:
        for key, value in tags.items():
            self._client.set_model_version_tag(NAME, version.number, key, str(value)[:5000])

    def _make_production(self, version: Version) -> None:
        """Set the alias, and let the model's own page describe this version."""
        self._point(PRODUCTION, version.number)
        told = self._client.get_model_version(NAME, version.number).description or ""
        self._client.update_registered_model(NAME, f"{_ABOUT}\n\n**Production is version {version.number}.** {told}")

    def _point(self, alias: str, number: str) -> None:
        """Set an alias. Of two machines that set it at once the database of a server refuses one: it asks again."""
        for attempt in range(_ATTEMPTS):
            try:
                self._client.set_registered_model_alias(NAME, alias, number)
                return
            except MlflowException as error:
                if error.error_code != "BAD_REQUEST" or attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(random.uniform(0.1, 0.5))

    def _decided(self, action: Action, version: Version, incumbent: Version | None, reason: str) -> None:
        self.tag(version, {"vad.decision": f"{action}: {reason}"})
        self._history.add(action, version.number, incumbent.number if incumbent else None, reason)

    def _version(self, found: Any) -> Version:
        return Version(str(found.version), found.run_id or "", facts_of_version(found.tags), found.source)


def _save(folder: Path, model: Any, run_id: str, ensemble: "Ensemble", tags: Mapping[str, Any]) -> None:
    """Write the ensemble as a models-from-code pyfunc, as the files of a logged model of a run."""
    from vad.ensemble import save

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
