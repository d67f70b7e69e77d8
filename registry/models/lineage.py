"""Where predictions and models come from: a file is found by its SHA-256, and a board's score is written back to it."""

import tempfile
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from registry.console import table
from registry.models.versions import Version, Versions
from registry.store.record import TAG, Altered, recorded
from registry.store.tags import stored
from registry.store.tracking import Found, Tracking
from vad.errors import InputError
from vad.system.files import reading, sha256


class UnknownFile(InputError):
    """No run of the store wrote a file with these contents."""


@dataclass(frozen=True)
class Origin:
    """Where a predictions file came from: a submission, or (None) the predictions of the run itself."""

    digest: str
    run: Found
    submission: Found | None


@dataclass(frozen=True)
class Link:
    """One link of the chain: what it is, and what is known of it, a line each."""

    what: str
    lines: tuple[str, ...]


@dataclass
class Lineage:
    """The chain from a file or version back to commit and data; `sound` is False where a link was altered or is gone."""

    links: list[Link] = field(default_factory=list)
    members: list[dict[str, Any]] = field(default_factory=list)
    sound: bool = True

    def add(self, what: str, *lines: str, sound: bool = True) -> None:
        self.links.append(Link(what, lines))
        self.sound &= sound


def explain(what: str, home: Path) -> Lineage:
    """Return the lineage of a file or version (`v3`, an alias, a URI). Raises InputError where there is neither."""
    if Path(what).is_file() and what.lower().endswith((".yaml", ".yml")):
        raise InputError(
            f"{what} is an experiment file, and `vad explain` takes a predictions file or a model version; `vad why {what}` explains "
            f"what this experiment would train or reuse, `vad show {what}` prints it with every default"
        )
    versions = Versions(Tracking())
    versions.tracking.require_in_place(reading=True)
    chain = _Chain(versions, home)
    if Path(what).is_file():
        chain.add_file(Path(what))
    elif what.startswith("models:/") or versions.find(what):
        chain.add_version(versions.resolve(what))
    else:
        hint = "give a path, models:/vad-ensemble/3, v3 or production; for an experiment: vad why EXP"
        raise InputError(f"{what} is neither a file nor a model version ({hint})")
    return chain


def as_text(found: Lineage) -> str:
    """Return the chain for a terminal."""
    rows: list[tuple[str, str]] = []
    width = max(len(link.what) for link in found.links)
    for link in found.links:
        rows += [("" if number else link.what, line) for number, line in enumerate(link.lines)]
        if link.what == "members" and found.members:
            header = ["", "run", "epoch", "loss", "trained for", "weights, SHA-256"]
            cells = [[m["name"], m["run"][:8], m["epoch"], m["loss"], m["entry"], m["weights"]] for m in found.members]
            rows += [("", row) for row in table(header, cells, right=(2,), indent=width + 2).splitlines()]
    return "\n".join(f"{what:<{width}}  {line}" for what, line in rows)


class _Chain(Lineage):
    """Finds link after link."""

    def __init__(self, versions: Versions, home: Path):
        super().__init__()
        self._tracking, self._versions, self._home = versions.tracking, versions, home

    def add_file(self, file: Path) -> None:
        try:
            origin = find_origin(file, self._tracking)
        except UnknownFile as error:
            self.add("file", str(file), str(error), sound=False)
            return
        self.add("file", str(file), f"SHA-256 {origin.digest}, as recorded: not altered")
        if origin.submission is None:
            best = origin.run.params.get("best_variant", "")
            self.add("written", f"by the run itself, as predictions of its best variant {best}")
            self._add_run(origin.run, best)
        else:
            run, tags = origin.submission, defaultdict(lambda: "?", origin.submission.tags)
            lines = [f"run {run.run_id}, {run.when}, of {tags['vad.data']}, normalization {tags['vad.normalization']}"]
            lines += [f"{board} board: {value}" for board, value in board_scores(run.metrics).items()]
            if "vad.kaggle" in tags:
                lines.append(f"Kaggle, {tags['vad.kaggle']}: {run.tags.get('vad.kaggle_reply', '')}")
            self.add("submission", *lines)
            self.add_version(self._versions.resolve(tags["vad.version"]))

    def add_version(self, version: Version) -> None:
        aliases = ", ".join(self._versions.aliases().get(version.number, []))
        lines, sound = [f"{version.uri} ({aliases})" if aliases else version.uri], True
        try:
            with tempfile.TemporaryDirectory() as work:
                self._versions.fetch(version, Path(work))
            lines.append("its files are those that were registered (SHA-256)")
        except InputError as error:
            lines, sound = [*lines, str(error)], False
        if decision := version.tags.get("vad.decision"):
            lines.append(decision)
        self.add("version", *lines, sound=sound)
        try:
            run = self._tracking.get(version.run_id)
        except InputError as error:
            self.add("run", str(error), sound=False)
            return
        self._add_run(run, version.tags.get("vad.variant", ""))

    def _add_run(self, run: Found, variant: str) -> None:
        """Add the run and all that it was made of."""
        tags, identity, faults = defaultdict(lambda: "?", run.tags), self._read(run, "identity.json"), self._faults(run)
        checked = faults or ["its files are those that it logged (SHA-256)"]
        about = f"{run.run_id}, {run.status}, {run.when}", f"on {tags['vad.machine']}"
        self.add("run", *about, *checked, sound=not faults)

        metric = run.tags.get("vad.figure", "ap")
        value = run.metrics.get(f"{metric}.{variant}")
        definition = identity.get("plan", {}).get("variants", {}).get(variant)
        as_yaml = yaml.safe_dump(definition, default_flow_style=True, width=1000, sort_keys=False).strip()
        measured = "" if value is None else f": {metric} {value:.4f}"
        self.add("variant", f"{variant}{measured}", *([as_yaml] if definition else []))

        members = self._read(run, "results.json").get("members", {})
        self.members = [self._member(name, run_id) for name, run_id in members.items()]
        self.add("members", f"{len(members)} of this run" if members else "none: it reads predictions files")

        changed = f", with {tags['vad.set']}" if run.tags.get("vad.set") else ""
        entry = f"{tags['mlflow.source.name']}, profile {tags['vad.profile']}{changed}"
        self.add("entry", entry, "as written and as resolved: entry.yaml and resolved.yaml of the run")

        data = f"{tags['vad.data_name']} ({tags['vad.data']}), labels {tags['vad.labels']}"
        digests = (f"{split} frames {run.tags.get(f'vad.{split}_digest') or '-'}" for split in ("train", "test"))
        self.add("data", data, *digests)

        commit, code = run.tags.get("mlflow.source.git.commit"), identity.get("code")
        state = " with files that were not committed" if tags["vad.dirty"] == "yes" else ""
        lines = [f"commit {commit}{state}" if commit else "no commit: not run from a checkout"]
        lines += [f"training code {code['training']}, scoring code {code['scoring']}"] if code else []
        self.add("code", *lines, f"Python {tags['vad.python']}, PyTorch {tags['vad.torch']}")

    def _member(self, name: str, run_id: str) -> dict[str, Any]:
        """Return name, run, epoch, loss and weights of a member that the run used."""
        try:
            found = self._tracking.get(run_id)
        except InputError:
            self.sound = False
            return {"name": name, "run": run_id, "epoch": "", "loss": "", "entry": "that run is gone", "weights": ""}
        tags, epoch, loss = found.tags, found.metrics.get("best_epoch"), found.metrics.get("best_loss")
        how = {"epoch": "" if epoch is None else f"{epoch:.0f}", "loss": "" if loss is None else f"{loss:.5f}"}
        of = {"entry": tags.get("vad.entry", ""), "weights": tags.get("vad.weights_sha256", "")[:16]}
        return {"name": name, "run": run_id, **how, **of}

    def _read(self, run: Found, name: str) -> dict[str, Any]:
        with suppress(Altered):
            return self._tracking.read_json(run.run_id, name, self._home) or {}
        return {}

    def _faults(self, run: Found) -> list[str]:
        """Return what of the files that a run logged is gone or was altered."""
        known = recorded(run.tags)
        faults = [] if known else [f"run {run.run_id} has lost the record of its files (its tag {stored(TAG)})"]
        for path in known:
            try:
                faults += [] if self._tracking.fetch(run.run_id, path, self._home) else [f"{path} is gone"]
            except Altered as error:
                faults.append(str(error))
        return faults


def board_scores(metrics: dict[str, float]) -> dict[str, float]:
    """Return the scores that boards gave, by board."""
    return {key.removeprefix("board_"): value for key, value in metrics.items() if key.startswith("board_")}


def find_origin(file: Path, tracking: Tracking) -> Origin:
    """Look a file up by its contents. Raises UnknownFile where no run wrote it, InputError where it cannot be read."""
    with reading(file):
        digest = sha256(file)
    for submission in tracking.find("submission", tags={"vad.sha256": digest}, most=1):
        return Origin(digest, tracking.get(submission.tags["mlflow.parentRunId"]), submission)
    for run in tracking.find("experiment", tags={"vad.predictions_sha256": digest}, most=1):
        return Origin(digest, run, None)
    for original in tracking.find("submission", tags={"vad.file": str(file.resolve())}, most=1):
        before = f"its SHA-256 is {digest}, that of submission {original.run_id} was {original.tags['vad.sha256']}"
        way = "the recorded file is among that run's artifacts, and `vad submit` writes it again"
        raise UnknownFile(f"the file was altered since it was written: {before}; {way}")
    other = "it was made elsewhere, or altered, or MLFLOW_TRACKING_URI names another store"
    raise UnknownFile(f"no run of this store wrote a file with its SHA-256 {digest}: {other}")


def record(file: Path, score: float, board: str) -> tuple[Found, Version | None]:
    """Write a board's score to submission, run and version. Raises InputError for a file that no run wrote."""
    tracking = Tracking()
    try:
        origin = find_origin(file, tracking)
    except UnknownFile as error:
        raise InputError(f"{file}: {error}") from None
    name = f"board_{board}"
    for run in filter(None, (origin.submission, origin.run)):
        tags = {f"vad.{name}": f"{score:g}", f"vad.{name}_file": origin.digest}
        tracking.reopen(run.run_id).log({name: score}, tags=tags)
    if origin.submission is None:
        return origin.run, None
    versions = Versions(tracking)
    version = versions.resolve(origin.submission.tags["vad.version"])
    versions.tag(version.number, name, f"{score:.4f}")
    return origin.run, version
