"""Kill `vad run` and `vad submit` at random moments of each of their parts, start them again, and look at what came of it.

python -m benchmarks.kills [--kills 40] [--seed 1] [--signal KILL|TERM|INT] [--json]

In each folder the command is killed again and again until it has been through; then all must be as if it had never been
killed: scores to the last bit, runs, models, files. With TERM and INT it must end soon, without SIGKILL, and say so.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from benchmarks import phases
from benchmarks.phases import RUN, Mark
from registry.console import table
from registry.signals import STATUS, STOPPED
from vad.synthetic.street import make_street

ENTRY = """\
name: kills
hypothesis: A run that is killed ends as one that is not.
members:
  small: {model: fully_conv_ae, size: 16, batch_size: 32, seeds: [1, 2]}
  large: {model: fully_conv_ae, size: 32, batch_size: 32, seeds: [1, 2]}
train: {loss: mse, optimizer: adam, lr: 1.0e-3, epochs: 3, precision: fp32}
streams:
  small: {members: small, error: max, steps: [{normalize: 99}, mean]}
  large: {members: large, error: mean, steps: [{normalize: 99}, mean]}
variants: {max: {fuse: {max: [small, large]}}, small_only: {stream: small}}
"""
TRAININGS = 4 * 3
SUBMIT = "submit"
_ROOT = Path(__file__).resolve().parent.parent
_ID = re.compile(r"(m-)?[0-9a-f]{32}")
_SOON = 5.0


@dataclass
class Place:
    """A working folder, with a temporary folder of the system for itself."""

    folder: Path
    data: Path
    hits: list[tuple[str, float]] = field(default_factory=list)
    """Parts in which the command was interrupted, and the seconds that it then took to end."""
    recoveries: list[float] = field(default_factory=list)
    begun: int = 0
    lost: int = 0
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "experiments").mkdir(parents=True)
        (self.folder / "experiments" / "kills.yaml").write_text(ENTRY)
        self.temporary = self.folder.with_name(f"{self.folder.name}-tmp")
        self.temporary.mkdir()
        self.marks = self.folder.with_name(f"{self.folder.name}-marks")
        self._said = self.folder.with_name(f"{self.folder.name}-said")

    def start(self, command: str) -> "subprocess.Popen[bytes]":
        asked = {"run": ["run", "kills"], SUBMIT: [SUBMIT]}[command]
        environment = {**os.environ, "TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT)}
        environment = {k: v for k, v in environment.items() if k not in ("VAD_HOME", "MLFLOW_TRACKING_URI")}
        self.marks.unlink(missing_ok=True)
        with self._said.open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmarks.phases", str(self.marks), *asked, "--data", str(self.data)],
                cwd=self.folder, env=environment, stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip

    def said(self) -> str:
        return self._said.read_text(errors="replace")

    def finish(self, command: str) -> list[Mark]:
        """Run the command to its end."""
        status = self.start(command).wait()
        if status:
            self.faults.append(f"{command} ended with {status}: {self.said()[-600:]}")
        return self._count()

    def interrupt(self, command: str, part: str, after: float, number: signal.Signals, twice: bool = False) -> bool:
        """Send the signal so many seconds into a part of the command; False where it ended before that."""
        process = self.start(command)
        while not any(mark.name == part for mark in phases.read(self.marks)):
            if process.poll() is not None:
                self._count()
                return False
            time.sleep(0.001)
        time.sleep(after)
        if process.poll() is not None:
            self._count()
            return False
        sent = time.monotonic()
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
            if twice:
                time.sleep(0.05)
                process.send_signal(number)
        status = process.wait()
        marks = self._count()
        where = SUBMIT if command == SUBMIT else _part(marks, sent)
        self.hits.append((where, time.monotonic() - sent))
        if number != signal.SIGKILL:
            self._require_ended(where, status)
        return True

    def _count(self) -> list[Mark]:
        """The marks of the process that ended; epochs that it began, and whether it lost one."""
        marks = phases.read(self.marks)
        names = [mark.name for mark in marks]
        self.begun += names.count("epoch")
        self.lost += names.count("epoch") - names.count("kept")
        return marks

    def _require_ended(self, where: str, status: int) -> None:
        said = self.said()
        if status not in (STATUS, 0) or (status == STATUS and STOPPED not in said):
            self.faults.append(f"in {where}: status {status}: {said[-600:]}")
        if "Traceback" in said or "Exception ignored" in said:
            self.faults.append(f"in {where}: {said[-1500:]}")
        if self.hits[-1][1] > _SOON:
            self.faults.append(f"in {where}: it took {self.hits[-1][1]:.1f} s to end")
        wrong = {status for status in _statuses(self.folder) if status not in ("FINISHED", "KILLED")}
        if wrong:
            self.faults.append(f"in {where}: runs are {wrong}")

    def recovered(self, where: str, marks: list[Mark]) -> None:
        """From the start of a process until it is where the one before was interrupted."""
        for mark in marks:
            if where == SUBMIT or (mark.name in RUN and RUN.index(mark.name) >= RUN.index(where)):
                self.recoveries.append((marks[-1] if where == SUBMIT else mark).when - marks[0].when)
                return


def state(place: Place) -> dict[str, object]:
    """All of a folder that must not depend on what happened on the way: contents of what counts, names of all else."""
    files = [path for path in place.folder.rglob("*") if path.is_file()]
    named = {
        path.name: path.read_bytes()
        for path in files
        if path.name == "scores.csv" or path.name.startswith("predictions-") or path.parent.name == "submissions"
    }
    with closing(sqlite3.connect(place.folder / "mlflow.db")) as database:

        def ask(query: str) -> Counter[tuple[object, ...]]:
            return Counter(database.execute(query).fetchall())

        runs = ask(
            "SELECT t.value, r.name, r.status, r.lifecycle_stage FROM runs r LEFT JOIN tags t "
            "ON t.run_uuid = r.run_uuid AND t.key = 'vad.kind'"
        )
        models = ask("SELECT name, status, lifecycle_stage FROM logged_models")
        versions = ask("SELECT name, version, current_stage, description <> '' FROM model_versions")
        aliases = ask("SELECT alias, version FROM registered_model_aliases")
        tags = ask("SELECT key FROM model_version_tags")
        model_tags = ask("SELECT tag_key FROM logged_model_tags")
        decisions = ask("SELECT value FROM tags WHERE key = 'vad.reason'")
        # How fast it went is said of what was done at last, which may be nothing.
        figures = ask(
            "SELECT DISTINCT m.name, f.metric_name FROM logged_model_metrics f JOIN logged_models m USING (model_id) "
            "WHERE f.metric_name NOT LIKE '%_per_second'"
        )
        epochs = ask("SELECT r.name, m.step, m.value FROM metrics m JOIN runs r USING (run_uuid) WHERE m.key = 'loss'")
    return {
        "scores and predictions": named,
        "runs": runs,
        "logged models": models,
        "versions": versions,
        "aliases": aliases,
        "tags of versions": tags,
        "tags of models": model_tags,
        "decisions": decisions,
        "figures of models": figures,
        "losses": epochs,
        "files": Counter(_ID.sub("ID", str(path.relative_to(place.folder))) for path in files),
        "temporary files": sorted(str(path.relative_to(place.temporary)) for path in place.temporary.rglob("*")),
    }


def differences(found: dict[str, object], wanted: dict[str, object]) -> list[str]:
    """What is not as it should be."""
    faults = []
    for key, value in found.items():
        want = wanted[key]
        if value != want:
            if isinstance(value, Counter) and isinstance(want, Counter):
                faults.append(f"{key}: too much {dict(value - want)}, missing {dict(want - value)}")
            else:
                faults.append(f"{key} differ" if isinstance(value, dict) else f"{key}: {value}")
    return faults


def _statuses(folder: Path) -> set[str]:
    if not (folder / "mlflow.db").exists():
        return set()
    with closing(sqlite3.connect(folder / "mlflow.db", timeout=20)) as database:
        return {status for (status,) in database.execute("SELECT status FROM runs")}


def _part(marks: list[Mark], when: float) -> str:
    """The part in which a command was at a moment."""
    return next((mark.name for mark in reversed(marks) if mark.name in RUN and mark.when <= when), "start")


def lengths(marks: list[Mark]) -> dict[str, float]:
    """Seconds of each part the first time that it comes."""
    found: dict[str, float] = {}
    for mark, following in pairwise(marks):
        if mark.name in RUN:
            found.setdefault(mark.name, following.when - mark.when)
    return found


def measure(kills: int, seed: int, number: signal.Signals, where: Path) -> tuple[list[Place], dict[str, float]]:
    """Interrupt so many times, as many in each part as in any other."""
    generator = random.Random(seed)
    data = make_street(where / "street")
    reference = Place(where / "reference", data)
    spans = lengths(reference.finish("run"))
    _, first, *_, last = reference.finish(SUBMIT)
    spans[SUBMIT] = last.when - first.when
    wanted = state(reference)
    # Before Python has come to the command, a signal ends the process as it ends any other.
    parts = [part for part in (*RUN[:-1], SUBMIT) if part in spans and (number == signal.SIGKILL or part != "start")]
    due = [parts[i % len(parts)] for i in range(kills)]
    places: list[Place] = [reference]
    while due:
        place = Place(where / f"folder-{len(places)}", data)
        places.append(place)
        turn = sorted(set(due), key=parts.index)
        before = ""
        for part in turn:
            command = SUBMIT if part == SUBMIT else "run"
            if command == SUBMIT:
                marks = place.finish("run")
                _recovered(place, before, marks)
                before = ""
            trigger = "import" if part == SUBMIT else part
            after, twice = generator.uniform(0, 0.9 * spans[part]), generator.random() < 0.5
            if place.interrupt(command, trigger, after, number, twice):
                _recovered(place, before, phases.read(place.marks))
                before = place.hits[-1][0]
                due.remove(part)
        marks = place.finish("run" if turn[-1] != SUBMIT else SUBMIT)
        _recovered(place, before, marks)
        if turn[-1] != SUBMIT:
            place.finish(SUBMIT)
        place.faults += differences(state(place), wanted)
        # One that was cut off just after its state was written is not done again.
        if not TRAININGS <= place.begun <= TRAININGS + place.lost:
            place.faults.append(f"{place.begun} epochs were begun for {TRAININGS}, though {place.lost} were cut off")
        if place.faults:
            print(place.folder.name, *place.faults, sep="\n  ", file=sys.stderr, flush=True)
        else:
            shutil.rmtree(place.folder)
    return places[1:], spans


def _recovered(place: Place, before: str, marks: list[Mark]) -> None:
    if before and marks:
        place.recovered(before, marks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--signal", choices=["KILL", "TERM", "INT"], default="KILL")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    number = signal.Signals[f"SIG{asked.signal}"]
    with tempfile.TemporaryDirectory(prefix="vad-kills-") as folder:
        places, spans = measure(asked.kills, asked.seed, number, Path(folder))
    hits = [hit for place in places for hit in place.hits]
    recoveries = [seconds for place in places for seconds in place.recoveries]
    faults = [fault for place in places for fault in place.faults]
    ends = [seconds for _, seconds in hits]
    if asked.json:
        content = {
            "hits": Counter(part for part, _ in hits), "seconds_of_parts": spans, "folders": len(places),
            "seconds_to_recover": recoveries, "seconds_to_end": ends, "faults": faults,
        }  # fmt: skip
        print(json.dumps(content, indent=2))
    else:
        count = Counter(part for part, _ in hits)
        rows = [[part, f"{spans[part]:.2f}", count[part]] for part in (*RUN, SUBMIT) if part in spans]
        print(table(["part", "seconds", asked.signal], rows, right=(1, 2)))
        print(f"\n{len(hits)} times in {len(places)} folders, {len(faults)} faults")
        print(f"seconds to recover: median {statistics.median(recoveries):.1f}, worst {max(recoveries):.1f}")
        if number != signal.SIGKILL:
            print(f"seconds to end: median {statistics.median(ends):.2f}, worst {max(ends):.2f}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
