"""`vad evaluate`: anybody's scores against labels, in every format, with frames that have no score, one file or two."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import savemat
from sklearn.metrics import average_precision_score, roc_auc_score

from registry.cli import main
from tests.registry.scored import LENGTHS, Folder, done, figures, refused
from vad.measures.frame_level import measure_frames

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "ped2"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Folder()


def test_every_measure_is_printed_and_in_the_json(folder, index_of):
    found = figures("p.csv")
    assert found["ap"] == average_precision_score(folder.labels, folder.scores)
    assert found["auc"] == roc_auc_score(folder.labels, folder.scores)
    assert (found["frames"], found["videos"]) == (145, 4)
    expected = measure_frames(folder.scores, folder.labels, index_of(*LENGTHS.values()))
    assert found["macro_auc"]["plain"] == expected.macro.plain
    assert found["macro_auc"]["padded"] == expected.macro.padded
    assert (found["macro_auc"]["videos"], found["macro_auc"]["left_out"]) == (3, 1)
    assert found["eer"] == expected.eer
    assert found["best_f1"]["f1"] == expected.best_f1.f1
    assert found["fpr_at_95_tpr"]["fpr"] == expected.at_tpr.fpr
    assert found["detection_delay"]["events"] == 3
    assert [part["name"] for part in found["by_video"]] == ["1", "2", "3", "4"]
    text = done("p.csv")
    for value in ("macro AUC   {:.4f}", "EER         {:.4f}", "best F1     {:.4f}", "FPR95       {:.4f}"):
        figure = {"m": expected.macro.plain, "E": expected.eer, "b": expected.best_f1.f1, "F": expected.at_tpr.fpr}
        assert value.format(figure[value[0]]) in text
    assert f"  padded    {expected.macro.padded:.4f}" in text
    assert "1 of one kind left out" in text


def test_the_protocol_is_told_in_words(folder):
    protocol = figures("p.csv")["protocol"]
    assert protocol["labels"].startswith("labels.csv: 145 frames, 30 anomalous (20.69%), digest ")
    assert "all frames of all videos in one ranking" in protocol["pooling"]
    assert "a normal frame with score 0 in front and an anomalous frame with score 1 at its end" in protocol["macro"]
    assert "scaled to 0 to 1 together first, as some lie outside" in protocol["macro"]
    assert protocol["smoothing"].startswith("none")
    assert protocol["frames"] == "no frame lacks a score"
    text = done("p.csv")
    assert all(sentence in text for sentence in protocol.values())


def _npz(folder):
    np.savez("s.npz", **{f"{video:02d}": folder.of(video) for video in LENGTHS})


def _text_folder(folder):
    Path("s").mkdir()
    for video in LENGTHS:
        np.savetxt(f"s/Test{video:03d}.txt", folder.of(video))


def _cells(folder):
    cells = np.empty((1, 4), object)
    for video in LENGTHS:
        cells[0, video - 1] = folder.of(video)[None]
    savemat("s.mat", {"scores": cells})


FORMATS = {
    "npy": ("s.npy", lambda f: np.save("s.npy", f.scores)),
    "npy (1, N)": ("s.npy", lambda f: np.save("s.npy", f.scores[None])),
    "npz by name": ("s.npz", _npz),
    "npz in order": ("s.npz", lambda f: np.savez("s.npz", *[f.of(v) for v in LENGTHS])),
    "npz of one": ("s.npz", lambda f: np.savez("s.npz", scores=f.scores)),
    "mat": ("s.mat", lambda f: savemat("s.mat", {"scores": f.scores})),
    "mat of cells": ("s.mat", _cells),
    "text": ("s.txt", lambda f: np.savetxt("s.txt", f.scores)),
    "folder of text": ("s", _text_folder),
}


@pytest.mark.parametrize("form", FORMATS)
def test_scores_are_read_as_people_have_them(folder, form):
    name, write = FORMATS[form]
    write(folder)
    found, expected = figures(name), figures("p.csv")
    assert found["ap"] == pytest.approx(expected["ap"], abs=1e-12)
    assert found["macro_auc"]["plain"] == pytest.approx(expected["macro_auc"]["plain"], abs=1e-12)


def test_one_video_alone(folder):
    folder.write("labels.csv", "Label", folder.labels.astype(int), folder.video == 2)
    np.save("s.npy", folder.of(2))
    assert figures("s.npy")["auc"] == roc_auc_score(folder.labels[folder.video == 2], folder.of(2))


def kept(folder, offset=4, after=3):
    length = np.array([LENGTHS[v] for v in folder.video])
    return (folder.frame >= offset) & (folder.frame < length - after)


def test_missing_frames_are_named_with_the_way_out(folder):
    folder.write("p.csv", "Predicted", folder.scores, kept(folder) & ~((folder.video == 2) & (folder.frame == 15)))
    message = refused("p.csv")
    assert "p.csv does not fit the labels in labels.csv: 29 missing (1_0, 1_1, 1_2, ...) of 145 frames" in message
    assert "videos 1, 3, 4: the first 4, the last 3; video 2: the first 4, the last 3, 15" in message
    assert "--missing edge (repeat the nearest score), drop (leave these frames out) or interpolate" in message


def _slow_fill(folder, stay, how):
    """Frame by frame."""
    values = folder.scores.copy()
    for at in np.flatnonzero(~stay):
        there = [i for i in np.flatnonzero(stay) if folder.video[i] == folder.video[at]]
        before, after = [i for i in there if i < at], [i for i in there if i > at]
        if how == "interpolate" and before and after:
            a, b = before[-1], after[0]
            values[at] = (folder.scores[a] * (b - at) + folder.scores[b] * (at - a)) / (b - a)
        else:
            values[at] = folder.scores[min(there, key=lambda i: (abs(i - at), i))]
    return values


@pytest.mark.parametrize("how", ["edge", "drop", "interpolate"])
@pytest.mark.parametrize("pattern", ["window", "every fourth"])
def test_missing_frames_are_filled_or_dropped_as_asked(folder, how, pattern):
    stay = kept(folder) if pattern == "window" else folder.frame % 4 == 1
    folder.write("p.csv", "Predicted", folder.scores, stay)
    found = figures("p.csv", "--missing", how)
    if how == "drop":
        assert found["auc"] == roc_auc_score(folder.labels[stay], folder.scores[stay])
        assert found["frames"] == stay.sum()
    else:
        assert found["auc"] == pytest.approx(roc_auc_score(folder.labels, _slow_fill(folder, stay, how)), abs=1e-12)
        assert found["frames"] == 145
    assert found["protocol"]["frames"].startswith(f"{how}: {(~stay).sum()} frames without a score (")


def test_a_list_without_numbers_needs_to_be_told_where_it_begins(folder):
    stay = kept(folder)
    folder.write("p.csv", "Predicted", folder.scores, stay)
    np.savez("s.npz", **{str(v): folder.scores[stay & (folder.video == v)] for v in LENGTHS})
    np.save("s.npy", folder.scores[stay])
    assert "video 1 33 of 40, video 2 23 of 30" in refused("s.npz") and "--offset N" in refused("s.npz")
    one = refused("s.npy")
    assert "s.npy is one list of 117 scores for 145 labelled frames of 4 videos: 7 fewer for each video" in one
    assert "--offset N" in one
    expected = figures("p.csv", "--missing", "edge")
    for name in ("s.npz", "s.npy"):
        assert "the first 4, the last 3" in refused(name, "--offset", "4")
        assert figures(name, "--offset", "4", "--missing", "edge")["ap"] == expected["ap"]
    assert "puts the last of 33 scores on frame 41 (from 0) of video 1, which has 40" in refused(
        "s.npz", "--offset", "9"
    )


def test_one_score_every_few_frames(folder):
    stay = folder.frame % 4 == 1
    folder.write("p.csv", "Predicted", folder.scores, stay)
    np.savez("s.npz", **{str(v): folder.scores[stay & (folder.video == v)] for v in LENGTHS})
    assert "all but every 4th in between" in refused("s.npz", "--offset", "1", "--every", "4")
    found = figures("s.npz", "--offset", "1", "--every", "4", "--missing", "interpolate")
    assert found["ap"] == figures("p.csv", "--missing", "interpolate")["ap"]


def test_one_list_of_one_score_every_few_frames_is_cut_where_a_video_ends(folder):
    stay = folder.frame % 4 == 1
    np.savez("s.npz", **{str(v): folder.scores[stay & (folder.video == v)] for v in LENGTHS})
    np.save("s.npy", folder.scores[stay])
    asked = ("--offset", "1", "--every", "4", "--missing", "edge")
    assert figures("s.npy", *asked)["by_video"] == figures("s.npz", *asked)["by_video"]
    assert "so it is not clear where a video begins" in refused("s.npy", "--offset", "3", "--every", "4")


def test_the_delay_of_dropped_frames_is_in_frames_of_the_video(folder):
    stay = folder.frame % 4 == 1
    folder.write("p.csv", "Predicted", folder.scores, stay)
    found = figures("p.csv", "--missing", "drop", "--fps", "1", "--false-alarms", "100")["detection_delay"]
    assert found["hours"] == (~folder.labels).sum() / 3600
    delays = []
    for video in LENGTHS:
        labels, alarmed = (
            values[folder.video == video] for values in (folder.labels, stay & (folder.scores >= found["threshold"]))
        )
        for start in np.flatnonzero(np.diff(labels.astype(int), prepend=0) == 1):
            event = start + np.flatnonzero(np.logical_and.accumulate(labels[start:]))
            delays += (np.flatnonzero(alarmed[event])[:1]).tolist()
    assert found["mean"] == np.mean(delays)


def test_a_video_without_any_score(folder):
    folder.write("p.csv", "Predicted", folder.scores, folder.video != 2)
    assert "video 2: all 30 frames" in refused("p.csv")
    assert "video 2 has no score at all; give its scores, or --missing drop" in refused("p.csv", "--missing", "edge")
    found = figures("p.csv", "--missing", "drop")
    assert (found["videos"], [part["name"] for part in found["by_video"]]) == (3, ["1", "3", "4"])


def test_two_files_are_compared_on_the_same_frames(folder):
    better = folder.scores + 0.5 * folder.labels
    folder.write("b.csv", "Predicted", better, kept(folder))
    found = figures("p.csv", "b.csv", "--missing", "drop")
    stay = kept(folder)
    aps = [average_precision_score(folder.labels[stay], values[stay]) for values in (folder.scores, better)]
    assert [found[side]["ap"] for side in "ab"] == aps
    difference = found["difference"]
    assert difference["ap"] == aps[1] - aps[0] > 0
    assert difference["low"] <= difference["ap"] <= difference["high"]
    text = done("p.csv", "b.csv", "--missing", "drop")
    assert f"B less A  {aps[1] - aps[0]:+.4f} AP, 95 % interval " in text
    assert "3 files of scores: give one, or two to compare" in refused("p.csv", "p.csv", "p.csv")


def test_the_plot_is_drawn_for_one_file_and_two(folder):
    folder.write("b.csv", "Predicted", folder.scores + folder.labels)
    for files in (["p.csv"], ["p.csv", "b.csv"]):
        assert "wrote curves.png" in done(*files, "--plot", "curves.png")
        picture = cv2.imread("curves.png")
        assert picture.shape[1] == 1800 and picture.std() > 20
    json.loads(done("p.csv", "--plot", "curves.png", "--json"))


def test_masks_say_which_frames_there_are(folder):
    Path("masks").mkdir()
    for video in LENGTHS:
        cells = np.empty((1, LENGTHS[video]), object)
        for frame, label in enumerate(folder.labels[folder.video == video]):
            cells[0, frame] = np.full((4, 6), label, np.uint8)
        savemat(f"masks/{video}_label.mat", {"volLabel": cells})
    Path("masks/mean_label.mat").write_text("of no video: passed over")
    expected = figures("p.csv")
    np.save("s.npy", folder.scores)
    folder.write("q.csv", "Predicted", folder.scores, kept(folder, 0, 3))
    folder.write("r.csv", "Predicted", folder.scores, kept(folder, 0, 2))

    def against_masks(*arguments):
        return CliRunner().invoke(main, ["evaluate", *arguments, "--labels", "masks", "--json"], catch_exceptions=False)

    for name in ("p.csv", "s.npy"):
        assert json.loads(against_masks(name).stdout)["ap"] == expected["ap"]
    assert (
        "12 missing (1_37, 1_38, 1_39, ...) of 145 frames: videos 1, 2, 3, 4: the last 3"
        in against_masks("q.csv").stderr
    )
    found = json.loads(against_masks("r.csv").stdout)  # two frames fewer: a movie's last ones may not be decodable
    assert found["frames"] == 137
    assert found["protocol"]["frames"] == "8 masks at the end of videos without a frame passed over"


def test_videos_with_names_and_their_scenes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["01_0014", "01_0015", "02 Straße_3"]
    generator = np.random.default_rng(2)
    labels = {name: np.arange(20) % 7 < 3 for name in names}
    scores = {name: generator.random(20) + labels[name] / 3 for name in names}
    rows = [f"{name}_{frame},{int(label)}" for name in names for frame, label in enumerate(labels[name])]
    Path("labels.csv").write_text("\n".join(["Id,Label", *rows]), encoding="utf-8")
    np.savez("s.npz", **scores)
    found = figures("s.npz")
    assert [part["name"] for part in found["by_video"]] == names
    assert [(part["name"], part["frames"]) for part in found["by_scene"]] == [("01", 40), ("02 Straße", 20)]
    both = [np.concatenate([part[name] for name in names[:2]]) for part in (labels, scores)]
    assert found["by_scene"][0]["auc"] == pytest.approx(roc_auc_score(*both), abs=1e-12)
    assert "scene      frames" in done("s.npz")


def test_labels_without_frames_are_fitted_to_the_scores_or_the_data(folder):
    np.save("truth.npy", folder.labels[None].astype(int))
    np.save("s.npy", folder.scores)
    np.savez("s.npz", **{str(video): folder.of(video) for video in LENGTHS})

    def against(name):
        return CliRunner().invoke(main, ["evaluate", name, "--labels", "truth.npy", "--json"], catch_exceptions=False)

    expected = figures("p.csv")["ap"]
    assert json.loads(against("p.csv").stdout)["ap"] == json.loads(against("s.npz").stdout)["ap"] == expected
    assert "neither the scores nor truth.npy say where a video begins; give --data FOLDER" in against("s.npy").stderr


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data/ped2")
@pytest.mark.parametrize("labels", ["labels.csv", "ped2.mat", "frame_labels_ped2.npy", "UCSDped2.m", "masks"])
def test_ped2_has_the_same_figures_by_each_form_of_its_labels(tmp_path, monkeypatch, labels):
    monkeypatch.chdir(tmp_path)
    rows = (SHARED / "labels.csv").read_text().split()[1:]
    scores = np.random.default_rng(0).random(len(rows)) + [0.3 * int(row[-1]) for row in rows]
    np.save("s.npy", scores)
    lines = [f"{row.partition(',')[0]},{value!r}" for row, value in zip(rows, scores.tolist(), strict=True)]
    Path("s.csv").write_text("\n".join(["Id,Predicted", *lines]))
    truth = [int(row[-1]) for row in rows]
    given = (
        [("s.csv", []), ("s.npy", ["--data", str(SHARED)])]
        if labels != "labels.csv"
        else [("s.csv", []), ("s.npy", [])]
    )
    for name, more in given:
        result = CliRunner().invoke(
            main, ["evaluate", name, "--labels", str(SHARED / labels), *more, "--json"], catch_exceptions=False
        )
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found["auc"] == roc_auc_score(truth, scores)
        assert (found["frames"], found["videos"], found["macro_auc"]["left_out"]) == (2010, 12, 4)
        assert (
            "1,648 anomalous (81.99%), digest eb278004866f; the published labels of UCSD Ped2"
            in found["protocol"]["labels"]
        )


def test_the_order_of_videos_is_told_where_scores_name_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{video}_{frame},{int(frame > 2)}" for video in range(1, 11) for frame in range(5)]
    Path("labels.csv").write_text("\n".join(["Id,Label", *rows]) + "\n")
    np.save("scores.npy", np.arange(50) % 7)
    said = CliRunner().invoke(main, ["evaluate", "scores.npy", "--labels", "labels.csv"]).stdout
    assert "the scores name no video, so videos are taken in the order 1, 2, 3, 4, 5, 6, 7, 8, 9, 10" in said
