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
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from registry.models import packaging
from registry.models.history import Action, History
from registry.models.model_files import FACT
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
        known = [
            v
            for v in self.all()
            if v.tags.get("vad.ensemble") == digest and v.tags.get("vad.protocol") == tags["vad.protocol"]
        ]
        known = [version for version in known if self.whole(version)]
        if known:
            self._tell_model(known[0])
            self._nominate(known[0])
            return known[0], known[0].run_id == run_id
        taken = {version.source.removeprefix("models:/") for version in self.all()}
        model_id = packaging.log_model(self._tracking, run_id, ensemble, tags, taken)
        every = {"vad.ensemble": digest, "vad.run_id": run_id, **tags}
        made = self.add(f"models:/{model_id}", model_id, run_id, {k: str(v) for k, v in every.items()}, description)
        self._nominate(made)
        return made, True

    def _nominate(self, version: Version) -> None:
        """Make the best version of the same figure and protocol candidate; of equals the older one."""
        rivals = [v for v in self.all() if all(v.tags.get(key) == version.tags[key] for key in _COMPARED)]
        best_first = sorted(rivals, key=lambda v: (-v.standing().value, int(v.number)))
        best = next(v for v in best_first if v.number == version.number or self.whole(v))
        self._point(CANDIDATE, best.number)

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

    def receive(self, version: Version, reason: str) -> None:
        """Take in a version from another store. It never becomes production by that: `vad promote` is for people."""
        self._nominate(version)
        incumbent = self.alias(PRODUCTION)
        if incumbent and incumbent.number == version.number:
            self.settle(version)
        else:
            self._decided("imported", version, incumbent, reason)

    def whole(self, version: Version) -> bool:
        """Whether a version's files are where the store says they are."""
        try:
            self._tracking.patiently(lambda: mlflow.models.get_model_info(version.uri))
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

    def confirm(self, version: Version) -> None:
        """Record that a version stays production which became it at the same moment as another, whose record came later."""
        if self._history.production() != version.number:
            self._history.add("promoted", version.number, None, "stays: became production as another version did")

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
        self._require_whole(previous)
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
        """The Python model of a version, from checked copies of its files. Raises InputError as `fetch` does."""
        self._require_whole(version)
        return packaging.load(self._tracking, version.uri, version.tags.get(FACT))

    def fetch(self, version: Version, folder: Path) -> Path:
        """Copy the files of a version into a folder and check them; where they lie.

        Raises InputError where one is gone or was altered.
        """
        self._require_whole(version)
        return packaging.fetch(self._tracking, version.uri, version.tags.get(FACT), folder)

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
        self.tag(version, {_DECISION: f"{action}: {reason}"})
        self._history.add(action, version.number, incumbent.number if incumbent else None, reason)

    def _version(self, found: Any) -> Version:
        return Version(str(found.version), found.run_id or "", facts_of_version(found.tags), found.source)


def _bare(model: str) -> str:
    """What follows the model's name in a `models:/` URI."""
    return model.removeprefix(f"models:/{NAME}@").removeprefix(f"models:/{NAME}/")
