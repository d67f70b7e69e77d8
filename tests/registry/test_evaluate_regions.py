"""`vad evaluate --maps --masks`: pixel AUC, RBDC and TBDC at the command line, and what is refused."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import savemat

from registry.cli import main
from vad.measures.regions import Truth, region_measures

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "ped2"
FRAMES = 12


class Folder:
    """Two videos of 12 frames, 24 x 16: a box walks through frames 3 to 8 of the first, two stand in 5 to 6 of the second."""

    def __init__(self):
        self.masks = {video: np.zeros((FRAMES, 16, 24), bool) for video in ("01", "02")}
        for frame in range(3, 9):
            self.masks["01"][frame, 2:7, frame : frame + 6] = True
        self.masks["02"][5:7, 1:5, 1:5] = self.masks["02"][5:7, 9:14, 15:22] = True
        rows = [(f"{int(v)}_{f}", self.masks[v][f].any()) for v in self.masks for f in range(FRAMES)]
        Path("labels.csv").write_text("Id,Label\n" + "".join(f"{name},{int(label)}\n" for name, label in rows))
        generator = np.random.default_rng(3)
        Path("p.csv").write_text("Id,Predicted\n" + "".join(f"{name},{generator.random()!r}\n" for name, _ in rows))
        self.images("masks")
        self.save_maps(self.masks)

    def images(self, root):
        for video, masks in self.masks.items():
            folder = Path(root) / f"Test0{video}_gt"
            folder.mkdir(parents=True, exist_ok=True)
            for frame, mask in enumerate(masks, 1):
                cv2.imwrite(str(folder / f"frame{frame}.png"), mask * np.uint8(255))

    def save_maps(self, maps, **changed):
        np.savez("maps.npz", **{name: value.astype(np.float32) for name, value in maps.items()} | changed)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Folder()


def vad(*arguments):
    given = ["evaluate", "p.csv", "--labels", "labels.csv", "--maps", "maps.npz", *arguments]
    given += [] if {"--masks", "--data"} & {*arguments} or not Path("masks").exists() else ["--masks", "masks"]
    return CliRunner().invoke(main, given, catch_exceptions=False)


def figures(*arguments):
    result = vad(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments):
    result = vad(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("Error") == 1 and "Traceback" not in result.output
    return result.stderr


def test_perfect_maps_have_1_everywhere(folder):
    found = figures()
    assert [found[key] for key in ("rbdc", "tbdc", "pixel_auc", "pixel_criterion_auc")] == [1, 1, 1, 1]
    assert (found["region_curve"]["regions"], found["region_curve"]["tracks"]) == (10, 3)
    text = vad().stdout
    assert "RBDC        1.0000  (10 regions)" in text
    assert "TBDC        1.0000  (3 tracks)" in text
    assert "pixel AUC   1.0000  (all pixels; 1.0000 by frames of which 40 % are found)" in text
    assert "regions linked by overlap from frame to frame, as no file of tracks is given" in text


def test_maps_that_find_nothing_have_0(folder):
    folder.save_maps({video: 0 * masks for video, masks in folder.masks.items()})
    found = figures()
    assert (found["rbdc"], found["tbdc"], found["pixel_auc"]) == (0, 0, 0.5)


def test_tracks_of_files_take_the_place_of_overlap(folder):
    Path("tracks").mkdir()
    walk = [f"1,{frame},{frame},2,{frame + 6},7" for frame in range(3, 9)]
    Path("tracks/01.txt").write_text("\n".join(walk))
    stand = [f"{track} {frame} {box}" for frame in (5, 6) for track, box in ((4, "1 1 5 5"), (4, "15 9 22 14"))]
    Path("tracks/02.txt").write_text("\n".join(stand))
    found = figures("--tracks", "tracks")
    assert (found["rbdc"], found["tbdc"], found["region_curve"]["tracks"]) == (1, 1, 2)
    assert found["protocol"]["tracks"].startswith("2 tracks: those of the files;")
    maps = {"01": 0 * folder.masks["01"], "02": folder.masks["02"]}
    folder.save_maps(maps)
    found = figures("--tracks", "tracks")
    assert (found["rbdc"], found["tbdc"]) == (0.4, 0.5)


@pytest.mark.parametrize("published", [True, False])
def test_tracks_are_enough_without_masks(folder, published):
    """As Street Scene has them: boxes `frame track x y w h`, frames from 1. Videos without an anomaly need no file."""
    noise = np.random.default_rng(1)
    folder.masks["03"] = np.zeros((FRAMES, 16, 24), bool)
    folder.save_maps({video: 0.3 * masks + noise.random(masks.shape) for video, masks in folder.masks.items()})
    folder.images("masks")
    for file, value in (("labels.csv", 0), ("p.csv", 0.5)):
        Path(file).write_text(Path(file).read_text() + "".join(f"3_{frame},{value}\n" for frame in range(FRAMES)))
    boxes = {"01": [(1, frame, frame, 2, 6, 5) for frame in range(3, 9)]}
    boxes["02"] = [(track, frame, *box) for frame in (5, 6) for track, box in ((4, (1, 1, 4, 4)), (5, (15, 9, 7, 5)))]
    Path("tracks").mkdir()
    for video, rows in boxes.items():
        if published:
            (clip := Path(f"tracks/Test0{video}")).mkdir()
            lines = [f"{frame + 1:03d}.jpg {track} {x} {y} {w} {h}" for track, frame, x, y, w, h in rows]
            (clip / f"Test0{video}_gt.txt").write_text("\n".join(lines) + "\n")
        else:
            lines = [f"{track},{frame},{x},{y},{x + w},{y + h}" for track, frame, x, y, w, h in rows]
            Path(f"tracks/{video}.txt").write_text("\n".join(lines) + "\n")
    expected = figures("--tracks", "tracks")
    shutil.rmtree("masks")
    found = figures("--tracks", "tracks")
    assert 0 < found["rbdc"] < 1 and found["region_curve"] == expected["region_curve"]
    assert (found["pixel_auc"], found["protocol"]["pixels"]) == (None, "not measured without --masks")
    assert (
        found["protocol"]["maps"]
        == "maps.npz against tracks: 3 videos, 36 frames; 0 labelled videos without maps left out"
    )
    assert "pixel AUC   -\n" in vad("--tracks", "tracks").stdout


def test_tracks_without_masks_are_in_pixels_of_the_frames(folder):
    """Maps are smaller than frames, as a rule: the data set says how large these are."""
    Path("tracks").mkdir()
    for video, masks in folder.masks.items():
        rows = [
            (frame, *cv2.boundingRect(cv2.findNonZero(mask.astype(np.uint8))))
            for frame, mask in enumerate(masks)
            if mask.any()
        ]
        lines = [f"1,{frame},{4 * x},{4 * y},{4 * (x + w)},{4 * (y + h)}" for frame, x, y, w, h in rows]
        Path(f"tracks/{video}.txt").write_text("\n".join(lines))
        for half in ("train", "test"):
            (clip := Path("data") / half / video).mkdir(parents=True)
            for frame in range(FRAMES):
                cv2.imwrite(str(clip / f"{frame}.png"), np.full((64, 96), frame + 40 * (half == "test"), np.uint8))
    shutil.rmtree("masks")
    said = refused("--tracks", "tracks")
    assert "but frames are 24 x 16; tracks are in pixels of the frames: give --data FOLDER, or --masks" in said
    found = figures("--tracks", "tracks", "--data", "data", "--labels", str(Path("labels.csv").resolve()))
    assert found["region_curve"]["region_rate"][0] >= 6 / 8
    Path("tracks/02.txt").unlink()
    said = refused("--tracks", "tracks", "--data", "data")
    assert "--tracks tracks has no file for video 2, which has anomalous frames; give one" in said


def test_the_values_of_masks_are_tracks_where_asked(folder):
    masks = {video: masks.astype(np.uint8) for video, masks in folder.masks.items()}
    masks["01"] *= 3
    masks["02"][:, 9:14, 15:22] *= 7
    masks["02"][9, 0:2, 0:2] = 7  # the track returns, where overlap would begin another
    folder.masks = masks
    Path("arrays").mkdir()
    for video in masks:
        np.save(f"arrays/{video}.npy", masks[video])
    folder.save_maps({"01": masks["01"] * 0, "02": masks["02"] == 7})
    found = figures("--masks", "arrays", "--tracks", "values")
    assert (found["region_curve"]["regions"], found["region_curve"]["tracks"]) == (11, 3)
    assert (found["rbdc"], found["tbdc"]) == (pytest.approx(3 / 11), pytest.approx(1 / 3))
    assert found["protocol"]["tracks"].startswith("3 tracks: the values of masks;")


def test_masks_as_arrays_and_as_avenues_files_are_the_same(folder):
    Path("arrays").mkdir()
    Path("avenue").mkdir()
    for video, masks in folder.masks.items():
        np.save(f"arrays/{video}.npy", masks)
        cells = np.empty((1, FRAMES), object)
        for frame, mask in enumerate(masks):
            cells[0, frame] = mask.astype(np.uint8)
        savemat(f"avenue/{int(video)}_label.mat", {"volLabel": cells})
    noise = np.random.default_rng(1)
    folder.save_maps({video: masks + noise.random(masks.shape) for video, masks in folder.masks.items()})
    expected = {**figures(), "protocol": None}
    for masks in ("arrays", "avenue"):
        assert {**figures("--masks", masks), "protocol": None} == expected


def test_videos_without_masks_are_left_out_and_that_is_said(folder):
    for image in Path("masks/Test002_gt").iterdir():
        image.unlink()
    found = figures()
    assert found["region_curve"]["regions"] == 6
    assert "1 video, 12 frames; 1 labelled video without masks left out" in found["protocol"]["maps"]


def test_masks_of_training_videos_are_passed_over_and_that_is_said(folder):
    shutil.copytree("masks/Test001_gt", "masks/other_gt")
    found = figures()
    assert found["rbdc"] == 1
    assert found["protocol"]["maps"].endswith("masks of 1 video without labels passed over")


def test_masks_that_contradict_the_labels_are_told(folder):
    assert "agreement" not in figures()["protocol"]
    Path("masks/Test001_gt").rename("masks/a")
    Path("masks/Test002_gt").rename("masks/Test001_gt")
    Path("masks/a").rename("masks/Test002_gt")
    assert figures()["protocol"]["agreement"] == "masks and labels differ in 8 frames: 1 (4), 2 (4)"


@pytest.mark.parametrize("maps", ["of every frame", "of scored frames"])
def test_frames_without_a_score_are_left_out_of_regions_too(folder, maps):
    """Every second frame has a score; the maps of the others would cost both measures."""
    rows = Path("p.csv").read_text().splitlines()
    Path("p.csv").write_text("\n".join([rows[0], *rows[1::2]]) + "\n")
    full = {name: masks.astype(float) for name, masks in folder.masks.items()}
    for masks in full.values():
        masks[1::2] = 1 - masks[1::2]
    folder.save_maps(full if maps == "of every frame" else {name: masks[::2] for name, masks in full.items()})
    found = figures("--missing", "drop")
    assert (found["rbdc"], found["tbdc"], found["pixel_auc"], found["region_curve"]["frames"]) == (1, 1, 1, 12)
    assert found["region_curve"]["regions"] == 3 + 2
    if maps == "of every frame":
        assert figures("--missing", "edge")["rbdc"] < 1
    else:
        assert "video 1 has 6 maps, but 12 labelled frames" in refused("--missing", "edge")


def test_frames_beside_the_masks_are_no_masks(folder):
    frames = Path("masks/Test001")
    frames.mkdir()
    cv2.imwrite(str(frames / "001.png"), np.full((16, 24), 200, np.uint8))
    assert figures()["rbdc"] == 1


def test_a_map_for_too_few_frames_or_none_at_all(folder):
    folder.save_maps(folder.masks, **{"02": folder.masks["02"][1:].astype(float)})
    fix = "give one for each, or with --missing drop one for each scored frame"
    assert f"--maps maps.npz: video 2 has 11 maps, but 12 labelled frames; {fix}" in refused()
    np.savez("maps.npz", **{"1": folder.masks["01"].astype(float)})
    assert "--maps maps.npz has no maps of video 2, which has masks" in refused()
    folder.save_maps(folder.masks, **{"7": folder.masks["02"].astype(float)})
    assert "maps.npz has a video '7', which has no labels" in refused()
    folder.save_maps({"01": folder.masks["01"][0], "02": folder.masks["02"]})
    assert "the maps of video 01 are float32 of 16 x 24; give numbers of (N, h, w), a map a frame" in refused()
    np.savez("maps.npz", **{"01": np.array([None]), "02": np.array([None])})
    assert "maps.npz: the maps of video 01 cannot be read" in refused()
    Path("maps.npz").write_text("text")
    assert "maps.npz" in refused()


def test_masks_of_another_size_or_number(folder):
    cv2.imwrite("masks/Test001_gt/frame5.png", np.zeros((8, 8), np.uint8))
    assert "frame5.png is a mask of 8 x 8, but frame1.png is one of 24 x 16" in refused()
    Path("masks/Test001_gt/frame5.png").unlink()
    fix = "give one for each, or are these masks of another set?"
    assert f"--masks masks: video 1 has 11 masks, but 12 labelled frames; {fix}" in refused()
    Path("masks/Test001_gt/frame5.png").write_text("text")
    assert "frame5.png is not a JPEG, PNG, BMP, TIFF or WebP; restore or remove it" in refused()
    assert "--masks nowhere is not a folder" in refused("--masks", "nowhere")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,3,3,2,9\n", "tracks/01.txt, line 1: '1,3,3,2,9' is not a row of track, frame, left, top, right, bottom"),
        ("1,3.5,3,2,9,7\n", "is not a row of track, frame, left, top, right, bottom"),
        ("1,1_0,3,2,9,7\n", "is not a row of track, frame, left, top, right, bottom"),
        ("1,3,9,2,3,7\n", "is not a row of track, frame, left, top, right, bottom"),
        (
            "1,3,3,2,9,7\n1,12,3,2,9,7\n",
            "video 1 has a track in frame 12, but the video has 12 frames; frames are counted from 0",
        ),
    ],
)
def test_tracks_that_do_not_fit(folder, rows, message):
    Path("tracks").mkdir()
    Path("tracks/01.txt").write_text(rows)
    Path("tracks/02.txt").write_text("1,5,1,1,5,5\n")
    assert message in refused("--tracks", "tracks")


def test_tracks_of_unknown_videos_and_of_too_few(folder):
    Path("tracks").mkdir()
    Path("tracks/01.txt").write_text("1,5,1,1,5,5\n")
    assert "--tracks tracks has no file for video 2, whose masks are not empty; give one" in refused(
        "--tracks", "tracks"
    )
    Path("tracks/09.txt").write_text("1,5,1,1,5,5\n")
    assert "tracks has a video '09', which has no labels; the labelled videos are 1, 2" in refused("--tracks", "tracks")


def test_maps_and_masks_belong_together(folder):
    given = ["evaluate", "p.csv", "--labels", "labels.csv"]
    for more in (["--maps", "maps.npz"], ["--masks", "masks"], ["--tracks", "masks"]):
        result = CliRunner().invoke(main, [*given, *more])
        assert result.exit_code == 2 and "need --maps, and --masks or --tracks FOLDER" in result.stderr
    values = CliRunner().invoke(main, [*given, "--maps", "maps.npz", "--tracks", "values"])
    assert values.exit_code == 2 and "need --maps, and --masks or --tracks FOLDER" in values.stderr
    two = CliRunner().invoke(main, [*given, "p.csv", "--maps", "maps.npz", "--masks", "masks"])
    assert two.exit_code == 2 and "--maps belongs to one file of scores" in two.stderr


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data/ped2")
def test_the_published_masks_of_ped2(tmp_path, monkeypatch):
    """Maps of a quarter of the masks' size, made of the masks themselves, find nearly all."""
    monkeypatch.chdir(tmp_path)
    maps = {}
    for folder in sorted((SHARED / "masks").iterdir()):
        images = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(folder.iterdir())]
        maps[folder.name[4:7]] = np.stack([cv2.resize(i, (90, 60), interpolation=cv2.INTER_AREA) for i in images])
    labels = (SHARED / "labels.csv").read_text()
    Path("p.csv").write_text(labels.replace("Label", "Predicted"))
    np.savez("maps.npz", **{name: (value > 127).astype(np.uint8) for name, value in maps.items()})
    given = [
        "evaluate",
        "p.csv",
        "--labels",
        str(SHARED / "labels.csv"),
        "--maps",
        "maps.npz",
        "--masks",
        str(SHARED / "masks"),
        "--json",
    ]
    found = json.loads(CliRunner().invoke(main, given, catch_exceptions=False).stdout)
    assert found["rbdc"] > 0.98 and found["tbdc"] > 0.99 and found["pixel_auc"] > 0.95
    assert found["region_curve"]["frames"] == 2010


def test_a_video_without_regions_counts_its_false_ones():
    maps = np.zeros((4, 8, 8), np.float32)
    maps[:2, 2:4, 2:4] = 1
    empty = Truth((np.zeros((0, 4)),) * 4, (np.zeros(0, np.int64),) * 4)
    found = region_measures([lambda: maps], [empty])
    assert (found.false_a_frame, found.rbdc, found.tbdc, found.tracks) == ((0.5,), 0, 0, 0)
