"""Registered models in MLflow: versions of one model, and the aliases that say what each is for."""

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from registry.models import packaging
from registry.models.history import History
from registry.models.packaging import FACT, listed
from registry.models.promotion import Standing
from registry.store.connection import absent
from registry.store.tracking import Tracking
from vad.errors import InputError

if TYPE_CHECKING:  # it would load PyTorch
    from vad.scoring.ensemble import Ensemble

NAME = "vad-ensemble"
_ABOUT = "Fused ensembles that score video frames for anomalies."
PRODUCTION, CANDIDATE, PREVIOUS = "production", "candidate", "previous"
DECISION = "vad.decision"
_COMPARED = ("vad.figure", "vad.protocol")
_ATTEMPTS = 5
_DEMO = "demo-street"  # registry.data.datasets.DEMO, which is not imported, as that loads PyTorch


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
        return Standing(
            self.number,
            tags["vad.figure"],
            float(tags["vad.value"]),
            tags["vad.protocol"],
            tags.get("vad.data_name") == _DEMO,
        )


class Versions:
    """The registered model in a tracking store."""

    def __init__(self, tracking: Tracking):
        self._tracking, self._client = tracking, tracking.client
        self._history = History(tracking)

    def register(
        self, run_id: str, ensemble: "Ensemble", digest: str, tags: Mapping[str, Any], description: str
    ) -> tuple[Version, bool]:
        """The version of this ensemble: the one that is there, or a new one with alias `candidate`. True if new."""
        known = self._same(digest, tags["vad.protocol"])
        if known:
            self._tell_model(known[0])
            self.nominate(known[0])
            return known[0], known[0].run_id == run_id
        taken = {version.source.removeprefix("models:/") for version in self.all()}
        model_id = packaging.log_model(self._tracking, run_id, ensemble, tags, taken)
        every = {"vad.ensemble": digest, "vad.run_id": run_id, **tags}
        made = self.add(f"models:/{model_id}", model_id, run_id, {k: str(v) for k, v in every.items()}, description)
        first = self._same(digest, tags["vad.protocol"])[-1]
        if first.number != made.number:  # another machine registered it in the same moment
            self._client.delete_model_version(NAME, made.number)
            self._client.delete_logged_model_tag(model_id, MLFLOW_MODEL_VERSIONS)
        self.nominate(first)
        return first, first.run_id == run_id

    def _same(self, digest: str, protocol: str) -> list[Version]:
        """Versions of an ensemble by a protocol that have their files, newest first."""
        same = {"vad.ensemble": digest, "vad.protocol": protocol}
        return [v for v in self.all() if all(v.tags.get(k) == value for k, value in same.items()) and self.complete(v)]

    def nominate(self, version: Version) -> None:
        """Make the best version of the same figure and protocol candidate; of equals the older one."""
        rivals = [v for v in self.all() if all(v.tags.get(key) == version.tags[key] for key in _COMPARED)]
        best_first = sorted(rivals, key=lambda v: (-v.standing().value, int(v.number)))
        best = next(v for v in best_first if v.number == version.number or self.whole(v))
        self.point(CANDIDATE, best.number)

    def add(self, source: str, model_id: str, run_id: str, tags: Mapping[str, str], description: str) -> Version:
        """A new version of a logged model, without an alias."""
        try:
            self._client.create_registered_model(NAME, description=_ABOUT)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        facts = {**tags, FACT: packaging.list_files(self._tracking, model_id)}
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

    def whole(self, version: Version) -> bool:
        """Whether a version's files are where the store says they are."""
        try:
            self._tracking.retrying(lambda: mlflow.models.get_model_info(version.uri))
        except (MlflowException, OSError):
            return False
        return True

    def complete(self, version: Version) -> bool:
        """Whether every file of a version is there, by name, as far as that can be seen on this disk."""
        if not self.whole(version):
            return False
        location = self._client.get_logged_model(version.source.removeprefix("models:/")).artifact_location
        if not location.startswith("file:"):
            return True
        folder = Path(local_file_uri_to_path(location))
        try:
            return all((folder / name).is_file() for name in listed(folder, version.tags.get(FACT, ""), version.uri))
        except InputError:
            return False

    def require_whole(self, version: Version) -> None:
        """Raise InputError where a version's files are gone."""
        if not self.whole(version):
            entry = version.tags.get("vad.entry", "its entry")
            raise InputError(f"{version.uri} has lost its files (`vad doctor` looks for them); or run {entry} again")

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
            found = self._client.search_model_versions(f"name = '{NAME}'")
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

    def best_on(self, test_digest: str) -> Version | None:
        """The best version that was made on these test frames, by AP where there were labels; of equals the older one."""
        made = [v for v in self.all() if v.tags.get("vad.test_digest") == test_digest and "vad.value" in v.tags]
        best_first = sorted(made, key=lambda v: (v.tags["vad.figure"] != "ap", -v.standing().value, int(v.number)))
        return next((version for version in best_first if self.whole(version)), None)

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
        if FACT not in found.tags:
            raise InputError(
                f"{found.uri} has lost its facts (its tag `vad` is gone or was altered), and nothing of it can be checked; "
                "run its experiment again with FORCE=1"
            )
        return self._decided(found) if _bare(model) == PRODUCTION else found

    def _find(self, model: str) -> Version | None:
        wanted = _bare(model)
        numbers = {version.number: version for version in self.all()}
        return numbers.get(wanted.removeprefix("v")) or (self.alias(wanted) if numbers and "/" not in wanted else None)

    def _decided(self, found: Version) -> Version:
        """Production as the last decision has it, which the alias may have to follow yet.

        Raises InputError where the alias was moved past `vad promote` and `vad rollback`.
        """
        last = self._history.last()
        if last and last.version == found.number:
            return found
        if last and not last.followed and (decided := self._find(last.version)):
            return decided
        way_back = f", `vad promote v{last.version}` puts it back" if last else ""
        raise InputError(
            f"the alias production points to version {found.number}, but the last recorded decision made "
            f"{f'version {last.version}' if last else 'none'} production (`vad history`): somebody moved it past them; "
            f"`vad promote v{found.number}` records that it shall be so{way_back}"
        )

    def load(self, version: Version) -> Any:
        """The Python model of a version, from checked copies of its files. Raises InputError as `fetch` does."""
        self.require_whole(version)
        return packaging.load(self._tracking, version.uri, version.tags.get(FACT))

    def fetch(self, version: Version, folder: Path) -> Path:
        """Copy the files of a version into a folder and check them; where they lie.

        Raises InputError where one is gone or was altered.
        """
        self.require_whole(version)
        return packaging.fetch(self._tracking, version.uri, version.tags.get(FACT), folder)

    def tag(self, number: str, tags: Mapping[str, Any]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self._client.set_model_version_tag(NAME, number, key, str(value)[:5000])

    def make_production(self, number: str) -> None:
        """Set the alias, and let the model's own page describe this version."""
        self.point(PRODUCTION, number)
        told = self._client.get_model_version(NAME, number).description or ""
        self._client.update_registered_model(NAME, f"{_ABOUT}\n\n**Production is version {number}.** {told}")

    def point(self, alias: str, number: str) -> None:
        """Set an alias. Of two machines that set it at once the database of a server refuses one: it asks again."""
        for attempt in range(_ATTEMPTS):
            try:
                self._client.set_registered_model_alias(NAME, alias, number)
                return
            except MlflowException as error:
                if error.error_code != "BAD_REQUEST" or attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(random.uniform(0.1, 0.5))

    def _version(self, found: Any) -> Version:
        return Version(str(found.version), found.run_id or "", facts_of_version(found.tags), found.source)


def _bare(model: str) -> str:
    """What follows the model's name in a `models:/` URI."""
    return model.removeprefix(f"models:/{NAME}@").removeprefix(f"models:/{NAME}/")


ALL = "vad"
"""The tag that holds the facts which people do not read there: digests, places, ids; as JSON."""
_ASIDE = ("vad.decision",)  # set later, by themselves


def tags_of_version(facts: Mapping[str, str]) -> dict[str, str]:
    """What is set on a new version: the figures and names that a person looks for, then all the rest in one."""
    figure = facts.get("vad.figure", "ap")
    shown = {
        figure: f"{float(facts['vad.value']):.4f} [{facts.get('vad.interval', '').replace(' to ', ', ')}]",
        "reference_ap": facts.get("vad.reference_ap", ""),
        "variant": facts.get("vad.variant", ""),
        "entry": facts.get("vad.entry", ""),
        "data": facts.get("vad.data_name", ""),
        "profile": facts.get("vad.profile", ""),
    }
    rest = {key: value for key, value in facts.items() if key.startswith("vad.") and key not in _ASIDE}
    others = {key: value for key, value in facts.items() if not key.startswith("vad.") and key not in (*shown, ALL)}
    return {key: value for key, value in shown.items() if value} | others | {ALL: json.dumps(rest)}


def facts_of_version(tags: Mapping[str, str]) -> dict[str, str]:
    """All that is known of a version, by `vad.` names; of one that was made before there was the tag `vad`, its tags."""
    try:
        packed = dict(json.loads(tags.get(ALL, "{}")))
    except (ValueError, TypeError):
        packed = {}
    return {**packed, **{key: value for key, value in tags.items() if key != ALL}}
