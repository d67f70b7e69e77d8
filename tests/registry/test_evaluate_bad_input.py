"""`vad evaluate` refuses what does not fit by one message with file, video and fix, and is quick with much."""

import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import savemat

from registry.cli import main
from tests.registry.scored import LENGTHS, Folder, done, refused
from vad.measures import metrics


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Folder()


def _pickle(folder):
    np.save("s.npy", np.array([[1.0], [2.0, 3.0]], object), allow_pickle=True)


def _other_pickle(folder):
    Path("s.pkl").write_bytes(pickle.dumps({"1": [0.5]}))


def _other_length(folder):
    np.save("s.npy", np.append(folder.scores, 0.5))


def _per_video(**changed):
    def write(folder):
        np.savez("s.npz", **({str(video): folder.of(video) for video in LENGTHS} | changed))

    return write


BAD = {
    "pickle": ("s.npy", _pickle, "s.npy is a Python pickle, which can run code when it is read, so it is not; save numbers: numpy.save(file, values)"),
    "pickle of another name": ("s.pkl", _other_pickle, "s.pkl is a Python pickle, which can run code when it is read, so it is not; save numbers: numpy.save(file, values)"),
    "too long": ("s.npy", _other_length, "s.npy is one list of 146 scores for 145 labelled frames of 4 videos; are the labels of another set?"),
    "one video too long": ("s.npz", _per_video(**{"2": np.ones(31)}), "s.npz has 31 scores of video 2, which has 30 labelled frames; are the labels of another set?"),
    "unknown video": ("s.npz", _per_video(**{"9": np.ones(3)}), "s.npz has a video '9', which has no labels; the labelled videos are 1, 2, 3, 4"),
    "zeros that differ": ("s.npz", _per_video(**{"01": np.ones(40)}), "s.npz: '1' and '01' are both video 1; keep one"),
    "nan": ("s.npz", _per_video(**{"3": np.full(50, np.nan)}), "s.npz: 3: score 0 (the first is 0) is nan; it must be finite"),
    "text array": ("s.npz", _per_video(**{"3": np.array(["a"])}), "s.npz: 3 holds <U1, not numbers; give one score a frame"),
    "matrix": ("s.npy", lambda f: np.save("s.npy", np.ones((5, 29))), "s.npy: s is an array of 5 x 29; give one score a frame, as (N,) or (1, N)"),
    "empty": ("s.npz", lambda f: np.savez("s.npz"), "s.npz holds no array"),
    "no zip": ("s.npz", lambda f: Path("s.npz").write_text("text"), "s.npz"),
    "cut off": ("s.npy", lambda f: (np.save("s.npy", f.scores), Path("s.npy").write_bytes(Path("s.npy").read_bytes()[:-9])), "s.npy is not a readable file of arrays"),
    "text with a word": ("s.txt", lambda f: Path("s.txt").write_text("0.5\nhigh\n"), "s.txt, line 2: 'high' is no finite number; write one score a line"),
    "mat of two": ("s.mat", lambda f: savemat("s.mat", {"a": f.scores, "b": f.scores}), "s.mat must hold one variable, numbers or a cell for each video; it holds a, b"),
    "text of another reading": ("s.txt", lambda f: Path("s.txt").write_text("0.5\n1_0\n"), "s.txt, line 2: '1_0' is no finite number; write one score a line"),
    "text of other digits": ("s.txt", lambda f: Path("s.txt").write_text("0.5\n１\n"), "s.txt, line 2: '１' is no finite number; write one score a line"),
    "mat of version 7.3": ("s.mat", lambda f: Path("s.mat").write_bytes(bytes(512) + b"\x89HDF\r\n\x1a\n"), "s.mat is a MATLAB file of version 7.3 (HDF5); save it in MATLAB with -v7"),
    "pointer of Git LFS": ("s.csv", lambda f: Path("s.csv").write_text("version https://git-lfs.github.com/spec/v1\n"), "s.csv is a Git LFS pointer, not the file itself; run `git lfs pull`"),
    "mat of nothing": ("s.mat", lambda f: Path("s.mat").write_text("text"), "s.mat is not a MATLAB file (version 5 to 7) that can be read: its header is none; save it with -v7"),
    "empty folder": ("s", lambda f: Path("s").mkdir(), "s holds no scores; give a CSV (Id,Predicted), .npy, .npz, .mat"),
    "shifted by one": ("s.csv", lambda f: Path("s.csv").write_text("Id,Predicted\n" + "".join(f"{v}_{n + 1},0.5\n" for v in LENGTHS for n in range(LENGTHS[v]))), "s.csv: 1 frame of video 1 has no label (1_40); is it shifted by one? Then subtract 1 from its numbers"),
    "frames of another set": ("s.csv", lambda f: Path("s.csv").write_text("Id,Predicted\n1_0,0.1\n1_77,0.2\n"), "s.csv: 1 frame of video 1 has no label (1_77)"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_scores_that_do_not_fit_are_refused_by_file_video_and_fix(folder, case):
    name, write, message = BAD[case]
    write(folder)
    before = set(Path().iterdir())
    assert message in refused(name, "--plot", "curves.png")
    assert set(Path().iterdir()) == before, "nothing is half written"


@pytest.mark.parametrize("name", ["curves.jpg", "curves", "curves.png.svg"])
def test_a_picture_that_is_no_png_is_refused_before_the_work(folder, name):
    assert f"--plot {name}: pictures are written as PNG; name a file that ends with .png" in refused(
        "p.csv", "--plot", name
    )
    assert not Path(name).exists()


@pytest.mark.parametrize("given", [("--offset", "3"), ("--every", "2")])
def test_scores_of_all_frames_leave_out_none(folder, given):
    np.savez("s.npz", **{str(v): folder.scores[folder.video == v] for v in LENGTHS})
    np.save("s.npy", folder.scores)
    said = "--offset and --every are for a list without frame numbers that scores fewer frames than have labels"
    for names in (["s.npz"], ["s.npy"], ["p.csv"], ["p.csv", "s.npz"]):
        assert f"{' and '.join(names)}: {said}; leave them out" in refused(*names, *given)
        assert "Error" not in done(*names, "--offset", "0")


@pytest.mark.parametrize("option", ["--fps", "--false-alarms"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_an_option_that_is_no_number_is_named(folder, option, value):
    result = CliRunner().invoke(main, ["evaluate", "p.csv", "--labels", "labels.csv", option, value])
    assert result.exit_code == 2 and f"Invalid value for '{option}': {value}" in result.stderr


def test_all_scored_frames_of_one_kind(folder):
    folder.write("p.csv", "Predicted", folder.scores, ~folder.labels)
    assert "p.csv: all frames that have a score are of one kind" in refused("p.csv", "--missing", "drop")


def test_ten_thousand_videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ids = [(video, frame) for video in range(1, 10_001) for frame in range(3)]
    Path("labels.csv").write_text("Id,Label\n" + "".join(f"{v}_{f},{int(f == v % 4)}\n" for v, f in ids))
    np.save("s.npy", np.random.default_rng(0).random(len(ids)))
    text = done("s.npy")
    assert "the 30 with the lowest AUC of 10,000; --json has all" in text
    assert len(text.splitlines()) < 70


def test_a_hundred_thousand_frames_take_less_than_three_seconds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(metrics, "RESAMPLES", 1000)
    generator = np.random.default_rng(0)
    rows = [(f"{v}_{f}", int(500 <= f < 900), generator.random()) for v in range(1, 51) for f in range(2000)]
    Path("labels.csv").write_text("Id,Label\n" + "".join(f"{name},{label}\n" for name, label, _ in rows))
    Path("p.csv").write_text(
        "Id,Predicted\n" + "".join(f"{name},{label / 3 + noise!r}\n" for name, label, noise in rows)
    )
    started = time.process_time()
    assert "macro AUC" in done("p.csv")
    assert time.process_time() - started < 3
