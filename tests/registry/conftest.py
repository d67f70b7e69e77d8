"""A workspace for the command line: a tiny data set with anomalies, a tiny entry, a store of its own."""

import functools
import importlib.metadata
import logging
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from matplotlib.figure import Figure
from mlflow.tracking._tracking_service import utils
from sqlalchemy import Engine, event

from benchmarks.at_once import LOADED
from registry.cli import main
from registry.pictures import style
from registry.runs import records
from registry.store.tracking import Found, Tracking
from tests.conftest import made_once
from vad.measures import metrics
from vad.system.threads import using

importlib.metadata.version = functools.cache(importlib.metadata.version)  # MLflow asks for ten packages' at each load
LOADED.append("tests.registry.coarse")
logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)  # as in `registry.cli`

TINY = """\
# make run EXP=tiny
name: tiny
hypothesis: A red box does not belong here.
reference: {ap: 0.5, variants: {max: 0.5}, source: the tests}
members:
  small: {model: fully_conv_ae, size: 32, output: tanh, batch_size: 4, seeds: [1, 2]}
  large: {model: fully_conv_ae, size: 64, output: tanh, batch_size: 4, seeds: [1]}
train: {loss: mse, optimizer: adam, lr: 1.0e-3, epochs: 2, patience: 5, min_delta: 1.0e-5, precision: fp32}
streams:
  small: {members: small, error: max, steps: [{normalize: 99}, mean, {normalize: 100}]}
  large: {members: large, error: mean, steps: [{normalize: 99}]}
variants:
  max: {fuse: {max: [small, large]}, steps: [{normalize: 100}, {gaussian: 1}, {normalize: 100}]}
  small_only: {stream: small, steps: [{gaussian: 1}, {normalize: 100}]}
"""

BLEND = """\
name: {name}
hypothesis: These scores know something.
reference: {{ap: 0.7, variants: {{smooth: 0.7}}, source: the tests}}
streams: {{made: {{scores: ../{name}.csv}}}}
variants: {{plain: {{stream: made}}, smooth: {{stream: made, steps: [{{gaussian: 1}}]}}}}
"""


def _without_waiting(connection: object, _: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.DatabaseError):  # one that is damaged fails where it would without this
            connection.execute("PRAGMA synchronous = OFF")


# The databases of tests need not outlive a power failure, and each of a run's 200 commits would wait for the disk.
event.listen(Engine, "connect", _without_waiting)


@pytest.fixture
def connected_as_users_are() -> Iterator[None]:
    event.remove(Engine, "connect", _without_waiting)
    yield
    event.listen(Engine, "connect", _without_waiting)


def paint_dataset(root: Path, seed: int = 0) -> Path:
    """Two train videos and three test videos of 10 frames; a red box stands in some of the test frames."""
    generator = np.random.default_rng(seed)
    rows = ["Id,Label"]
    for half, count in (("training_videos", 2), ("testing_videos", 3)):
        for video in range(1, count + 1):
            folder = root / "Dataset" / half / f"{video:02d}"
            folder.mkdir(parents=True)
            for frame in range(10):
                image = np.tile(np.linspace(60, 200, 48)[:, None, None], (1, 64, 3)) + generator.normal(
                    0, 3, (48, 64, 3)
                )
                anomalous = half == "testing_videos" and video < 3 and 3 <= frame < 6 + video
                if anomalous:
                    image[10:34, 5 * video : 5 * video + 20] = (20, 20, 230)
                cv2.imwrite(str(folder / f"frame_{frame:05d}.jpg"), np.clip(image, 0, 255).astype(np.uint8))
                if half == "testing_videos":
                    rows.append(f"{video}_{frame},{int(anomalous)}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


@contextmanager
def mounted(place, *options):
    """A mount, where that may be made."""
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def listening(port: int) -> set[str]:
    """The addresses on which this machine listens at a port, as the kernel writes them."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, number = local.split(":")
            if state == "0A" and int(number, 16) == port:
                found.add(address)
    return found


LOOPBACK = "0100007F"


@dataclass
class Workspace:
    """A working folder with `experiments/tiny.yaml` and `data/`; `vad` runs a command in it."""

    folder: Path

    def vad(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments), catch_exceptions=False)

    def done(self, *arguments: str) -> str:
        """The output of a command that must succeed."""
        result = self.vad(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, *arguments: str) -> str:
        """The message of a command that must be refused as the user's mistake, with no traceback."""
        result = self.vad(*arguments)
        assert result.exit_code == 2, result.output
        assert "Traceback" not in result.output
        return result.stderr

    def tracking(self) -> Tracking:
        return Tracking()

    def runs(self, kind: str) -> list[Found]:
        """All runs of a kind, the newest first."""
        return self.tracking().find(kind, statuses=("FINISHED", "FAILED", "KILLED", "RUNNING"))

    def states(self, kind: str = "member") -> dict[str, str]:
        """The status of each run of a kind, by its name."""
        return {run.name: run.status for run in self.runs(kind)}

    def files(self) -> set[str]:
        """Every file below the folder but those of the store's own."""
        return {str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables take seconds to make; they are made once and copied."""
    return made_once(tmp_path_factory, "mlflow.db", lambda path: Tracking(f"sqlite:///{path}", new=True))


def draw_coarsely(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(style, "Figure", lambda figsize, **_: Figure(figsize=figsize, dpi=20))


@pytest.fixture
def pictures() -> None:
    """Ask for the pictures of a run."""


@pytest.fixture(autouse=True)
def little(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures and a thousand bootstrap draws are half of a tiny run's time.

    `test_pictures` and `test_evaluate` see all as it is; tests that ask for `pictures` get coarse ones, others none.
    """
    module = request.path.stem
    if module not in ("test_pictures", "test_compare", "test_run"):
        monkeypatch.setattr(metrics, "RESAMPLES", 100)
    if module not in ("test_pictures", "test_evaluate"):
        draw_coarsely(monkeypatch)
        if "pictures" not in request.fixturenames:
            monkeypatch.setattr(records, "write_pictures", lambda *given: given[-1].mkdir())


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "tiny-data", paint_dataset)


def _open(folder: Path, empty_store: Path, tiny_data: Path) -> Workspace:
    (folder / "experiments").mkdir(parents=True)
    (folder / "experiments" / "tiny.yaml").write_text(TINY)
    shutil.copy(empty_store, folder / "mlflow.db")
    shutil.copytree(tiny_data, folder / "data")
    return Workspace(folder)


@pytest.fixture
def workspace(tmp_path: Path, empty_store: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A fresh workspace; the working folder is inside it."""
    opened = _open(tmp_path / "work", empty_store, tiny_data)
    monkeypatch.chdir(opened.folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("VAD_HOME", raising=False)
    return opened


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory, empty_store: Path, tiny_data: Path) -> Path:
    """A workspace in which `tiny` ran once, on the data in it, on one thread; only to be copied."""

    def run(folder: Path) -> None:
        opened = _open(folder, empty_store, tiny_data)
        with pytest.MonkeyPatch.context() as patch, using(1):
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            patch.delenv("VAD_HOME", raising=False)
            patch.chdir(folder)
            (folder / "first.txt").write_text(opened.done("run", "tiny", "--data", "data"))

    return made_once(tmp_path_factory, "ran", run)


def copy_workspace(folder: Path, to: Path) -> Path:
    """A copy of a workspace that is on its own: its store names its own folder, and nothing of the one it was copied from."""
    shutil.copytree(folder, to)
    columns = ["experiments.artifact_location", "runs.artifact_uri", "logged_models.artifact_location"]
    columns += [f"model_versions.{name}" for name in ("source", "storage_location")]
    columns += [f"{name}.value" for name in ("tags", "experiment_tags", "model_version_tags")]
    with closing(sqlite3.connect(to / "mlflow.db")) as database, database:
        for table, column in (name.split(".") for name in columns):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(folder), str(to)))
    shutil.rmtree(to / ".vad" / "index", ignore_errors=True)  # it goes by path
    utils._artifact_repos_cache.clear()  # by run; MLflow would write into the folder that was copied from
    return to


@pytest.fixture(scope="module")
def finished_folder(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which `tiny` ran once, on the data in it."""
    return copy_workspace(ran, tmp_path_factory.mktemp("finished") / "work")


@pytest.fixture
def trained(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace of one's own in which `tiny` ran once, to do with as one likes."""
    folder = copy_workspace(ran, tmp_path / "work")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("VAD_HOME", raising=False)
    return Workspace(folder)


@pytest.fixture
def finished(finished_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The finished workspace, shared by the tests of a module: a test may add to it, not take away."""
    monkeypatch.chdir(finished_folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("VAD_HOME", raising=False)
    return Workspace(finished_folder)


@pytest.fixture
def edit_entry() -> Callable[..., None]:
    """Replace text in the entry of the workspace in which the test stands."""
    return _edit


def _edit(old: str, new: str) -> None:
    path = Path("experiments/tiny.yaml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def edit(workspace: Workspace) -> Callable[..., None]:
    """Replace text in the workspace's entry."""
    return _edit


@pytest.fixture(scope="session")
def blended(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A workspace with three finished runs that train nothing: each blends a file of made-up scores. Only to be copied.

    Four videos of 30 frames, the last without an anomaly. `good` knows the labels best, `close` is `good` with a little
    noise, `bad` is worse; `good` has a second variant, smoothed.
    """
    return made_once(tmp_path_factory, "blended", lambda folder: _blend(folder / "work", empty_store)) / "work"


def _blend(folder: Path, empty_store: Path) -> None:
    (folder / "experiments").mkdir(parents=True)
    shutil.copy(empty_store, folder / "mlflow.db")
    generator = np.random.default_rng(7)
    frames = [(video, frame) for video in (1, 2, 3, 4) for frame in range(30)]
    labels = np.array([video < 4 and 8 <= frame < 14 + video for video, frame in frames])
    good = labels + generator.normal(0, 0.5, len(frames))
    scores = {"good": good, "close": good + generator.normal(0, 0.05, len(frames))}
    scores["bad"] = labels + generator.normal(0, 2.0, len(frames))
    rows = [f"{video}_{frame},{int(label)}" for (video, frame), label in zip(frames, labels, strict=True)]
    (folder / "labels.csv").write_text("\n".join(["Id,Label", *rows]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("VAD_HOME", raising=False)
        patch.chdir(folder)
        for name, values in scores.items():
            rows = [f"{video}_{frame},{value!r}" for (video, frame), value in zip(frames, values.tolist(), strict=True)]
            Path(f"{name}.csv").write_text("\n".join(["Id,Predicted", *rows]) + "\n")
            Path(f"experiments/{name}.yaml").write_text(BLEND.format(name=name))
            Workspace(folder).done("run", name, "--labels", "labels.csv")


@pytest.fixture(scope="module")
def blends_folder(blended: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `blended` for the tests of a module."""
    return copy_workspace(blended, tmp_path_factory.mktemp("blends") / "work")


@pytest.fixture
def blends(blends_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace of `blends_folder`, shared by the tests of a module: a test may add to it, not take away."""
    monkeypatch.chdir(blends_folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("VAD_HOME", raising=False)
    return Workspace(blends_folder)
