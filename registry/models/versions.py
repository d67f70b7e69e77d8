"""Registered models in MLflow: versions of one model, and the aliases that say what each is for."""

import json
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.models import packaging
from registry.models.history import History
from registry.models.packaging import FACT, listed, require_listed
from registry.store.address import local_path
from registry.store.connection import unless_absent
from registry.store.mlflow_private import MODEL_VERSIONS_TAG
from registry.store.tracking import Tracking
from vad.errors import InputError

if TYPE_CHECKING:  # it would load PyTorch
    from vad.scoring.ensemble import Ensemble

NAME = "vad-ensemble"
_ABOUT = "Fused ensembles that score video frames for anomalies."
PRODUCTION, CANDIDATE, PREVIOUS = "production", "candidate", "previous"
DECISION = "vad.decision"
_COMPARED = ("vad.figure", "vad.protocol")
DEMO = "demo-street"  # registry.data.datasets.DEMO, which is not imported, as that loads PyTorch


@dataclass(frozen=True)
class VersionMetric:
    """A version's metric, by which it is promoted."""

    version: str
    metric: str  # `ap` or `proxy_ap`
    value: float
    protocol: str  # on which frames and labels
    trial: str = ""  # why it is only for trying things out: `the demo street`, or a profile


@dataclass(frozen=True)
class Version:
    """A version of the registered model and what its tags say of it."""

    number: str
    run_id: str
    tags: dict[str, str]
    source: str
    model: str = NAME
    aliases: tuple[str, ...] = ()  # only `all_versions` asks for them

    @property
    def name(self) -> str:
        return f"{self.model}/{self.number}"

    @property
    def uri(self) -> str:
        return f"models:/{self.name}"

    @property
    def model_id(self) -> str:
        return self.source.removeprefix("models:/")

    def has(self, tags: Mapping[str, str]) -> bool:
        return tags.items() <= self.tags.items()

    def metric(self) -> VersionMetric:
        metric, value, protocol = (self.tags[f"vad.{key}"] for key in ("figure", "value", "protocol"))
        trial = "the demo street" if self.tags.get("vad.data_name") == DEMO else self.tags.get("vad.trial", "")
        return VersionMetric(self.number, metric, float(value), protocol, trial)


class Versions:
    """The registered model in a tracking store."""

    def __init__(self, tracking: Tracking):
        self.tracking, self._client = tracking, tracking.client
        self.history = History(tracking)

    def register(
        self, run_id: str, ensemble: "Ensemble", digest: str, tags: Mapping[str, str], description: str
    ) -> tuple[Version, bool]:
        """Return the version of this ensemble, registered if it is not there, and whether this run made it."""
        known = self._same(digest, tags["vad.protocol"])
        if known:
            first = known[0]
            self._note_on_model(first)
        else:
            registered = {version.model_id for version in self.all()}
            model_id = packaging.log_model(self.tracking, run_id, ensemble, tags, registered)
            made = self.add(model_id, run_id, {"vad.ensemble": digest, "vad.run_id": run_id, **tags}, description)
            first = self._same(digest, tags["vad.protocol"])[-1]
            if first.number != made.number:  # another machine registered it in the same moment
                self._client.delete_model_version(NAME, made.number)
                self._client.delete_logged_model_tag(model_id, MODEL_VERSIONS_TAG)
        self.nominate(first)
        return first, first.run_id == run_id

    def _same(self, digest: str, protocol: str) -> list[Version]:
        """Return versions of an ensemble by a protocol that have their files, newest first."""
        same = {"vad.ensemble": digest, "vad.protocol": protocol}
        return [version for version in self.all() if version.has(same) and self.complete(version)]

    def nominate(self, version: Version) -> None:
        """Make the best version of the same metric and protocol candidate; of equals the older one."""
        same = {key: version.tags[key] for key in _COMPARED}
        rivals = [v for v in self.all() if v.has(same)]
        best = next(v for v in _best_first(rivals) if v.number == version.number or self.whole(v))
        self.point(CANDIDATE, best.number)

    def add(self, model_id: str, run_id: str, tags: Mapping[str, str], description: str) -> Version:
        """Register a logged model as a new version, without an alias."""
        self._client.call_unless("RESOURCE_ALREADY_EXISTS", "create_registered_model", NAME, description=_ABOUT)
        facts = {**tags, FACT: packaging.list_files(self.tracking, model_id)}
        made = self._client.create_model_version(
            NAME, f"models:/{model_id}", run_id, tags_of_version(facts), description=description, model_id=model_id
        )
        version = _version(made)
        self._note_on_model(version)
        return version

    def _note_on_model(self, version: Version) -> None:
        """Let the UI's list of logged models say that this one is registered."""
        note = json.dumps([{"name": NAME, "version": int(version.number)}])
        self._client.set_logged_model_tags(version.model_id, {MODEL_VERSIONS_TAG: note})

    def whole(self, version: Version) -> bool:
        """Whether a version's files are where the store says they are."""
        return self.tracking.has_model(version.uri)

    def complete(self, version: Version) -> bool:
        """Whether every file of a version is there, by name, as far as that can be seen on this disk."""
        if not self.whole(version):
            return False
        folder = local_path(self._client.get_logged_model(version.model_id).artifact_location)
        with suppress(InputError):
            known = listed(folder, version.tags.get(FACT, ""), version.uri) if folder else {}
            return folder is None or all((folder / name).is_file() for name in known)
        return False

    def require_whole(self, version: Version) -> None:
        """Raise InputError where a version's files are gone."""
        if not self.whole(version):
            entry = version.tags.get("vad.entry", "its entry")
            raise InputError(f"{version.uri} has lost its files (`vad doctor` looks for them); or run {entry} again")

    def alias(self, name: str) -> Version | None:
        found = unless_absent(lambda: self._client.get_model_version_by_alias(NAME, name))
        return _version(found) if found else None

    def all(self) -> list[Version]:
        """Return every version, newest first."""
        found = unless_absent(lambda: self._client.search_model_versions(f"name = '{NAME}'")) or []
        return sorted(map(_version, found), key=lambda version: -int(version.number))

    def aliases(self) -> dict[str, list[str]]:
        """Return the aliases of each version number."""
        result: dict[str, list[str]] = {}
        for name in (PRODUCTION, CANDIDATE, PREVIOUS):
            if version := self.alias(name):
                result.setdefault(version.number, []).append(name)
        return result

    def best_on(self, test_digest: str, protocol: str) -> Version | None:
        """Return the best version that was made on these test frames, by AP before proxy AP; None where there is none.

        Of several protocols (other labels, say) `protocol` counts, else the newest version's: they cannot be compared.
        """
        made = [v for v in self.all() if v.has({"vad.test_digest": test_digest}) and "vad.value" in v.tags]
        made = [v for v in made if v.tags["vad.figure"] == "ap"] or made
        protocols = [v.tags.get("vad.protocol", "") for v in made]
        wanted = protocol if protocol in protocols else next(iter(protocols), "")
        alike = [v for v in made if v.tags.get("vad.protocol", "") == wanted]
        return next((version for version in _best_first(alike) if self.whole(version)), None)

    def resolve(self, model: str, argument: str = "MODEL") -> Version:
        """Return a version by alias, number, or URI. Raises InputError that says what there is."""
        found = self.find(model)
        if found is None:
            numbers = sorted((version.number for version in self.all()), key=int)
            if not numbers:
                raise InputError("no model is registered yet; run an experiment: `make run EXP=phase5_multiscale`")
            names = sorted({alias for aliases in self.aliases().values() for alias in aliases})
            known = f"aliases: {', '.join(names) or 'none'}; versions: {', '.join(numbers)}"
            raise InputError(f"{argument}={model}: {NAME} has no such alias or version ({known})")
        if FACT not in found.tags:
            lost = f"{found.uri} has lost its facts (its tag `{ALL}` is gone or was altered)"
            raise InputError(f"{lost}, and nothing of it can be checked; run its experiment again with FORCE=1")
        return self._decided(found) if _bare(model) == PRODUCTION else found

    def find(self, model: str) -> Version | None:
        """Return a version by alias, number, or URI; None where there is none."""
        wanted = _bare(model)
        numbers = {version.number: version for version in self.all()}
        return numbers.get(wanted.removeprefix("v")) or (self.alias(wanted) if numbers and "/" not in wanted else None)

    def _decided(self, found: Version) -> Version:
        """Return production as the last decision has it. Raises InputError where the alias was moved past the decisions."""
        last = self.history.last()
        if last and last.version == found.number:
            return found
        if last and not last.followed and (decided := self.find(last.version)):
            return decided
        way_back = f", `vad promote v{last.version}` puts it back" if last else ""
        decided_on = f"the last recorded decision made {f'version {last.version}' if last else 'none'} production"
        moved = f"the alias production points to version {found.number}, but {decided_on} (`vad history`): somebody moved it"
        raise InputError(f"{moved}; `vad promote v{found.number}` records that it shall be so{way_back}")

    def load(self, version: Version) -> Any:
        """Return the Python model of a version, from checked copies of its files. Raises InputError as `fetch` does."""
        return packaging.load(lambda folder: self.fetch(version, folder), version.uri)

    def fetch(self, version: Version, folder: Path) -> Path:
        """Copy the files of a version into a folder. Raises InputError where one is gone or was altered."""
        self.require_whole(version)
        files = self.tracking.download(version.uri, folder)
        require_listed(files, version.tags.get(FACT, ""), version.uri)
        return files

    def tag(self, number: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        self._client.set_model_version_tag(NAME, number, key, value[:5000])

    def make_production(self, number: str) -> None:
        """Set the alias, and let the model's own page describe this version."""
        self.point(PRODUCTION, number)
        description = self._client.get_model_version(NAME, number).description or ""
        self._client.update_registered_model(NAME, f"{_ABOUT}\n\n**Production is version {number}.** {description}")

    def point(self, alias: str, number: str) -> None:
        """Set an alias."""
        self._client.set_registered_model_alias(NAME, alias, number)


def all_versions(tracking: Tracking) -> list[Version]:
    """Return every version that `vad` registered, under any model's name, with its aliases."""
    named: dict[str, list[str]] = defaultdict(list)
    for model in tracking.client.search_registered_models():
        for alias, number in sorted(model.aliases.items()):
            named[f"{model.name}/{number}"].append(alias)
    found = map(_version, tracking.client.search_model_versions())
    versions = [replace(version, aliases=tuple(named[version.name])) for version in found]
    return [version for version in versions if version.model == NAME or "vad.entry" in version.tags]


def _version(found: Any) -> Version:
    return Version(str(found.version), found.run_id or "", facts_of_version(found.tags), found.source, found.name)


def _best_first(versions: list[Version]) -> list[Version]:
    """Sort versions of one metric and protocol, of equals the older one first."""
    return sorted(versions, key=lambda version: (-version.metric().value, int(version.number)))


def _bare(model: str) -> str:
    """Return what follows the model's name in a `models:/` URI."""
    return model.removeprefix(f"models:/{NAME}@").removeprefix(f"models:/{NAME}/")


ALL, _ALL_BEFORE = "mlflow.vad", "vad"
"""The tag that holds, as JSON, the facts that people do not look for: digests, places, ids; and its name in earlier versions."""
_APART = ("vad.decision",)  # set later, as tags of their own
_SHOWN = ("reference_ap", "variant", "entry", "data_name", "profile")


def tags_of_version(facts: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a new version: the metrics and names that a person looks for, then all facts in one."""
    interval = facts.get("vad.interval", "").replace(" to ", ", ")
    shown = {facts.get("vad.figure", "ap"): f"{float(facts['vad.value']):.4f} [{interval}]"}
    shown |= {key.removesuffix("_name"): facts.get(f"vad.{key}", "") for key in _SHOWN}
    packed = {key: value for key, value in facts.items() if key.startswith("vad.") and key not in _APART}
    others = {
        key: value
        for key, value in facts.items()
        if not key.startswith("vad.") and key not in (*shown, ALL, _ALL_BEFORE)
    }
    return {key: value for key, value in shown.items() if value} | others | {ALL: json.dumps(packed)}


def facts_of_version(tags: Mapping[str, str]) -> dict[str, str]:
    """Return all that is known of a version, by `vad.` names; the tags of one that was made before there was the tag."""
    try:
        packed = dict(json.loads(tags.get(ALL) or tags.get(_ALL_BEFORE, "{}")))
    except (ValueError, TypeError):
        packed = {}
    return {**packed, **{key: value for key, value in tags.items() if key not in (ALL, _ALL_BEFORE)}}
