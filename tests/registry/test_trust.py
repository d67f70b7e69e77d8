"""What was changed behind the registry's back is noticed: artifacts, the resolved entry, the alias of production."""

import json
import os
import re
import shutil
from pathlib import Path

from registry.models.versions import ALL, NAME, Versions
from registry.store.tracking import Tracking


def files_of(kind: str) -> Path:
    """The artifacts of the first run of a kind."""
    return next(Path("mlartifacts").glob(f"**/{Tracking().find(kind)[0].run_id}/artifacts"))


def append(path: Path, text: str = "# changed\n") -> None:
    path.write_text(path.read_text() + text)


def test_no_file_of_a_registered_model_is_used_once_altered(trained):
    marker = trained.folder / "was-run"
    for name in ("code/vad/data/frame_index.py", "pyfunc_model.py", "MLmodel", "artifacts/ensemble/ensemble.json"):
        path = next(Path("mlartifacts").rglob(f"m-*/artifacts/{name}"))
        whole = path.read_text()
        append(path, f"\n__import__('pathlib').Path({str(marker)!r}).touch()\n" if path.suffix == ".py" else "\n")
        message = trained.refused("submit", "--data", "data", "--out", "x.csv")
        assert f"models:/vad-ensemble/1: {name} is missing or was altered" in message
        assert f"{name} is missing or was altered" in trained.vad("explain", "v1").stdout
        assert not Path("x.csv").exists() and not marker.exists()
        path.write_text(whole)


def test_a_list_of_files_that_was_made_to_fit_is_noticed(trained):
    folder = next(Path("mlartifacts").rglob("m-*/artifacts"))
    append(folder / "code/vad/data/frame_index.py")
    listing = folder / "model.sha256"
    listing.write_text(re.sub(r"\w{64}  code/vad/data/frame_index.py\n", "", listing.read_text()))
    assert "model.sha256 is missing or was altered" in trained.refused("submit", "--data", "data")


def test_code_that_was_put_beside_a_model_does_not_run(trained):
    code = next(Path("mlartifacts").rglob("m-*/artifacts/code"))
    marker = trained.folder / "was-run"
    for path in (
        code / "numpy.py",
        code / "vad" / "__pycache__" / "scores.cpython-311.pyc",
        code / "scipy/__init__.py",
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"__import__('pathlib').Path({str(marker)!r}).touch()")
    trained.done("submit", "--data", "data", "--out", "x.csv")
    assert not marker.exists()


def test_an_altered_record_of_a_run_is_told(trained):
    names = ["resolved.yaml", "entry.yaml", "identity.json", "scores.csv"]
    for name in names:
        append(files_of("experiment") / name)
    run = Tracking().find("experiment")[0].run_id
    result = trained.vad("explain", "v1")
    assert result.exit_code == 2
    for name in names:
        assert f"{name} of run {run} was altered: its SHA-256 is not the one recorded" in result.stdout


def test_altered_results_are_not_shown_but_found_again(trained):
    path = files_of("experiment") / "results.json"
    content = json.loads(path.read_text())
    before = content["variants"]["max"]["ap"]
    content["variants"]["max"]["ap"] = 0.999
    path.write_text(json.dumps(content))
    result = trained.vad("run", "tiny", "--data", "data")
    assert result.exit_code == 0
    assert "0.9990" not in result.stdout and f"{before:.4f}" in result.stdout
    assert "train small" not in result.stderr, "its members are whole"


def test_altered_scores_of_a_member_are_computed_again(trained):
    path = next(Path("mlartifacts").rglob("scores/*.safetensors"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + bytes(8))
    entry = Path("experiments/tiny.yaml")
    entry.write_text(entry.read_text().replace("gaussian: 1", "gaussian: 2"))
    result = trained.vad("run", "tiny", "--data", "data")
    assert result.exit_code == 0
    assert result.stderr.count("  score ") == 1, result.stderr
    assert path.read_bytes() == whole


def test_scores_that_no_run_logged_are_not_taken(trained):
    """A file under the right name, of frames that were never scored."""
    path = next(Path("mlartifacts").rglob("scores/*.safetensors"))
    image, other = sorted(Path("data").rglob("testing_videos/*/*.jpg"))[:2]
    shutil.copy(other, image)
    result = trained.vad("run", "tiny", "--data", "data", "--labels", "data/labels.csv")
    assert result.exit_code == 0, result.output
    made = {p for p in path.parent.iterdir() if p != path and p.name[24:] == path.name[24:]}
    assert len(made) == 1
    (new,) = made
    right = new.read_bytes()
    run = Tracking().get(path.parents[2].name)
    files = json.loads(run.tags["vad.files"])
    del files[f"scores/{new.name}"]
    Tracking().reopen(run.run_id).tags({"vad.files": json.dumps(files)})
    new.write_bytes(path.read_bytes())
    entry = Path("experiments/tiny.yaml")
    entry.write_text(entry.read_text().replace("gaussian: 1", "gaussian: 2"))
    trained.done("run", "tiny", "--data", "data", "--labels", "data/labels.csv")
    assert new.read_bytes() == right


def test_an_alias_that_was_moved_past_the_registry_is_refused(trained):
    entry = Path("experiments/tiny.yaml")
    entry.write_text(entry.read_text().replace("gaussian: 1", "gaussian: 4"))
    trained.done("run", "tiny", "--data", "data")
    client = Tracking().client
    decided = Versions(Tracking()).resolve("production").number
    other = "1" if decided == "2" else "2"
    client.set_registered_model_alias(NAME, "production", other)
    assert f"is production, but the last decision made v{decided} production" in trained.vad("doctor").stdout
    for command in (
        ["submit", "--data", "data"],
        ["serve"],
        ["explain", "production"],
        ["export", "parcel", "--model", "production"],
    ):
        message = trained.refused(*command)
        assert f"points to version {other}, but the last recorded decision made version {decided} production" in message
    trained.done("submit", "--data", "data", "--model", other)
    trained.done("promote", f"v{other}")
    trained.done("submit", "--data", "data")
    client.set_registered_model_alias(NAME, "production", decided)
    trained.done("promote", f"v{other}")
    assert Versions(Tracking()).resolve("production").number == other


def test_a_link_out_of_the_artifacts_is_not_followed_as_if_it_were_ours(trained):
    """What a symbolic link brings in has another SHA-256."""
    path = files_of("experiment") / "scores.csv"
    outside = trained.folder / "outside.csv"
    outside.write_text(path.read_text().replace("0.", "1."))
    path.unlink()
    os.symlink(outside, path)
    result = trained.vad("explain", "v1")
    assert result.exit_code == 2 and "scores.csv" in result.stdout


def test_a_version_without_its_facts_is_refused(trained):
    """Whoever takes the record away shall gain nothing by it."""
    client = Tracking().client
    append(next(Path("mlartifacts").rglob("m-*/artifacts/code/vad/data/frame_index.py")))
    for change in (
        lambda: client.set_model_version_tag(NAME, "1", ALL, "{not json"),
        lambda: client.delete_model_version_tag(NAME, "1", ALL),
    ):
        change()
        for command in (["submit", "--data", "data"], ["serve"], ["export", "parcel", "--model", "1"]):
            message = trained.refused(*command)
            assert message.startswith(
                "Error: models:/vad-ensemble/1 has lost its facts (its tag `mlflow.vad` is gone or was"
            )
            assert "FORCE=1" in message
        assert "has lost its facts" in trained.vad("doctor").stdout


def test_a_run_without_the_record_of_its_files_is_not_reused(trained):
    client = Tracking().client
    for kind in ("experiment", "member"):
        for run in Tracking().find(kind):
            client.delete_tag(run.run_id, "mlflow.vad.files")
    assert "has lost the record of its files (its tag mlflow.vad.files)" in trained.vad("doctor").stdout
    result = trained.vad("run", "tiny", "--data", "data")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("  train ") == 3


def test_doctor_finds_what_was_altered(trained):
    assert trained.vad("doctor").exit_code == 0
    run = Tracking().find("experiment")[0].run_id
    append(files_of("experiment") / "scores.csv")
    model = next(Path("mlartifacts").rglob("m-*/artifacts"))
    append(model / "code/vad/data/frame_index.py")
    (model / "code" / "cv2.py").touch()
    result = trained.vad("doctor")
    assert result.exit_code == 2
    for fault in (
        f"run {run} (tiny): scores.csv was altered",
        "models:/vad-ensemble/1: code/vad/data/frame_index.py is missing or was altered",
        "models:/vad-ensemble/1: code/cv2.py is no part of it",
    ):
        assert fault in result.stdout.replace("\n", " "), result.stdout


def test_decoded_frames_that_were_overwritten_change_no_prediction(trained):
    trained.done("submit", "--out", "before.csv")
    for path in Path(".vad", "frames").glob("*.npy"):
        path.write_bytes(path.read_bytes()[:128] + bytes(path.stat().st_size - 128))
    trained.done("submit", "--out", "after.csv")
    assert Path("after.csv").read_bytes() == Path("before.csv").read_bytes()
    said = trained.vad("run", "tiny", "--data", "data", "--set", "train.epochs=1").stderr
    assert said.count("was altered or damaged; its frames are decoded again") == 2  # the train frames, at two sizes


def test_computed_samples_that_were_overwritten_are_told_and_computed_again(workspace):
    bank = "{model: nearest_cells, input: {flow_cells: 16}, size: 64, aspect: keep, stride: 1}"
    streams = "{flow: {members: flow, reduce: {top: 3}, steps: [{fill: nearest}]}}"
    entry = f"name: bank\nhypothesis: H.\nmembers: {{flow: {bank}}}\nstreams: {streams}\nvariants: {{flow: {{stream: flow}}}}\n"
    Path("experiments/bank.yaml").write_text(entry)
    first = workspace.vad("run", "bank", "--data", "data")
    assert "altered" not in first.stderr
    kept = list(Path(".vad", "frames").glob("*flow*.npy"))
    assert len(kept) == 2  # of train and of test frames
    for path in kept:
        path.write_bytes(path.read_bytes()[:-500] + bytes(500))
    again = workspace.vad("run", "bank", "--data", "data", "--force")
    assert again.stdout.partition("prevalence")[0] == first.stdout.partition("prevalence")[0]
    for path in kept:
        assert again.stderr.count(f"note: {path} was altered or damaged; its samples are computed again") == 1
