"""`vad render`: a test video as a model sees it, read back as a player would."""

import csv
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from vad.scoring import render
from vad.scoring.render import Scene, write_movie

N, SIZE = 10, (640, 480 + 124)
BAR = slice(480 + 44, 480 + 108)


def _read(path: Path) -> np.ndarray:
    """The frames of a movie, (N, H, W, 3), BGR."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (found := capture.read())[0]:
        frames.append(found[1])
    return np.stack(frames)


def _cursor(frame: np.ndarray, height: int = 480) -> int:
    """The column of the white cursor: above the curve nothing else is white."""
    ends = frame[height + 38 : height + 43, 20:560].astype(int).min(axis=2)
    return 20 + int(ends.mean(axis=0).argmax())


def test_the_video_holds_every_frame_with_its_error_its_score_and_a_moving_cursor(finished, tmp_path, monkeypatch):
    drawn = []
    draw = Scene.draw

    def noted(self, position, frame, error):
        drawn.append((error, self._bar._scores[position]))
        return draw(self, position, frame, error)

    monkeypatch.setattr(Scene, "draw", noted)
    result = finished.vad("render", "01", "--data", "data", "--out", "seen.mp4", "--fps", "5")
    text = result.stdout
    assert re.search(r"score, ([23]) members +(\1)0 frames in ", result.stderr), "each scores all ten"
    assert f"wrote seen.mp4: {N} frames, {SIZE[0]} x {SIZE[1]}, " in text
    assert "by model version 1, " in text
    frames = _read(Path("seen.mp4"))
    assert frames.shape == (N, SIZE[1], SIZE[0], 3)
    assert cv2.VideoCapture("seen.mp4").get(cv2.CAP_PROP_FPS) == 5
    cursors = [_cursor(frame) for frame in frames]
    assert np.abs(np.diff(cursors) - np.diff(cursors).mean()).max() <= 1.5
    assert cursors[0] < 40 < 530 < cursors[-1]

    finished.done("submit", "--data", "data", "--out", str(tmp_path / "p.csv"))
    with (tmp_path / "p.csv").open() as file:
        submitted = [float(row["Predicted"]) for row in csv.DictReader(file)][:N]
    np.testing.assert_allclose([score for _, score in drawn], submitted, rtol=0, atol=1e-6)

    # The error is where the red box is, and the heat is where the error is.
    error = drawn[4][0]
    box = np.zeros(error.shape, bool)
    box[14:45, 5:25] = True  # of 64 x 64
    assert error[box].mean() > 5 * error[~box].mean()
    plain = cv2.imread("data/Dataset/testing_videos/01/frame_00004.jpg")
    change = np.abs(frames[4, :480].astype(int) - cv2.resize(plain, (640, 480), interpolation=cv2.INTER_CUBIC)).sum(2)
    spread = cv2.resize(error, (640, 480), interpolation=cv2.INTER_LINEAR)
    hot, cold = spread > np.quantile(spread, 0.95), spread < np.quantile(spread, 0.2)
    assert change[hot].mean() > 4 * change[cold].mean()
    # Labelled frames are shaded: orange in the strip before the cursor has come to them, nothing there in video 3.
    orange = frames[0][BAR, 250, 2].astype(int) - frames[0][BAR, 250, 0]
    assert np.median(orange) > 40 > 20 > np.median(frames[0][BAR, 500, 2].astype(int) - frames[0][BAR, 500, 0])


def test_what_cannot_be_rendered_is_said_in_a_line_and_nothing_is_left(finished, monkeypatch):
    for video in ("9", "-0", "one", "²"):
        assert f"VIDEO={video} is not a test video; there are 1, 2, 3" in finished.refused("render", "--", video)
    assert "OUT=seen.avi must end with .mp4" in finished.refused("render", "2", "--out", "seen.avi")
    Path("folder.mp4").mkdir(exist_ok=True)
    assert "OUT=folder.mp4 is a folder" in finished.refused("render", "2", "--out", "folder.mp4")
    assert "MODEL=77: vad-ensemble has no such alias or version" in finished.refused("render", "2", "--model", "77")
    monkeypatch.setattr(render, "CODECS", {"none": "Nothing"})
    message = finished.refused("render", "2", "--out", "new.mp4")
    assert "can write no video here (tried Nothing); reinstall opencv-python-headless by pip" in message
    assert not [name for name in finished.files() if "new.mp4" in name or name.startswith("renders")]


def test_heat_covers_what_is_wrong_and_leaves_the_rest_as_it_was():
    frame = np.full((360, 640, 3), (200, 100, 50), np.uint8)  # RGB
    error = np.zeros((64, 64), np.float32)
    error[16:32, 8:24] = 0.5
    scene = Scene(frame.shape, np.linspace(0, 1, 5), None, list("abcde"), "model v1, max", 0.5)
    picture = scene.draw(2, frame, error)
    assert picture.shape == (scene.size[1], scene.size[0], 3) == (484, 640, 3)
    changed = np.any(picture[:360] != (50, 100, 200), axis=2)
    assert changed[95:175, 85:235].all()
    assert not changed[:80].any() and not changed[190:].any() and not changed[:, 255:].any()
    assert picture[130, 160].min() > 100, "the hottest is bright"
    assert not np.any(scene.draw(2, frame, None)[:360] != (50, 100, 200))
    assert np.abs(_cursor(picture, 360) - (32 + 544) / 2) <= 1


def _pictures(count: int) -> list[np.ndarray]:
    """Each with a bright bar of its own."""
    pictures = np.full((count, 48, 64, 3), 40, np.uint8)
    for number, picture in enumerate(pictures):
        picture[:, number : number + 8] = 220
    return list(pictures)


@pytest.mark.parametrize("codecs", [render.CODECS, {"mp4v": "MPEG-4 part 2"}])
def test_frames_stay_in_order_over_parts_and_seeking_finds_them(tmp_path, monkeypatch, codecs):
    monkeypatch.setattr(render, "CODECS", codecs)
    monkeypatch.setattr(render, "_PART", 24)
    path = tmp_path / "new" / "m.mp4"
    assert write_movie(path, iter(_pictures(53)), (64, 48), 25) == next(iter(codecs.values()))
    frames = _read(path).mean(axis=(1, 3))
    assert len(frames) == 53
    for number, columns in enumerate(frames):
        assert abs(int(np.convolve(columns, np.ones(8), "valid").argmax()) - number) <= 1
    if "vp09" in codecs:
        packets = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        keys = []
        while packets.read()[0]:
            keys.append(packets.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) > 0)
        # A frame that says it is a key frame and is none breaks a browser's seeking.
        assert keys[0] and keys[24] and keys[48] and 5 <= sum(keys) <= 8
    assert [p.name for p in path.parent.iterdir()] == ["m.mp4"]


def test_a_failure_on_the_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.mp4"
    path.write_bytes(b"old")

    def breaking():
        yield from _pictures(30)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_movie(path, breaking(), (64, 48), 25)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
