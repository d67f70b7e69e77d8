"""The registered model: complete, idempotent, and the same in a process that never saw this project."""

import gzip
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from registry.models.versions import NAME, Versions
from vad.data.layouts import read_frameset
from vad.data.tables import read_scores, write_scores
from vad.errors import InputError
from vad.frames.store import SplitSource, open_frames

ELSEWHERE = """
import sys, json
sys.path[:] = [p for p in sys.path if p != {project!r} and 'editable' not in p.lower()]
sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]
for name in ('vad', 'registry'):
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit('the checkout is on the path: ' + name)
import mlflow, pandas as pd
mlflow.set_tracking_uri({uri!r})
model = mlflow.pyfunc.load_model({model!r})
table = pd.read_parquet('frames.parquet')
model.predict(table).to_csv('elsewhere.csv', index=False)
one = table[table.video == 2]
model.predict(one).to_csv('one.csv', index=False)
import vad
print(json.dumps([vad.__file__, 'registry' in sys.modules]))
"""


def _table(folder: Path) -> pd.DataFrame:
    frames = read_frameset(folder / "data", folder / ".vad" / "index").test
    rows = [
        (video.id, number, path.read_bytes())
        for video in frames.videos
        for number, path in zip(video.numbers, video.images or (), strict=True)
    ]
    return pd.DataFrame(rows, columns=["video", "frame", "image"])


def _run_scores(workspace, tmp_path):
    tracking = workspace.tracking()
    parent = tracking.get(Versions(tracking).resolve("production").run_id)
    name = f"predictions-{parent.params['best_variant']}.csv"
    return read_scores(tracking.fetch(parent.run_id, name, tmp_path))


def test_another_process_without_the_checkout_gives_the_scores_of_the_run(finished, tmp_path):
    _table(finished.folder).to_parquet(tmp_path / "frames.parquet")
    project = str(Path(__file__).parents[2])
    script = ELSEWHERE.format(project=project, uri=finished.tracking().uri, model=f"models:/{NAME}@production")
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    origin, knows_registry = json.loads(done.stdout.splitlines()[-1])
    assert not Path(origin).is_relative_to(project)
    assert not knows_registry
    index, expected = _run_scores(finished, tmp_path)
    whole = pd.read_csv(tmp_path / "elsewhere.csv")
    assert whole["video"].tolist() == index.video.tolist()
    np.testing.assert_allclose(whole["score"], expected, rtol=0, atol=1e-6)
    # A video by itself scores as it did among the others: normalisation is the run's.
    np.testing.assert_allclose(
        pd.read_csv(tmp_path / "one.csv")["score"], expected[index.video == 2], rtol=0, atol=1e-6
    )


def test_rows_may_come_in_any_order_and_a_bad_one_is_named(finished, tmp_path):
    model = Versions(finished.tracking()).load(Versions(finished.tracking()).resolve("production"))
    table = _table(finished.folder)
    shuffled = table.sample(frac=1, random_state=0)
    index, expected = _run_scores(finished, tmp_path)
    by_id = dict(zip(index.ids, expected, strict=True))
    answer = model.predict(None, shuffled)
    wanted = [by_id[f"{row.video}_{row.frame}"] for row in answer.itertuples()]
    np.testing.assert_allclose(answer["score"], wanted, rtol=0, atol=1e-6)
    assert answer["frame"].tolist() == shuffled["frame"].tolist()
    for broken, message in (
        (b"", "row 4 (video 1, frame 4) has an empty image"),
        (b"text", "row 4 (video 1, frame 4) is not a JPEG, PNG, BMP, TIFF or WebP"),
        (table["image"][4][:500], "row 4 (video 1, frame 4) is a damaged JPEG"),
    ):
        bad = table.copy()
        bad.at[4, "image"] = broken
        with pytest.raises(InputError, match=message.replace("(", r"\(").replace(")", r"\)")):
            model.predict(None, bad)
    with pytest.raises(InputError, match="row 1: frame 1_0 appears twice"):
        model.predict(None, table.iloc[[0, 0]])
    assert model.predict(None, table.iloc[:0]).empty


def test_frames_can_be_scored_without_a_table_and_by_their_own_percentiles(finished, tmp_path):
    model = Versions(finished.tracking()).load(Versions(finished.tracking()).resolve("production"))
    frames = read_frameset(finished.folder / "data", tmp_path)
    maps = open_frames(SplitSource(frames.test), model.ensemble.views(), tmp_path / "maps")
    stored = model.ensemble.score(maps, frames.test.index, model.device)
    _, expected = _run_scores(finished, tmp_path)
    np.testing.assert_allclose(stored, expected, rtol=0, atol=1e-6)
    own = model.ensemble.score(maps, frames.test.index, model.device, "own")
    np.testing.assert_allclose(own, expected, rtol=0, atol=1e-6)


def test_the_run_is_registered_once_and_is_candidate_and_production(trained):
    versions = Versions(trained.tracking())
    (only,) = versions.all()
    assert versions.aliases() == {"1": ["production", "candidate"]}
    assert only.tags["vad.decision"] == "promoted: there was no production model"
    trained.done("run", "tiny", "--data", "data", "--force")
    assert [v.number for v in Versions(trained.tracking()).all()] == ["1"], "the same ensemble is the same version"


def test_a_worse_candidate_is_refused_and_that_is_recorded(trained):
    text = trained.done("run", "tiny", "--data", "data", "--set", "train.epochs=1")
    versions = Versions(trained.tracking())
    second, first = versions.all()
    better = float(second.tags["vad.value"]) > float(first.tags["vad.value"])
    assert ("now production" in text) == better
    assert second.tags["vad.decision"].startswith("promoted: better" if better else "refused: not better")
    assert versions.alias("candidate").number == ("2" if better else "1")
    loser, winner = ("1", "2") if better else ("2", "1")
    assert f"version {loser} is production" in trained.done("promote", loser)
    assert versions.aliases()[loser][0] == "production"
    assert versions.alias("previous").number != loser
    assert "is production again" in trained.done("rollback")
    assert versions.alias("production").number != loser
    told = json.loads(trained.done("history", "--json"))
    first, refused_or_not, by_hand, back = reversed(told)
    assert (first["action"], first["version"], first["production_before"]) == ("promoted", "1", "-")
    assert (refused_or_not["action"], refused_or_not["version"]) == ("promoted" if better else "refused", "2")
    assert (by_hand["action"], by_hand["version"], by_hand["reason"]) == ("promoted", loser, "by hand")
    assert (back["action"], back["version"], back["production_before"]) == ("rolled back", winner, loser)
    text = trained.done("history")
    assert f"production is version {winner}" in text
    assert re.search(rf"v{winner} +rolled back +v{loser} ", text) and re.search(r"v1 +promoted +- ", text)
    assert f"version {versions.alias('production').number} is production already" in trained.refused(
        "promote", versions.alias("production").number
    )


def test_submit_writes_every_test_frame_and_records_the_file(finished, tmp_path):
    out = tmp_path / "new folder" / "predictions.csv"
    text = finished.done("submit", "--model", "production", "--out", str(out))
    index, expected = _run_scores(finished, tmp_path)
    written, values = read_scores(out)
    assert written == index
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6)
    assert out.read_text().splitlines()[1].startswith("1_0,")
    tracking = finished.tracking()
    submission = tracking.find("submission")[0]
    assert f"SHA-256 {submission.tags['vad.sha256']}" in text
    assert submission.tags["vad.version"] == "1"
    assert tracking.fetch(submission.run_id, "predictions.csv", tmp_path).read_bytes() == out.read_bytes()
    evaluated = finished.done("evaluate", str(out), "--labels", "data/labels.csv")
    assert f"AP          {tracking.find('experiment')[-1].metrics['ap']:.4f}" in evaluated
    for name in ("1", "v1", f"models:/{NAME}/1", f"models:/{NAME}@candidate"):
        finished.done("submit", "--model", name, "--out", str(tmp_path / "again.csv"))
        assert (tmp_path / "again.csv").read_bytes() == out.read_bytes()


def test_submit_is_checked_against_the_sample(trained):
    index, _ = read_scores_index(trained)
    write_scores(Path("data/sample_submission.csv"), index, np.zeros(len(index)))
    trained.done("submit", "--out", "good.csv")
    sample = Path("data/sample_submission.csv")
    sample.write_text(sample.read_text() + "9_1,0\n")
    message = trained.refused("submit", "--out", "bad.csv")
    assert "the set of test frames on disk does not fit " in message
    assert "data/sample_submission.csv: 1 missing (9_1) of 31 frames" in message
    assert not Path("bad.csv").exists()


def test_a_submission_has_the_form_of_the_sample(trained):
    index, _ = read_scores_index(trained)
    ids = [f"{video:02d}_{frame:05d}" for video, frame in zip(index.video, index.frame, strict=True)]
    Path("data/sample_submission.csv").write_text("ID,Label\n" + "".join(f"{name},0\n" for name in reversed(ids)))
    trained.done("submit", "--out", "sub.csv")
    lines = Path("sub.csv").read_text().splitlines()
    assert lines[0] == "ID,Label"
    assert [line.partition(",")[0] for line in lines[1:]] == ids[::-1]
    Path("data/sample_submission.csv").unlink()
    trained.done("submit", "--out", "plain.csv")
    assert read_scores(Path("sub.csv"))[1].tolist() == read_scores(Path("plain.csv"))[1].tolist()
    assert "AP" in trained.done("evaluate", "sub.csv", "--labels", "data/labels.csv")
    assert "not altered" in trained.done("explain", "sub.csv")


def test_a_sample_of_any_numbers_and_name_is_taken_and_two_that_differ_stop(trained):
    index, _ = read_scores_index(trained)
    first, second = Path("data/SampleSubmission.CSV.gz"), Path("data/Dataset/sample_submission.csv")
    text = '"Id","Score, 0 to 1"\n' + "".join(f"{name},\n" for name in index.ids)
    first.write_bytes(gzip.compress(text.encode()))
    trained.done("submit", "--out", "sub.csv")
    assert Path("sub.csv").read_text().startswith('Id,"Score, 0 to 1"\n1_0,')
    assert read_scores(Path("sub.csv"), index)[0] == index
    second.write_text(text)
    trained.done("submit", "--out", "sub.csv")  # two that say the same
    second.write_text(text.replace("Id", "ID"))
    message = trained.refused("submit", "--out", "other.csv")
    assert str(first) in message and str(second) in message
    assert not Path("other.csv").exists()
    first.unlink()
    second.write_text("video,frame,Predicted\n1,0,0\n")
    message = trained.refused("submit", "--out", "other.csv")
    assert message.endswith("must be 'Id,Predicted', with rows such as 3_12,0.5\n")


def test_labels_in_the_place_of_predictions_are_refused(trained):
    message = trained.refused("evaluate", "data/labels.csv", "--labels", "data/labels.csv")
    assert "data/labels.csv holds labels (column Label, 0 and 1 alone), not scores" in message


def read_scores_index(workspace):
    frames = read_frameset(workspace.folder / "data", workspace.folder / ".vad" / "index")
    return frames.test.index, None


def test_nothing_but_predictions_is_replaced_by_predictions(trained):
    kept = ["data/labels.csv", "mlflow.db", "experiments/tiny.yaml"]
    before = [Path(path).read_bytes() for path in kept]
    for path in kept:
        assert f"OUT={path} is there and holds no predictions" in trained.refused("submit", "--out", path)
    assert [Path(path).read_bytes() for path in kept] == before
    Path("empty.csv").touch()
    for path in ("empty.csv", "empty.csv"):
        trained.done("submit", "--out", path)


def test_a_model_that_has_lost_a_file_is_registered_again_by_the_next_run(trained):
    next(Path("mlartifacts").rglob("fitted.safetensors")).unlink()
    assert "is missing or was altered" in trained.refused("submit", "--out", "x.csv")
    result = trained.vad("run", "tiny", "--data", "data")
    assert result.exit_code == 0 and "to train" not in result.stderr
    assert "now production: version 1 has lost files of its model" in result.stdout
    assert "by model version 2" in trained.done("submit", "--out", "x.csv")
    assert "tiny is done already" in trained.vad("run", "tiny", "--data", "data").stderr


def test_an_altered_model_is_refused(trained):
    weights = next(path for path in Path("mlartifacts").rglob("ensemble/weights/*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    message = trained.refused("submit", "--out", "x.csv")
    assert "is missing or was altered: its SHA-256 is not the one recorded" in message
    assert not Path("x.csv").exists()


def test_a_shorter_training_does_not_become_candidate_over_a_better_one(trained):
    versions = Versions(trained.tracking())
    (first,) = versions.all()
    tags = {**first.tags, "vad.value": str(float(first.tags["vad.value"]) - 0.1)}
    trial = versions.add(first.model_id, first.run_id, tags, "")
    versions.nominate(trial)
    assert versions.alias("candidate").number == "1"


def test_an_ensemble_that_two_machines_register_at_once_is_one_version(trained, monkeypatch):
    same, looked = Versions._same, []

    def not_yet(versions, *given):
        looked.append(True)
        return same(versions, *given) if len(looked) > 1 else []

    monkeypatch.setattr(Versions, "_same", not_yet)
    entry = Path("experiments/tiny.yaml").read_text()
    Path("experiments/copy.yaml").write_text(entry.replace("name: tiny", "name: copy"))
    assert "is already models:/vad-ensemble/1" in trained.done("run", "copy", "--data", "data")
    assert [version.number for version in Versions(trained.tracking()).all()] == ["1"] and len(looked) == 2


def test_production_is_of_no_other_data_of_which_best_is_the_best(trained):
    shutil.copytree("data", "yard")
    image, other = sorted(Path("yard").rglob("testing_videos/*/*.jpg"))[:2]
    image.write_bytes(other.read_bytes())
    for command in (["submit", "--out", "x.csv"], ["render", "1", "--out", "x.mp4"]):
        message = trained.refused(*command, "--data", "yard")
        assert "production is version 1, made on data, and yard is other data; `--model v1`" in message
    assert not list(Path().glob("x.*"))
    assert "not promoted" in trained.done("run", "tiny", "--data", "yard", "--labels", "data/labels.csv")
    assert "`--model best` (make: MODEL=best) is version 2" in trained.refused(
        "submit", "--data", "yard", "--out", "x.csv"
    )
    assert "by model version 2" in trained.done("submit", "--model", "best", "--data", "yard", "--out", "x.csv")
    assert "by model version 1" in trained.done("submit", "--model", "best", "--data", "data", "--out", "z.csv")
    # Other labels are another protocol: a figure by those is not compared with one by the data's own.
    labels = Path("data/labels.csv").read_text()
    Path("easy.csv").write_text(labels.replace("1_3,1", "1_3,0").replace("2_3,1", "2_3,0"))
    trained.done("run", "tiny", "--data", "yard", "--labels", "easy.csv", "--set", "train.epochs=1")
    assert "by model version 2" in trained.done("submit", "--model", "best", "--data", "yard", "--out", "x.csv")
    Path("yard/labels.csv").unlink()
    assert "by model version 3" in trained.done("submit", "--model", "best", "--data", "yard", "--out", "x.csv")
    other.write_bytes(image.read_bytes() + bytes(1))
    assert "no registered version was made on" in trained.refused("submit", "--model", "best", "--data", "yard")
    assert "not the data" in trained.vad("submit", "--model", "v1", "--data", "yard", "--out", "y.csv").stderr


def test_labels_that_are_not_clear_do_not_stop_a_submission(trained):
    """Scores need no labels: `labels.csv` and masks beside it leave out AP alone."""
    expected = trained.done("submit", "--model", "best", "--data", "data", "--out", "x.csv")
    assert "AP  " in expected
    masks = Path("data/testing_label_mask")
    masks.mkdir()
    savemat(masks / "1_label.mat", {"volLabel": np.zeros((1, 10), object)})
    said = trained.vad("submit", "--model", "best", "--data", "data", "--out", "y.csv")
    assert (said.exit_code, "AP  " in said.stdout) == (0, False), said.output
    assert (
        "note: scored without labels, so there is no AP: any of data/labels.csv, data/testing_label_mask" in said.stderr
    )
    assert Path("y.csv").read_bytes() == Path("x.csv").read_bytes()


def test_decisions_are_in_order_though_a_clock_was_moved_back(trained, monkeypatch):
    text = trained.done("run", "tiny", "--data", "data", "--set", "train.epochs=1")
    assert "make submit MODEL=v2 " in text
    loser = "2" if Versions(trained.tracking()).alias("production").number == "1" else "1"
    now = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() - 3600)
        trained.done("promote", loser)
    assert Versions(trained.tracking()).resolve("production").number == loser


def test_rollback_to_a_version_without_files_is_refused(trained):
    versions = Versions(trained.tracking())
    trained.tracking().client.set_registered_model_alias(NAME, "previous", "1")
    shutil.rmtree(next(Path("mlartifacts").rglob("m-*/artifacts/artifacts")).parent)
    assert "has lost its files" in trained.refused("rollback")
    assert len(versions.all()) == 1


def test_a_model_whose_code_is_not_this_projects_is_used_by_its_own_in_another_process(finished, monkeypatch):
    from registry.models import loaded

    finished.done("submit", "--out", "here.csv")
    monkeypatch.setattr(loaded, "has_this_code", lambda folder: False)
    finished.done("submit", "--out", "apart.csv")
    assert Path("apart.csv").read_bytes() == Path("here.csv").read_bytes()
