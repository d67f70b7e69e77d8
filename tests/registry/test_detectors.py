"""Networks and banks, behind a repair, with calibrated maps: what is promised of a detector holds for every kind."""

import csv
import re
from pathlib import Path

import cv2
import mlflow
import numpy as np
import pandas as pd
import pytest

from registry.analysis import reproduce
from registry.models.versions import Versions
from registry.runs import executor
from registry.store.address import sqlite_uri
from tests.conftest import made_once, needs_features
from tests.registry.conftest import Workspace, _open, copy_workspace, paint_dataset
from vad.data.tables import read_scores
from vad.system.threads import using

HEAD = """\
name: kind
hypothesis: What is true of one detector is true of another.
repair: flips
"""
TAIL = """\
    steps: [{fill: nearest}, {train_zscore: true}]
variants:
  raw: {stream: only}
  smooth: {stream: only, steps: [{gaussian: 1}, {train_quantile: 0.9}]}
"""
KINDS = {
    "network": f"""{HEAD}
members: {{one: {{model: fully_conv_ae, size: 32, output: tanh, batch_size: 4, seeds: [1]}}}}
train: {{epochs: 2, lr: 1.0e-3, precision: fp32}}
streams:
  only:
    members: one
    map: squared
    calibrate: true
    reduce: {{top: 20}}
{TAIL}"""
}
# Banks by what they compare, with the size of frames.
BANKS = {
    "bank": ("{flow_cells: 16}", 64),
    "features": ("frozen_features", 128),
    "crops": ("{crop_features: {cell: 16}}", 128),
}
KINDS |= {
    kind: f"""{HEAD}
members: {{one: {{model: nearest_cells, input: {cells}, size: {size}, aspect: keep, stride: 1}}}}
streams:
  only:
    members: one
    calibrate: true
    reduce: {{top: 3}}
{TAIL}"""
    for kind, (cells, size) in BANKS.items()
}
FLIPPED = ("1_4", "2_7", "3_2")


def _path(frame: str) -> Path:
    video, number = map(int, frame.split("_"))
    return Path(f"data/Dataset/testing_videos/{video:02d}/frame_{number:05d}.jpg")


@pytest.fixture(scope="session")
def flipped_data(tmp_path_factory):
    def make(root: Path) -> None:
        paint_dataset(root / "data")
        for frame in FLIPPED:
            path = root / _path(frame)
            cv2.imwrite(str(path), cv2.flip(cv2.imread(str(path)), 0))

    return made_once(tmp_path_factory, "flipped-data", make) / "data"


@pytest.fixture(
    scope="session",
    params=["network", "bank", *(pytest.param(kind, marks=needs_features) for kind in ("features", "crops"))],
)
def ran_kind(request, tmp_path_factory, empty_store, flipped_data):
    """A workspace in which an entry with one detector of a kind ran once; only to be copied."""

    def run(folder: Path) -> None:
        opened = _open(folder, empty_store, flipped_data)
        (folder / "experiments" / "kind.yaml").write_text(KINDS[request.param])
        with pytest.MonkeyPatch.context() as patch, using(1):
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            patch.delenv("VAD_HOME", raising=False)
            patch.chdir(folder)
            (folder / "first.txt").write_text(opened.vad("run", "kind", "--data", "data").output)

    return made_once(tmp_path_factory, f"ran-{request.param}", run)


@pytest.fixture
def done(ran_kind, tmp_path, monkeypatch):
    """A workspace of one's own in which the entry ran once."""
    folder = copy_workspace(ran_kind, tmp_path / "work")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("VAD_HOME", raising=False)
    return Workspace(folder)


def _run_scores(workspace: Workspace) -> np.ndarray:
    run = workspace.tracking().find("experiment")[0]
    path = workspace.tracking().fetch(run.run_id, f"predictions-{run.params['best_variant']}.csv", Path(".vad"))
    return read_scores(path)[1]


def test_the_run_says_and_logs_what_was_repaired(done):
    assert "repair flips: 3 of 30 test frames" in Path("first.txt").read_text()
    run = done.tracking().find("experiment")[0]
    with done.tracking().fetch(run.run_id, "repairs.csv", Path(".vad")).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    assert [row["Id"] for row in rows if row["flips"] == "1"] == list(FLIPPED)
    assert all((float(row["flips_evidence"]) > 0) == (row["flips"] == "1") for row in rows)
    assert run.tags["vad.transductive"] == "no"


def test_it_is_fitted_once_and_found_again(done):
    assert "is done already" in done.vad("run", "kind", "--data", "data").output
    entry = Path("experiments/kind.yaml").read_text().replace("name: kind", "name: again")
    Path("experiments/again.yaml").write_text(entry + "  other: {stream: only, steps: [{gaussian: 2}]}\n")
    why = done.done("why", "again", "--data", "data")
    assert "reused" in why and "scores of these test frames are new" not in why
    result = done.vad("run", "again", "--data", "data")
    assert result.exit_code == 0, result.output
    assert "from run" in result.output and "to train" not in result.output
    assert "score one" not in result.output, "its scores were stored"
    assert len(done.tracking().find("member")) == 1


def test_the_registered_model_scores_as_the_run_bit_for_bit(done):
    done.done("submit", "--data", "data", "--out", "p.csv")
    index, submitted = read_scores(Path("p.csv"))
    assert np.array_equal(submitted, _run_scores(done))
    # As it is served: images in, the repair inside; a video alone, with either normalisation, scores as among the others.
    model = mlflow.pyfunc.load_model(Versions(done.tracking()).resolve("production").uri)
    for video in (1, 3):
        mine = index.video == video
        images = [_path(f"{video}_{number}").read_bytes() for number in index.frame[mine]]
        table = pd.DataFrame({"video": video, "frame": index.frame[mine], "image": images})
        for normalization in ("stored", "own"):
            found = model.predict(table, params={"normalization": normalization})
            assert np.array_equal(found["score"], submitted[mine])


@pytest.fixture
def reproduces_here(monkeypatch):
    """`vad reproduce` repeats a run in this process: `test_reproduce` and `test_own_blocks` start another, as a user does."""

    def run_here(command, folder, *_):
        with monkeypatch.context() as patch, using(1):
            patch.chdir(folder)
            patch.setenv("MLFLOW_TRACKING_URI", sqlite_uri(folder / "mlflow.db"))
            Workspace(folder).done(*command[3:])

    monkeypatch.setattr(reproduce, "_run", run_here)


def test_it_is_reproduced(done, reproduces_here):
    assert "bit for bit the same" in done.done("reproduce", "production", "--data", "data")


def test_it_is_taken_to_another_store(done, tmp_path, empty_store, monkeypatch):
    done.done("submit", "--data", "data", "--out", "p.csv")
    expected = Path("p.csv").read_bytes()
    done.done("export", str(tmp_path / "parcel"), "--model", "production")
    other = _open(tmp_path / "other", empty_store, Path("data"))
    monkeypatch.chdir(other.folder)
    other.done("import", str(tmp_path / "parcel"))
    other.done("submit", "--model", "v1", "--data", "data", "--out", "p.csv")
    assert Path("p.csv").read_bytes() == expected
    assert "sound" in other.done("doctor")


def test_altered_states_are_noticed(done):
    member = done.tracking().find("member")[0].run_id
    (kept,) = Path("mlartifacts").glob(f"**/{member}/artifacts/checkpoints/**/weights.safetensors")
    (copied,) = Path("mlartifacts").rglob("m-*/artifacts/artifacts/ensemble/weights/*.safetensors")
    repairs = next(Path("mlartifacts").rglob("m-*/artifacts/artifacts/ensemble/repairs.safetensors"))
    for path in (copied, repairs):
        whole = path.read_bytes()
        path.unlink()  # the weights of member and model are one file
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert "is missing or was altered" in done.refused("submit", "--data", "data", "--out", "x.csv")
        path.write_bytes(whole)
    whole = kept.read_bytes()
    kept.unlink()
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    said = done.vad("run", "kind", "--data", "data", "--force").output
    task = "to train" if "batch_size" in Path("experiments/kind.yaml").read_text() else "to fit"
    assert f"{task}: FORCE=1" in said
    assert "passed over" in done.vad("why", "kind", "--data", "data").output or "altered" in done.vad("doctor").output


def test_a_network_is_trained_and_a_bank_is_fitted(workspace):
    both = KINDS["bank"].replace("one: {", "net: {model: fully_conv_ae, size: 32, batch_size: 4, seeds: [1]}, one: {")
    both = both.replace("variants:", "  net: {members: net, error: max}\nvariants:").replace("kind", "both")
    Path("experiments/both.yaml").write_text(f"{both}  net: {{stream: net}}\ntrain: {{epochs: 1}}\n")
    why = workspace.done("why", "both", "--data", "data")
    assert "2 of 2 members would be trained or fitted" in why
    assert re.search(r"^net-1 +to train  never trained on", why, re.MULTILINE)
    assert re.search(r"^one +to fit +never fitted on", why, re.MULTILINE)
    said = workspace.vad("run", "both", "tiny", "--data", "data", "--set", "train.epochs=1").stderr
    assert re.search(r"^both +1 to train, 1 to fit +\d", said, re.MULTILINE)
    assert re.search(r"^members: 4 to train, 1 to fit, 0 reused; about \d+ s in all", said, re.MULTILINE)
    assert "  one            to fit: no finished" in said and "  net-1          to train: no finished" in said


def test_what_was_finished_before_a_crash_is_kept(workspace, ran_kind, monkeypatch):
    Path("experiments/kind.yaml").write_text((ran_kind / "experiments" / "kind.yaml").read_text())

    def fail(*given: object) -> None:
        raise MemoryError

    for number, where in enumerate(("calibrated", "score_targets", "evaluate")):
        with monkeypatch.context() as patch:
            patch.setattr(executor, where, fail)
            crashed = workspace.vad("run", "kind", "--data", "data")
        assert crashed.exit_code != 0
        made = any(task in crashed.output for task in ("to train", "to fit"))
        assert made == (number == 0), "the member is made in the first"
        assert list(workspace.states().values()) == ["FINISHED"]
    result = workspace.vad("run", "kind", "--data", "data")
    assert result.exit_code == 0, result.output
    assert "from run" in result.output and not any(task in result.output for task in ("to train", "to fit"))


def test_heat_maps_are_of_the_map_behind_the_score(done):
    said = done.vad("render", "02", "--data", "data", "--out", "seen.mp4")
    assert said.exit_code == 0, said.output
    capture, frames = cv2.VideoCapture("seen.mp4"), []
    while (found := capture.read())[0]:
        frames.append(found[1].astype(int))
    assert len(frames) == 10
    # Warm colours: where the red box appeared (frame 3) more than in the quiet frame before it.
    warm = [float((frame[:480, :, 2] - frame[:480, :, 0]).clip(min=60).mean()) for frame in frames]
    assert warm[3] > warm[1]
    # The flipped frame is shown as it was taken.
    assert frames[7][:240].mean() > frames[7][240:480].mean()
