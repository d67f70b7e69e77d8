"""`vad gc`: what goes, what stays, and that the disk has the bytes back."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from registry.maintenance import gc
from registry.maintenance import repair as mending
from registry.maintenance.gc import freed, last_used
from registry.models.versions import Versions
from vad.system.files import share

LONG_AGO = time.time() - 100 * 86400


def age(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO))


def test_caches_that_were_not_used_for_long_go_and_half_trained_members_stay(trained):
    frames = sorted(Path(".vad/frames").glob("*.npy"))
    resume = Path(".vad/resume")
    resume.mkdir(exist_ok=True)
    log = trained.tracking().open_run("1", "member", "cut-off", "small-9", {})
    log.end("KILLED")
    finished = trained.runs("member")[-1].tags["vad.digest"]
    states = [resume / f"{name}.safetensors" for name in ("cut-off", finished, "nobodys")]
    locks = [Path(".vad/locks/old"), Path(".vad/locks/new")]
    fetched = [Path(".vad/fetched/old"), Path(".vad/fetched/new")]
    for path in (*states, *locks, *fetched):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 10)
    age(frames[0], *states, locks[0], fetched[0])
    told = trained.done("gc", "--dry-run")
    assert (
        re.search(r"not used for \d+ days", told)
        and "it is finished" in told
        and "no run of this store is of it" in told
    )
    assert all(path.exists() for path in (*frames, *states, *locks))
    assert "freed" in trained.done("gc", "--yes")
    assert [path.exists() for path in frames] == [False] + [True] * (len(frames) - 1)
    assert [path.exists() for path in states] == [True, False, False]
    assert [path.exists() for path in (*locks, *fetched)] == [False, True, False, True]


def test_what_was_used_least_goes_first_down_to_a_size(trained):
    frames = sorted(Path(".vad/frames").glob("*.npy"))
    for number, path in enumerate(frames):
        moment = time.time() - 86400 * (10 - number)
        os.utime(path, (moment, moment))
    keep = sum(path.stat().st_size for path in frames[2:])
    others = mending.size(Path(".vad")) - mending.size(Path(".vad/frames"))
    trained.done("gc", "--keep", f"{(keep + others + 1000) / 1e9:.12f}", "--yes")
    assert [path.exists() for path in frames] == [False, False] + [True] * (len(frames) - 2)


def test_nothing_goes_without_an_answer(trained):
    frames = list(Path(".vad/frames").glob("*.npy"))
    age(*frames)
    assert "nothing was removed" in trained.refused("gc")
    assert all(path.exists() for path in frames)


def test_json_lists_and_removes_only_with_yes(trained):
    frames = sorted(Path(".vad/frames").glob("*.npy"))
    age(frames[0])
    size = frames[0].stat().st_size
    row = {"what": "decoded frames, not used for 30 days", "count": 1, "bytes": size}
    for options in ((), ("--dry-run", "--yes")):
        found = json.loads(trained.done("gc", "--json", *options))
        assert row in found["waste"] and found["bytes"] == sum(kind["bytes"] for kind in found["waste"])
        assert (found["removed"], found["stays"]) == (False, [])
        assert frames[0].exists()
    assert json.loads(trained.done("gc", "--json", "--yes"))["removed"] and not frames[0].exists()
    stays = json.loads(trained.vad("gc", "--runs", "v1", "--json").stdout)["stays"]
    assert stays == ["vad-ensemble/1 is candidate and production"]


def test_what_is_named_without_runs_is_told(workspace):
    assert "for runs and versions add --runs" in workspace.refused("gc", "tiny")
    assert "say which by --older-than" in workspace.refused("gc", "--runs")
    assert "there is no such run, experiment or version" in workspace.refused("gc", "--runs", "nothing")


def test_production_and_what_it_is_made_of_stays(trained):
    before = trained.files()
    result = trained.vad("gc", "--runs", "tiny", "v1", "--yes")
    assert "which is candidate and production, is made of it" in result.stderr
    assert "vad-ensemble/1 is candidate and production" in result.stderr
    assert "nothing to remove" in result.stdout
    (member, *_) = trained.runs("member")
    assert "is made of it" in trained.vad("gc", "--runs", member.run_id, "--yes").stderr
    assert trained.files() >= {name for name in before if name.startswith("mlartifacts")}


def test_a_run_goes_with_its_version_and_the_members_that_nobody_else_uses(trained, edit_entry):
    first = trained.runs("experiment")[0]
    bytes_before = mending.size(Path("mlartifacts"))
    text = Path("experiments/tiny.yaml").read_text()
    Path("experiments/other.yaml").write_text(
        text.replace("name: tiny", "name: other").replace("seeds: [1, 2]", "seeds: [1, 3]")
    )
    trained.done("run", "other", "--data", "data")
    second = trained.runs("experiment")[0]
    names = {run.run_id: run.name for run in trained.runs("member")}
    # Of two, the first is production and the second candidate: as somebody decides who wants neither any more.
    client = trained.tracking().client
    for alias in ("candidate", "production", "previous"):
        client.delete_registered_model_alias("vad-ensemble", alias)
    client.set_registered_model_alias("vad-ensemble", "production", "1")
    told = trained.vad("gc", "--runs", second.run_id[:8], "--yes")
    assert told.exit_code == 0, told.output
    left = {run.run_id for run in trained.runs("experiment")}
    assert left == {first.run_id}
    assert sorted(run.name for run in trained.runs("member")) == ["large-1", "small-1", "small-2"]
    assert len(names) == 4
    assert [version.number for version in Versions(trained.tracking()).all()] == ["1"]
    assert abs(mending.size(Path("mlartifacts")) - bytes_before) < 50_000
    assert "sound" in trained.done("doctor")
    # The other way round: what the first lent to others stays.
    client.delete_registered_model_alias("vad-ensemble", "production")
    trained.done("run", "other", "--data", "data")
    client.set_registered_model_alias("vad-ensemble", "production", "3")
    for alias in ("candidate", "previous"):
        client.delete_registered_model_alias("vad-ensemble", alias)
    told = trained.vad("gc", "--runs", "tiny", "--yes")
    assert "another run uses it" in told.stderr
    assert sorted(run.name for run in trained.runs("member")) == ["large-1", "small-1", "small-3"]
    assert "sound" in trained.done("doctor")
    assert trained.vad("submit", "--data", "data").exit_code == 0


def test_an_experiment_stands_for_all_its_runs_those_with_overrides_too(trained):
    trained.done("run", "tiny", "--data", "data", "--set", "train.epochs=1")
    client = trained.tracking().client
    for alias in ("candidate", "production", "previous"):
        client.delete_registered_model_alias("vad-ensemble", alias)
    assert len(trained.runs("experiment")) == 2
    trained.done("gc", "--runs", "tiny", "--yes")
    assert trained.runs("experiment") == trained.runs("member") == []


@pytest.mark.parametrize("done", [1, 2, 4, 7])
def test_what_was_cut_off_in_the_middle_is_completed_by_the_same_command(trained, monkeypatch, done):
    client = trained.tracking().client
    for alias in ("candidate", "production"):
        client.delete_registered_model_alias("vad-ensemble", alias)
    remove = gc.remove

    def cut_off(waste):
        steps = [step for item in waste for step in item.steps]
        assert len(steps) > 7
        for step in steps[:done]:
            step()
        raise KeyboardInterrupt

    monkeypatch.setattr(gc, "remove", cut_off)
    assert trained.vad("gc", "--runs", "tiny", "--yes").exit_code == 130
    monkeypatch.setattr(gc, "remove", remove)
    again = trained.vad("gc", "--runs", "tiny", "--yes")
    assert again.exit_code in (0, 2), again.output  # 2 where nothing of that name is left
    trained.vad("doctor", "--fix")
    assert "sound" in trained.done("doctor")
    assert trained.runs("experiment") == [] and Versions(trained.tracking()).all() == []
    trained.done("run", "tiny", "--data", "data")
    assert trained.vad("submit", "--data", "data").exit_code == 0


def test_weights_stand_once_in_member_and_model(ran):
    weights = list((ran / "mlartifacts").rglob("checkpoints/**/weights.safetensors"))
    copies = list((ran / "mlartifacts" / "models").rglob("weights/*.safetensors"))
    assert len(weights) == len(copies) == 3
    assert all(any(one.samefile(other) for other in weights) for one in copies)


def test_a_model_is_whole_without_its_members(trained):
    weights = list(Path("mlartifacts").rglob("checkpoints/**/weights.safetensors"))
    before = trained.done("submit", "--data", "data", "--out", "one.csv")
    for path in weights:
        path.unlink()
    trained.done("submit", "--data", "data", "--out", "two.csv")
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes() and before


def test_a_store_of_before_gets_its_bytes_back(trained):
    for path in Path("mlartifacts/models").rglob("weights/*.safetensors"):
        shutil.copy(path, f"{path}.new")
        os.replace(f"{path}.new", path)
    twice = mending.size(Path("mlartifacts"))
    assert "weights that are stored twice" in trained.done("gc", "--yes")
    assert mending.size(Path("mlartifacts")) < 0.6 * twice
    assert "sound" in trained.done("doctor")
    assert "its files are those that were registered" in trained.done("explain", "v1")


def test_a_disk_without_links_keeps_copies(tmp_path, monkeypatch):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("same")
    two.write_text("same")

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert not share(one, two)
    assert two.read_text() == "same" and sorted(os.listdir(tmp_path)) == ["one", "two"]


def test_a_file_goes_with_the_last_of_its_names(tmp_path):
    one, two = tmp_path / "a" / "one", tmp_path / "b" / "two"
    for path in (one, two):
        path.parent.mkdir()
        path.write_text("same")
    assert share(one, two) and one.samefile(two)
    assert freed([one.parent]) == 0 and freed([one.parent, two.parent]) == 4
    assert last_used(tmp_path) > time.time() - 60


def test_make_clean_leaves_half_trained_members(tmp_path):
    shutil.copy(Path(__file__).parents[2] / "Makefile", tmp_path)
    for name in (".vad/resume/one.safetensors", ".vad/frames/a.npy", ".vad/locks/one", "mlartifacts/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["make", "-C", str(tmp_path), "clean"], check=True, capture_output=True)
    left = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert left == [".vad/resume/one.safetensors", "Makefile", "mlartifacts/x"]


@pytest.mark.parametrize(
    ("given", "word"), [("it's here", "'it'\\''s here'"), ("~/avenue", "'~/avenue'"), ("$HOME/x", "'$HOME/x'")]
)
def test_make_hands_over_any_path(given, word):
    done = subprocess.run(
        ["make", "-n", "submit", f"DATA={given}"],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    )
    assert f"--data {word}" in done.stdout


def test_what_is_no_cache_stays_where_vad_home_is_a_folder_of_other_files(trained, monkeypatch):
    monkeypatch.setenv("VAD_HOME", "data")
    trained.done("run", "tiny", "--data", "data", "--set", "train.epochs=1")
    (made, *_), mine = list(Path("data/frames").glob("*.npy")), Path("data/frames/mine.npy")
    mine.write_text("no array")
    age(made, mine, *Path("data/index").glob("*.json"))
    trained.done("gc", "--yes")
    assert mine.exists() and not made.exists()
    assert trained.done("doctor").startswith("sound")
