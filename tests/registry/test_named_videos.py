"""Videos with names of their own, from `vad data` to the rendered video: a person sees the name everywhere, and so does a file."""

import csv
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

NAMES = {"01": "gate morning", "02": "yard_2", "03": "yard_10"}
TEST, TRAIN = Path("data/Dataset/testing_videos"), Path("data/Dataset/training_videos")


@pytest.fixture
def named(workspace):
    """The workspace's data under names, with its labels."""
    for number, name in NAMES.items():
        (TEST / number).rename(TEST / name)
    (TRAIN / "02").rename(TRAIN / "calm street")
    rows = list(csv.reader(Path("data/labels.csv").read_text().splitlines()))
    ids = [f"{NAMES[video.zfill(2)]}_{frame}" for video, frame in (row[0].split("_") for row in rows[1:])]
    lines = [f"{id},{row[1]}" for id, row in zip(ids, rows[1:], strict=True)]
    Path("data/labels.csv").write_text("\n".join(["Id,Label", *lines]) + "\n")
    return workspace


def test_a_run_on_named_videos_shows_their_names_to_the_end(named):
    said = named.done("run", "tiny", "--data", "data")
    assert "AP" in said
    out = named.done("submit", "--model", "v1", "--data", "data", "--out", "p.csv")
    rows = list(csv.reader(Path("p.csv").read_text().splitlines()))
    assert [row[0] for row in rows[1::10]] == ["gate morning_0", "yard_2_0", "yard_10_0"], out
    assert "AP" in named.done("evaluate", "p.csv", "--labels", "data/labels.csv")
    (table,) = (path for path in Path("mlartifacts").rglob("scores.csv"))
    assert table.read_text().splitlines()[1].startswith("gate morning,0,")
    assert "yard_10" in named.done("compare", "v1", "v1")
    named.done("render", "gate morning", "--data", "data", "--out", "seen.mp4")
    assert Path("seen.mp4").stat().st_size > 0
    known = "gate morning, yard_2, yard_10"
    assert f"VIDEO=gate is not a test video; there are {known}" in named.refused("render", "gate", "--data", "data")


def test_scores_of_other_names_are_refused_by_name(named):
    lines = [f"{name}_{frame},0.{frame}" for name in ("gate morning", "yard_2", "roof") for frame in range(10)]
    Path("p.csv").write_text("Id,Predicted\n" + "\n".join(lines) + "\n")
    said = named.refused("evaluate", "p.csv", "--labels", "data/labels.csv")
    said = " ".join(said.split())
    assert "a video 'roof', which has no labels; the labelled videos are gate morning, yard_2, yard_10" in said


def test_the_inspection_shows_names_and_first_and_last_anomalous_frames(named):
    lines = [line.split("  ") for line in named.done("data", "data").splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    shown = {line[1]: line[-1] for line in cells if line[:1] == ["test"]}
    assert shown == {"gate morning": "4 (3 to 6)", "yard_2": "5 (3 to 7)", "yard_10": "0"}
    videos = json.loads(named.done("data", "data", "--json"))["videos"]
    assert [(video["name"], video["anomalous"]) for video in videos[2:]] == [
        ("gate morning", [4, 3, 6]),
        ("yard_2", [5, 3, 7]),
        ("yard_10", None),
    ]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_the_same_however_they_are_written(named, form):
    """A Mac's archives keep a letter and its accent apart."""
    name = unicodedata.normalize(form, "été")
    (TEST / "yard_2").rename(TEST / unicodedata.normalize("NFD", "été"))
    labels = Path("data/labels.csv")
    labels.write_text(labels.read_text().replace("yard_2", name), encoding="utf-8")
    assert "9 of 30 test frames anomalous" in named.done("data", "data")
    scores = {"gate morning": np.arange(10.0), name: np.arange(10.0), "yard_10": np.zeros(10)}
    np.savez("s.npz", **scores)
    assert len(json.loads(named.done("evaluate", "s.npz", "--labels", str(labels), "--json"))["by_video"]) == 3
    labels.write_text(f"video,start,end\ngate morning,3,6\n{name},3,7\n", encoding="utf-8")
    assert "9 of 30 test frames anomalous" in named.done("data", "data")
    np.savez("gt.npz", **{video: values > 5 for video, values in scores.items()})
    assert "8 of 30 test frames anomalous" in named.done("data", "data", "--labels", "gt.npz")


def test_scores_are_measured_by_the_labels_of_a_data_set(workspace):
    rows = [line.split(",") for line in Path("data/labels.csv").read_text().splitlines()[1:]]
    Path("p.csv").write_text("Id,Predicted\n" + "".join(f"{id},{float(label) + len(id) / 10}\n" for id, label in rows))
    found = json.loads(workspace.done("evaluate", "p.csv", "--data", "data", "--json"))
    named = json.loads(workspace.done("evaluate", "p.csv", "--labels", "data/labels.csv", "--json"))
    assert found["ap"] == named["ap"]
    Path("data/labels.csv").rename("elsewhere.csv")
    assert "data holds no labels; name them with --labels" in workspace.refused("evaluate", "p.csv", "--data", "data")
