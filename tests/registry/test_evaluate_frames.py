"""`vad evaluate` with scores of fewer frames than a video has, against labels in each form: no label moves to another frame."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import savemat
from sklearn.metrics import roc_auc_score

from registry.cli import main

LENGTHS = {"01_0014": 40, "01_0015": 30, "02_0003": 50}
LABELS = {name: (np.arange(count) >= 10) & (np.arange(count) < 20) for name, count in LENGTHS.items()}
OFFSET = 4


class Folder:
    """Labels of three videos in a form, and scores of all frames but the first four in the working folder."""

    def __init__(self):
        generator = np.random.default_rng(1)
        self.scores = {name: generator.random(len(flags)) + 0.3 * flags for name, flags in LABELS.items()}
        np.savez("w.npz", **{name: values[OFFSET:] for name, values in self.scores.items()})
        kept = [(flags[OFFSET:], self.scores[name][OFFSET:]) for name, flags in LABELS.items()]
        self.auc = roc_auc_score(*(np.concatenate(part) for part in zip(*kept, strict=True)))

    def numbered(self, frames, first=0):
        """A CSV of the scores of these frames."""
        rows = [
            f"{name}_{at + first},{values[at]}"
            for name, values in self.scores.items()
            for at in range(len(values))[frames]
        ]
        Path("w.csv").write_text("\n".join(["Id,Predicted", *rows]) + "\n")


def _npz():
    np.savez("gt.npz", **LABELS)
    return "gt.npz"


def _folder():
    Path("gt").mkdir()
    for name, flags in LABELS.items():
        np.save(f"gt/{name}.npy", flags.astype(int)[None])
    return "gt"


def _pixels():
    Path("gt").mkdir()
    for name, flags in LABELS.items():
        np.save(f"gt/{name}.npy", flags[:, None, None] * np.ones((1, 3, 4), np.uint8))
    return "gt"


def _masks():
    for name, flags in LABELS.items():
        folder = Path("masks") / f"{name}_gt"
        folder.mkdir(parents=True)
        for number, flag in enumerate(flags, 1):
            cv2.imwrite(str(folder / f"{number:03d}.png"), np.full((3, 4), 255 * int(flag), np.uint8))
    return "masks"


def _mat():
    cells = np.empty((1, 3), object)
    for at in range(3):
        cells[0, at] = np.array([[11], [20]])
    savemat("set.mat", {"gt": cells})
    return "set.mat"


def _table():
    Path("intervals.csv").write_text("video,start,end\n" + "".join(f"{name},10,19\n" for name in LABELS))
    return "intervals.csv"


def _annotations():
    Path("annotations.txt").write_text("".join(f"{name}.mp4  Abuse  11  20  -1  -1\n" for name in LABELS))
    return "annotations.txt"


def _avenue():
    Path("avenue").mkdir()
    for name, flags in LABELS.items():
        cells = np.empty((1, len(flags)), object)
        for at, flag in enumerate(flags):
            cells[0, at] = np.full((3, 4), int(flag), np.uint8)
        savemat(f"avenue/{list(LABELS).index(name) + 1}_label.mat", {"volLabel": cells})
    return "avenue"


def _one_list():
    np.save("all.npy", np.concatenate(list(LABELS.values())))
    return "all.npy"


BY_VIDEO = [_npz, _folder, _pixels, _masks]
FORMS = [*BY_VIDEO, _mat, _table, _annotations, _one_list]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Folder()


def vad(*arguments):
    return CliRunner().invoke(main, ["evaluate", *arguments, "--json"], catch_exceptions=False)


def figures(*arguments):
    result = vad(*arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments):
    result = vad(*arguments)
    assert result.exit_code == 2, result.output
    return result.stderr


@pytest.mark.parametrize("form", FORMS)
def test_the_offset_holds_for_every_form_of_labels(folder, form):
    found = figures("w.npz", "--labels", form(), "--offset", str(OFFSET), "--missing", "drop")
    assert (found["auc"], found["frames"]) == (folder.auc, 108)
    assert "12 frames without a score (videos 01_0014, 01_0015, 02_0003: the first 4)" in found["protocol"]["frames"]


@pytest.mark.parametrize("form", [_mat, _table, _annotations])
def test_one_score_in_four_stands_for_four_frames_where_labels_have_no_end(folder, form):
    np.savez("e.npz", **{name: values[1::4] for name, values in folder.scores.items()})
    found = figures("e.npz", "--labels", form(), "--offset", "1", "--every", "4", "--missing", "edge")
    assert found["frames"] == 40 + 32 + 52
    assert found["protocol"]["frames"].endswith(
        "; the labels do not say how long a video is, so each ends with its last score"
    )


@pytest.mark.parametrize("form", BY_VIDEO)
def test_labels_by_video_say_how_long_each_is(folder, form):
    labels = form()
    said = refused("w.npz", "--labels", labels)
    assert "w.npz scores fewer frames than have labels: video 01_0014 36 of 40" in said and "--offset N" in said
    np.save("s.npy", np.concatenate(list(folder.scores.values())))
    expected = roc_auc_score(*(np.concatenate(list(of.values())) for of in (LABELS, folder.scores)))
    assert figures("s.npy", "--labels", labels)["auc"] == expected
    folder.numbered(slice(OFFSET, None))
    assert "12 missing (01_0014_0, 01_0014_1, 01_0014_2, ...) of 120 frames" in refused("w.csv", "--labels", labels)
    assert figures("w.csv", "--labels", labels, "--missing", "drop")["auc"] == folder.auc
    folder.numbered(slice(OFFSET, None), first=1)
    assert figures("w.csv", "--labels", labels, "--missing", "drop")["auc"] == folder.auc


@pytest.mark.parametrize("form", [*BY_VIDEO, _mat, _annotations])
def test_numbers_that_leave_the_first_frame_open_are_refused(folder, form):
    """Without the first four and the last three frames it is not clear what the first number is."""
    labels = form()
    for first in (0, 1):
        folder.numbered(slice(OFFSET, -3), first)
        said = refused("w.csv", "--labels", labels, "--missing", "drop")
        assert f"the scores begin at frame {OFFSET + first}, so it is not clear which frame the first label in" in said
        assert "give --first-frame 0 or --first-frame 1, or the data set, --data FOLDER" in said
        kept = [(LABELS[name][OFFSET:-3], values[OFFSET:-3]) for name, values in folder.scores.items()]
        expected = roc_auc_score(*(np.concatenate(part) for part in zip(*kept, strict=True)))
        found = figures("w.csv", "--labels", labels, "--missing", "drop", "--first-frame", str(first))
        assert found["auc"] == expected


@pytest.mark.parametrize("form", [_mat, _annotations])
def test_frames_are_taken_to_be_numbered_from_1_where_there_is_no_0_which_is_told(folder, form):
    """As of UCSD's clips, which begin in the middle, each at another frame."""
    labels = form()
    folder.numbered(slice(OFFSET, None), first=1)
    rows = [row for row in Path("w.csv").read_text().splitlines() if not row.startswith("01_0014_5,")]
    Path("w.csv").write_text("\n".join(rows) + "\n")
    kept = [
        (LABELS[name][(begin := OFFSET + (name == "01_0014")) :], values[begin:])
        for name, values in folder.scores.items()
    ]
    expected = roc_auc_score(*(np.concatenate(part) for part in zip(*kept, strict=True)))
    found = figures("w.csv", "--labels", labels)
    assert found["auc"] == expected
    told = "the scores have no frame 0, so frames are taken to be numbered from 1 (if from 0: --first-frame 0)"
    assert found["protocol"]["frames"] == told
    folder.numbered(slice(OFFSET, None))
    assert figures("w.csv", "--labels", labels, "--first-frame", "0")["auc"] == folder.auc


def test_masks_of_a_clip_that_begins_in_the_middle(folder):
    """As UCSD's: frames and masks have the same numbers, of the part that is there."""
    labels = _masks()
    folder.numbered(slice(None), first=1)
    rows = Path("w.csv").read_text().splitlines()
    gone = [(name, number) for begin, name in enumerate(LABELS, 3) for number in range(1, begin)]
    for name, number in gone:
        Path(f"masks/{name}_gt/{number:03d}.png").unlink()
        rows = [row for row in rows if not row.startswith(f"{name}_{number},")]
    Path("w.csv").write_text("\n".join(rows) + "\n")
    kept = [(LABELS[name][begin:], values[begin:]) for begin, (name, values) in enumerate(folder.scores.items(), 2)]
    found = figures("w.csv", "--labels", labels)
    assert found["auc"] == roc_auc_score(*(np.concatenate(part) for part in zip(*kept, strict=True)))
    assert found["frames"] == 120 - len(gone)


def test_a_labelled_video_without_scores_is_named(folder):
    np.savez("s.npz", **{name: values for name, values in folder.scores.items() if name != "01_0015"})
    assert "video 01_0015: all 30 frames" in refused("s.npz", "--labels", _npz())
    assert figures("s.npz", "--labels", "gt.npz", "--missing", "drop")["frames"] == 90


def test_boxes_are_counted_from_1_as_published(folder):
    """Street Scene's frames begin at 1."""
    Path("boxes").mkdir()
    for name in LABELS:
        Path(f"boxes/{name}_gt.txt").write_text("".join(f"{number:03d}.jpg 1 2 3 4 5\n" for number in range(11, 21)))
    found = figures("w.npz", "--labels", "boxes", "--offset", str(OFFSET), "--missing", "drop")
    assert found["auc"] == folder.auc


@pytest.mark.parametrize("form", [*FORMS, _avenue])
@pytest.mark.parametrize("order", [["s.npz", "w.npz"], ["w.npz", "s.npz"]])
def test_an_offset_is_of_the_file_that_lacks_frames(folder, form, order):
    names = ["1", "2", "3"] if form is _avenue else list(LABELS)
    np.savez("s.npz", **dict(zip(names, folder.scores.values(), strict=True)))
    np.savez("w.npz", **{name: values[OFFSET:] for name, values in np.load("s.npz").items()})
    found = figures(*order, "--labels", form(), "--offset", str(OFFSET), "--missing", "drop")
    assert found["a"]["auc"] == found["b"]["auc"] == folder.auc


@pytest.mark.parametrize("first", [0, 1])
def test_intervals_by_number_say_which_frame_a_list_begins_with(folder, first):
    np.savez("s.npz", **{name: flags + np.arange(len(flags)) / 1000 for name, flags in LABELS.items()})
    Path("i.csv").write_text("video,start,end\n" + "".join(f"{name},{10 + first},{19 + first}\n" for name in LABELS))
    found = figures("s.npz", "--labels", "i.csv", "--first-frame", str(first))
    assert found["auc"] == 1
    assert (
        f"the first score of a video is taken for frame {first} (if for {1 - first}: --first-frame"
        in found["protocol"]["frames"]
    )
    assert (figures("s.npz", "--labels", "i.csv")["auc"] == 1) == (first == 0)
