"""Registered models in MLflow: versions of one model, and the aliases that say what each is for."""

import importlib.metadata
import json
import random
import shutil
import tempfile
import time
import warnings
import weakref
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
from registry.models.model_files import FACT, LISTING, require_listed, write_listing
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
_DECISION = "vad.decision"
_ATTEMPTS = 5
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
        self._tracking, self._client = tracking, tracking.client
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
            self._tell_model(known[0])
            self._point(CANDIDATE, known[0].number)
            return known[0], known[0].run_id == run_id
        model_id = self._log(run_id, ensemble, tags)
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
        facts = {**tags, FACT: self._list_files(model_id)}
        made = self._client.create_model_version(
            NAME, source, run_id, tags_of_version(facts), description=description, model_id=model_id
        )
        version = self._version(made)
        self._tell_model(version)
        return version

    def _tell_model(self, version: Version) -> None:
        """Without it the UI's list of logged models does not say that this one is registered."""
        told = json.dumps([{"name": NAME, "version": int(version.number)}])
        self._client.set_logged_model_tags(version.source.removeprefix("models:/"), {MLFLOW_MODEL_VERSIONS: told})

    def receive(self, version: Version, reason: str) -> None:
        """Take in a version from another store: as candidate, and as production where there is none."""
        self._point(CANDIDATE, version.number)
        incumbent = self.alias(PRODUCTION)
        if incumbent and incumbent.number == version.number:
            self.settle(version)
        elif incumbent:
            self._decided("imported", version, incumbent, reason)
        else:
            self.promote(version, reason)

    def whole(self, version: Version) -> bool:
        """Whether a version's files are where the store says they are."""
        try:
            mlflow.models.get_model_info(version.uri)
        except (MlflowException, OSError):
            return False
        return True

    def _require_whole(self, version: Version) -> None:
        if not self.whole(version):
            entry = version.tags.get("vad.entry", "its entry")
            raise InputError(f"{version.uri} has lost its files (`vad doctor` looks for them); or run {entry} again")

    def promote(self, version: Version, reason: str) -> None:
        """Make a version production; what was production becomes previous.

        Raises InputError where it is production already, or its files are gone.
        """
        self._require_whole(version)
        incumbent = self.alias(PRODUCTION)
        if incumbent and incumbent.number == version.number and self._history.production() == version.number:
            raise InputError(f"version {version.number} is production already")
        before = incumbent.number if incumbent else None
        # Written down first: no alias moves without a reason, and a run that was cut off here decides again.
        self._history.add("promoted", version.number, before, reason)
        if incumbent and incumbent.number != version.number:
            self._point(PREVIOUS, incumbent.number)
        self._make_production(version)
        if self._history.production() != version.number:  # another machine decided meanwhile, and was overtaken
            self._history.add("promoted", version.number, before, reason)
        self.tag(version, {_DECISION: f"promoted: {reason}"})

    def settle(self, version: Version) -> None:
        """Tag a version with its promotion, where that was cut off before this, its last step."""
        if _DECISION not in version.tags and (event := self._history.promotion(version.number)):
            self.tag(version, {_DECISION: f"promoted: {event.reason}"})

    def refuse(self, version: Version, reason: str) -> None:
        """Record that a version did not become production, and why."""
        self._decided("refused", version, self.alias(PRODUCTION), reason)

    def rollback(self) -> Version:
        """Make the previous production model production again. Raises InputError where there is none."""
        previous, incumbent = self.alias(PREVIOUS), self.alias(PRODUCTION)
        if previous is None or incumbent is None:
            raise InputError("there is no previous production model to go back to")
        self._decided("rolled back", previous, incumbent, f"went back from version {incumbent.number}")
        self._make_production(previous)
        self._point(PREVIOUS, incumbent.number)
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
        """Whether there is such a version or alias."""
        return self._find(model) is not None

    def resolve(self, model: str, argument: str = "MODEL") -> Version:
        """A version by alias, number, or `models:/` URI.

        Raises InputError that says what there is, and where `production` is not the version that was decided on.
        """
        found = self._find(model)
        if found is None:
            numbers = sorted((version.number for version in self.all()), key=int)
            if not numbers:
                raise InputError(
                    "no model is registered yet; run an experiment first, as in `make run EXP=phase5_multiscale`"
                )
            names = sorted({alias for aliases in self.aliases().values() for alias in aliases})
            raise InputError(
                f"{argument}={model}: {NAME} has no such alias or version (aliases: {', '.join(names) or 'none'}; "
                f"versions: {', '.join(numbers)})"
            )
        if _bare(model) == PRODUCTION:
            self._require_decided()
        return found

    def _find(self, model: str) -> Version | None:
        wanted = _bare(model)
        numbers = {version.number: version for version in self.all()}
        return numbers.get(wanted.removeprefix("v")) or (self.alias(wanted) if numbers and "/" not in wanted else None)

    def _require_decided(self) -> None:
        """Raise InputError where the alias `production` was moved past `vad promote` and `vad rollback`."""
        found, decided = self.alias(PRODUCTION), self._history.production()
        if found and found.number != decided:
            time.sleep(1)  # somebody may be promoting just now
            found, decided = self.alias(PRODUCTION), self._history.production()
        if found is None or found.number == decided:
            return
        way_back = f", `vad promote v{decided}` puts it back" if decided else ""
        raise InputError(
            f"the alias production points to version {found.number}, but the last recorded decision made "
            f"{f'version {decided}' if decided else 'none'} production (`vad history`): somebody moved it past them; "
            f"`vad promote v{found.number}` records that it shall be so{way_back}"
        )

    def load(self, version: Version) -> Any:
        """The Python model of a version, as MLflow loads it, from checked copies of its files.

        Raises InputError where files are gone or were altered.
        """
        folder = tempfile.mkdtemp(prefix="vad-model-")
        try:
            model = mlflow.pyfunc.load_model(str(self.fetch(version, Path(folder)))).unwrap_python_model()
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, (MlflowException, OSError)):
                raise InputError(f"{version.uri} cannot be loaded: {str(error).splitlines()[0]}") from None
            raise
        weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)  # weights are read when they are needed
        return model

    def fetch(self, version: Version, folder: Path) -> Path:
        """Copy the files of a version into a folder and check them; where they lie.

        Raises InputError where one is gone or was altered.
        """
        self._require_whole(version)
        found = Path(mlflow.artifacts.download_artifacts(artifact_uri=version.uri, dst_path=str(folder)))
        if FACT in version.tags:  # a version older than such lists has the digests of its weights alone
            require_listed(found, version.tags[FACT], version.uri)
        return found

    def _list_files(self, model_id: str) -> str:
        """Put the list of a logged model's files beside them; its SHA-256."""
        location = self._client.get_logged_model(model_id).artifact_location
        with tempfile.TemporaryDirectory() as work:
            # Without a target, MLflow copies nothing that lies on this disk.
            target = None if location.startswith("file:") else work
            files = Path(mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=target))
            listing = Path(work) / LISTING
            digest = write_listing(files, listing)
            self._client.log_model_artifact(model_id, str(listing))
        return digest

    def tag(self, version: Version, tags: Mapping[str, Any]) -> None:
        for key, value in tags.items():
            self._client.set_model_version_tag(NAME, version.number, key, str(value)[:5000])

    def _log(self, run_id: str, ensemble: "Ensemble", tags: Mapping[str, Any]) -> str:
        """Log the ensemble as a models-from-code pyfunc of a run, with the run's figures; gives the model's id.

        One that was cut off, or logged and not registered, is taken up: a run has one model and no other.
        """
        from vad.ensemble import save

        run, taken = self._client.get_run(run_id), {version.source.removeprefix("models:/") for version in self.all()}
        params = run.data.params
        model = self._tracking.begin_model(run_id, run.info.experiment_id, "ensemble", params, taken=taken)
        model_id, place = str(model.model_id), model.artifact_location
        with tempfile.TemporaryDirectory() as work:
            folder, code, whole = Path(work) / "ensemble", Path(work) / "code" / "vad", Path(work) / "model"
            save(ensemble, folder, {key.removeprefix("vad."): str(value) for key, value in tags.items()})
            shutil.copytree(Path(vad.__file__).parent, code, ignore=shutil.ignore_patterns("__pycache__"))
            with warnings.catch_warnings():
                # The signature is given; an example would put somebody's footage into the model.
                warnings.filterwarnings("ignore", message=".*input example")
                mlflow.pyfunc.save_model(
                    path=whole,
                    mlflow_model=Model(artifact_path=place, model_uuid=model_id, run_id=run_id, model_id=model_id),
                    python_model=str(Path(__file__).with_name("pyfunc_model.py")),
                    artifacts={"ensemble": str(folder)},
                    code_paths=[str(code)],
                    pip_requirements=[f"{name}=={_release(name)}" for name in _PACKAGES],
                    signature=_signature(),
                )
            for cache in whole.rglob("__pycache__"):
                shutil.rmtree(cache)
            self._client.log_model_artifacts(model_id, str(whole))
        if model_id not in {output.model_id for output in run.outputs.model_outputs}:
            self._client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
        known = [self._client.get_metric_history(run_id, key)[-1] for key in run.data.metrics]
        figures = [Metric(m.key, m.value, m.timestamp, m.step, model_id=model_id) for m in known]
        self._client.log_batch(run_id, metrics=figures)  # models can be sorted by them
        self._client.finalize_logged_model(model_id, "READY")
        return model_id

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
        self.tag(version, {_DECISION: f"{action}: {reason}"})
        self._history.add(action, version.number, incumbent.number if incumbent else None, reason)

    def _version(self, found: Any) -> Version:
        return Version(str(found.version), found.run_id or "", facts_of_version(found.tags), found.source)


def _bare(model: str) -> str:
    """What follows the model's name in a `models:/` URI."""
    return model.removeprefix(f"models:/{NAME}@").removeprefix(f"models:/{NAME}/")


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
