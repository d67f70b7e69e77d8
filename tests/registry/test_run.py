"""A run from its entry to MLflow: what is logged, what is reused, what a cut-off leaves behind."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.metrics import average_precision_score

from benchmarks.at_once import at_once
from registry import console
from vad.data.tables import read_scores, read_table
from vad.system import precision
from vad.system.threads import using


def _runs(tracking, kind):
    return tracking.find(kind, statuses=("FINISHED", "FAILED", "KILLED", "RUNNING"))


def test_a_run_logs_parent_children_figures_and_files(finished, tmp_path):
    tracking = finished.tracking()
    (parent,) = _runs(tracking, "experiment")
    members = _runs(tracking, "member")
    assert parent.status == "FINISHED"
    assert sorted(m.name for m in members) == ["large-1", "small-1", "small-2"]
    assert {m.tags["mlflow.parentRunId"] for m in members} == {parent.run_id}
    assert {m.status for m in members} == {"FINISHED"}

    table = read_table(finished.folder / "data" / "labels.csv", "Label")
    index, labels = table.index, table.values
    _, scores = read_scores(
        tracking.fetch(parent.run_id, "predictions-" + parent.params["best_variant"] + ".csv", tmp_path)
    )
    assert parent.metrics["ap"] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert parent.metrics["ap"] == max(parent.metrics["ap.max"], parent.metrics["ap.small_only"])
    assert parent.metrics["ap_low"] <= parent.metrics["ap"] <= parent.metrics["ap_high"]
    assert parent.metrics["prevalence"] == pytest.approx(labels.mean())
    assert {"auc", "decode_seconds", "train_seconds", "score_seconds", "train_frames_per_second"} <= set(parent.metrics)
    assert "proxy_ap" not in parent.metrics
    assert (
        parent.tags["vad.variant_chosen_by"]
        == "ap on the labelled test frames; its interval chooses again in each draw"
    )
    assert parent.tags["vad.reference_ap"] == "0.5000"
    assert parent.experiment.startswith("data ap ")
    first = parent.tags["mlflow.note.content"].splitlines()[0]
    best, other = sorted(("max", "small_only"), key=lambda name: -parent.metrics[f"ap.{name}"])
    assert re.match(
        rf"\*\*Result\.\*\* `{best}`: AP [01]\.\d+ \[.*\]; then `{other}` {parent.metrics[f'ap.{other}']:.4f}$", first
    )
    assert "A red box does not belong here." in parent.tags["mlflow.note.content"]

    resolved = yaml.safe_load(tracking.fetch(parent.run_id, "resolved.yaml", tmp_path).read_text())
    assert resolved["members"]["small-2"]["seed"] == 2
    table = tracking.fetch(parent.run_id, "scores.csv", tmp_path).read_text().splitlines()
    assert table[0] == "video,frame,label,max,small_only"
    assert len(table) == 1 + len(index)
    for name in ("timelines", "precision_recall", "variants", "losses", "worst_frames"):
        assert tracking.fetch(parent.run_id, f"pictures/{name}.png", tmp_path).read_bytes().startswith(b"\x89PNG")


def test_a_run_and_its_members_say_in_what_they_were_computed(finished, tmp_path):
    (parent,) = _runs(finished.tracking(), "experiment")
    assert (parent.params["precision"], parent.params["threads"]) == ("fp32", "1")
    for member in _runs(finished.tracking(), "member"):
        assert (member.tags["vad.precision"], member.tags["vad.threads"]) == ("fp32", "1")
        assert "threads" not in member.params


def test_another_number_of_threads_trains_nothing_again(trained, edit_entry):
    with using(2):
        assert "tiny is done already" in trained.vad("run", "tiny", "--data", "data").stderr
        edit_entry("error: mean", "error: max")  # an experiment of its own, of the same members
        result = trained.vad("run", "tiny", "--data", "data")
    assert result.exit_code == 0, result.output
    assert "to train" not in result.stderr and result.stderr.count("from run") == 3
    assert len(_runs(trained.tracking(), "member")) == 3


def test_precision_auto_is_one_member_wherever_it_was_trained_and_the_model_says_which(workspace, edit, monkeypatch):
    """Trained where bf16 is taken for fast, found again and scored where it is not."""
    edit(", precision: fp32", "")
    edit("seeds: [1, 2]", "seeds: [1]")
    edit("size: 64", "size: 32")
    monkeypatch.setattr(precision, "computes_in_bf16", lambda device: True)
    workspace.done("run", "tiny", "--data", "data")
    monkeypatch.setattr(precision, "computes_in_bf16", lambda device: False)
    assert "tiny is done already" in workspace.vad("run", "tiny", "--data", "data").stderr
    assert {member.tags["vad.precision"] for member in _runs(workspace.tracking(), "member")} == {"bf16"}
    (description,) = Path("mlartifacts").rglob("ensemble.json")
    members = json.loads(description.read_text())["members"].values()
    assert {member["training"]["precision"] for member in members} == {"bf16"}

    precision._warn_once.cache_clear()
    told = []
    monkeypatch.setattr(precision._log, "warning", lambda text, *values: told.append(text % values))
    workspace.done("submit", "--data", "data", "--out", "out.csv")
    assert len(told) == 1 and "so scored in fp32" in told[0]


def test_before_a_run_one_hears_how_long_it_takes_and_during_it_how_far_it_is(workspace, monkeypatch):
    monkeypatch.setattr(console, "_LINE_EVERY", 0.0)
    said = workspace.vad("run", "tiny", "--data", "data").stderr
    assert re.search(r"^  about \d+ s on this machine$", said, re.MULTILINE)
    assert re.search(r"^  train small-1 +8 of 40 frames, \d+ s left$", said, re.MULTILINE)
    assert said.index("about") < said.index("train small-1  ")


def test_each_member_has_its_checkpoint_with_epoch_and_loss(finished, tmp_path):
    tracking = finished.tracking()
    for member in _runs(tracking, "member"):
        group, seed = member.name.split("-")
        folder = f"checkpoints/{group}/seed-{seed}"
        about = json.loads(tracking.fetch(member.run_id, f"{folder}/checkpoint.json", tmp_path).read_text())
        history = [m.value for m in tracking.client.get_metric_history(member.run_id, "loss")]
        assert len(history) == 2
        assert about["loss"] == pytest.approx(min(history)) == member.metrics["best_loss"]
        assert about["epoch"] == 1 + int(np.argmin(history))
        weights = tracking.fetch(member.run_id, f"{folder}/weights.safetensors", tmp_path)
        assert weights.stat().st_size > 4 * int(member.params["parameters"])
        assert member.params["size"] == ("32" if group == "small" else "64")


def test_nothing_that_could_be_code_is_stored(finished):
    names = [name for name in finished.files() if name.startswith("mlartifacts")]
    assert len(names) > 10
    assert [name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".pth", ".bin"))] == []


def test_the_second_run_trains_nothing_and_says_where_members_come_from(finished):
    before = len(_runs(finished.tracking(), "member")), len(_runs(finished.tracking(), "experiment"))
    result = finished.vad("run", "tiny", "--data", "data")
    assert result.exit_code == 0
    assert "tiny is done already: nothing to train, nothing to score" in result.stderr
    for member in _runs(finished.tracking(), "member"):
        assert f"from run {member.run_id}" in result.stderr
    assert (len(_runs(finished.tracking(), "member")), len(_runs(finished.tracking(), "experiment"))) == before
    first = (finished.folder / "first.txt").read_text().splitlines()
    again = result.stdout.splitlines()
    assert [row for row in again if not row.startswith("model ")] == [
        row for row in first if not row.startswith("model ")
    ]
    assert any(row.endswith("is version 1 of the registered model; production") for row in again)


def test_an_entry_that_only_fuses_otherwise_reuses_members_and_their_scores(finished):
    path = finished.folder / "experiments" / "other.yaml"
    text = (finished.folder / "experiments" / "tiny.yaml").read_text()
    path.write_text(text.replace("name: tiny", "name: other").replace("{gaussian: 1}", "{gaussian: 2}"))
    before = len(_runs(finished.tracking(), "member"))
    result = finished.vad("run", "other", "--data", "data")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("from run ") == 3
    assert "(tiny, epoch" in result.stderr
    assert "to train" not in result.stderr
    assert "score small" not in result.stderr
    assert len(_runs(finished.tracking(), "member")) == before


def test_a_changed_setting_trains_only_what_it_concerns(trained):
    result = trained.vad("run", "tiny", "--data", "data", "--set", "members.large.output=sigmoid")
    assert "large-1        to train" in result.stderr
    assert result.stderr.count("from run ") == 2
    parent = _runs(trained.tracking(), "experiment")[0]
    assert parent.tags["vad.set"] == "members.large.output=sigmoid"


def test_force_trains_anew_and_gives_the_same_scores(trained, tmp_path):
    trained.done("run", "tiny", "--data", "data", "--force")
    tracking = trained.tracking()
    first, second = _runs(tracking, "experiment")
    assert len(_runs(tracking, "member")) == 6
    tables = [tracking.fetch(run.run_id, "scores.csv", tmp_path).read_bytes() for run in (first, second)]
    assert tables[0] == tables[1]


def test_altered_weights_are_not_reused(trained):
    (culprit,) = (m for m in _runs(trained.tracking(), "member") if m.name == "large-1")
    weights = next(Path("mlartifacts").rglob(f"{culprit.run_id}/**/weights.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    result = trained.vad("run", "tiny", "--data", "data", "--set", "members.small.seeds=[1]")
    assert result.exit_code == 0
    assert (
        f"weights.safetensors of run {culprit.run_id} was altered: its SHA-256 is not the one recorded" in result.stderr
    )
    assert "large-1        to train" in result.stderr


def test_without_labels_a_proxy_is_measured_and_never_called_ap(workspace, pictures):
    text = workspace.done("run", "tiny", "--data", "data", "--labels", "none")
    assert "proxy AP" in text
    assert "is not the AP of the test frames" in text
    assert "  proxy AUC  " in workspace.done("leaderboard") and "  AUC  " not in workspace.done("leaderboard")
    (parent,) = _runs(workspace.tracking(), "experiment")
    assert "proxy_ap" in parent.metrics
    assert not [name for name in parent.metrics if name == "ap" or name.startswith("ap.")]
    assert parent.experiment.startswith("data proxy_ap ")
    assert parent.tags["vad.labels"] == "none"
    member = _runs(workspace.tracking(), "member")[0]
    workspace.done("run", "tiny", "--data", "data")
    again = [m for m in _runs(workspace.tracking(), "member") if m.name == member.name]
    assert len({m.tags["vad.digest"] for m in again}) == 2, "held-out frames are part of what a member was trained on"


def test_frames_are_decoded_once(trained):
    maps = {path: path.stat().st_mtime_ns for path in Path(".vad/frames").iterdir()}
    assert len(maps) == 4
    result = trained.vad("run", "tiny", "--data", "data", "--set", "train.epochs=1")
    assert "  decode " not in result.stderr
    assert {path: path.stat().st_mtime_ns for path in Path(".vad/frames").iterdir()} == maps


def test_a_loss_that_is_no_number_stops_that_member_and_not_the_others(workspace, edit):
    edit("batch_size: 4, seeds: [1]}", "batch_size: 4, seeds: [1], train: {lr: 1.0e+30}}")
    result = workspace.vad("run", "tiny", "--data", "data")
    assert result.exit_code == 1
    assert "1 of 3 members failed: large-1 (the loss became NaN or infinite in epoch" in result.output
    assert "Traceback" not in result.output
    states = {m.name: m.status for m in _runs(workspace.tracking(), "member")}
    assert states == {"small-1": "FINISHED", "small-2": "FINISHED", "large-1": "FAILED"}
    assert [run.status for run in _runs(workspace.tracking(), "experiment")] == ["FAILED"]


def test_of_two_runs_at_once_in_a_new_store_one_runs_and_the_other_shows_what_it_found(workspace):
    ended = at_once([("run", "tiny", "--data", "data", "--set", "train.epochs=4")] * 2, workspace.folder)
    assert [end.status for end in ended] == [0, 0], ended
    assert sum("is done already" in end.said for end in ended) == 1
    tracking = workspace.tracking()
    assert sorted(member.name for member in _runs(tracking, "member")) == ["large-1", "small-1", "small-2"]
    assert len(_runs(tracking, "experiment")) == 1


def test_an_entry_that_blends_files_needs_no_frames(workspace, pictures):
    table = read_table(Path("data/labels.csv"), "Label")
    index, labels = table.index, table.values
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        rows = [f"{i},{0.5 * y + generator.random()}" for i, y in zip(index.ids, labels, strict=True)]
        Path("experiments", f"{name}.csv").write_text("Id,Predicted\n" + "\n".join(rows) + "\n")
    Path("experiments/blend.yaml").write_text(
        "name: blend\nhypothesis: two files know more than one\n"
        "streams: {a: {scores: a.csv}, b: {scores: b.csv}}\n"
        "variants: {product: {fuse: {product: [a, b]}}, ranks: {fuse: {weights: {a: 0.5, b: 0.5}}, steps: [rank]}}\n"
    )
    text = workspace.done("run", "blend", "--labels", "data/labels.csv")
    assert "no model: every variant reads predictions files" in text
    assert _runs(workspace.tracking(), "experiment")[0].metrics["ap"] > 0.3
    Path("experiments/b.csv").write_text("Id,Predicted\n1_0,0.5\n")
    assert "does not fit the test frames: 29 missing (1_1, 1_2, 1_3, ...) of 30 frames" in workspace.refused(
        "run", "blend"
    )


def test_without_labels_a_variant_of_a_file_is_not_among_what_was_found(workspace, edit):
    train = workspace.folder / "data" / "Dataset" / "training_videos"
    shutil.copytree(train / "02", train / "03")  # three videos with painted frames make an interval
    rows = [f"{video}_{frame},{frame}" for video in (1, 2, 3) for frame in range(10)]
    (workspace.folder / "made.csv").write_text("\n".join(["Id,Predicted", *rows]) + "\n")
    edit("variants: {max: 0.5}", "variants: {made: 0.5}")
    edit("streams:\n", "streams:\n  made: {scores: ../made.csv}\n")
    edit(
        "  max: {fuse: {max: [small, large]}, steps: [{normalize: 100}, {gaussian: 1}, {normalize: 100}]}\n",
        "  made: {stream: made}\n",
    )
    said = workspace.done("run", "tiny", "--data", "data", "--labels", "none", "--set", "holdout=0.3")
    assert "found  small_only is best" in said
    assert "follows" not in said
