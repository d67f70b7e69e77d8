"""The registered model behind HTTP: the scores of `vad submit`, and one clear answer to whatever is wrong."""

import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import mlflow
import numpy as np
import pandas as pd
import pytest

from registry.models.pyfunc_model import EnsembleModel
from registry.models.versions import Versions
from tests.registry.conftest import LOOPBACK, listening
from vad.catalog import Named
from vad.data.tables import read_scores
from vad.detectors.member import Member
from vad.detectors.training.recipe import Training
from vad.errors import InputError
from vad.images.view import square
from vad.inputs import INPUTS
from vad.scoring.ensemble import Ensemble, save
from vad.scoring.pipeline import Stream, Variant
from vad.system.weights import save_tensors

COLUMNS = ["video", "frame", "image"]
EXAMPLE = Path(__file__).parents[2] / "docs" / "serve_example.py"
HUGE = (10_000, 10_000)


@dataclass
class Server:
    """A served model: what it said when it was ready, and how to ask it."""

    process: subprocess.Popen[str]
    said: str

    @property
    def port(self) -> int:
        return int(re.findall(r":(\d+)/", self.said)[0])

    def post(self, body: Any) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        text = body if isinstance(body, str) else json.dumps(body)
        connection.request("POST", "/invocations", text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read().decode()
        connection.close()
        return answer.status, content

    def scores(self, rows: list[list[Any]], **params: str) -> list[dict[str, Any]]:
        status, content = self.post({"dataframe_split": {"columns": COLUMNS, "data": rows}, "params": params})
        assert status == 200, content
        return json.loads(content)["predictions"]

    def of_child(self, file: str) -> str:
        """What the kernel says of the process of MLflow's server."""
        (child,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return Path(f"/proc/{child}/{file}").read_text()

    def memory(self) -> int:
        """Bytes that MLflow's server held at most so far."""
        return int(re.findall(r"VmHWM:\s+(\d+) kB", self.of_child("status"))[0]) * 1024


@pytest.fixture(scope="module")
def server(finished_folder, tmp_path_factory):
    """A server for the whole module; however its tests went, Ctrl-C must end it at once and leave nothing."""
    scratch = tmp_path_factory.mktemp("scratch")
    ours = {"OMP_NUM_THREADS": "1", "TMPDIR": str(scratch)}
    others = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "VAD_HOME")}
    process = subprocess.Popen(
        [sys.executable, "-m", "registry.cli", "serve"], cwd=finished_folder, env=others | ours, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        running = Server(process, process.stdout.readline())
        assert running.said, process.stderr.read()
        yield running
        os.killpg(process.pid, signal.SIGINT)  # the terminal's Ctrl-C: every process of the group gets it
        rest, errors = process.communicate(timeout=5)
        assert process.returncode == 0
        assert "Traceback" not in rest + errors
        assert list(scratch.iterdir()) == []
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", running.port)) != 0
    finally:
        process.kill()


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def rows_of(folder: Path, video: int) -> list[list[Any]]:
    files = sorted((folder / "data" / "Dataset" / "testing_videos" / f"{video:02d}").glob("*.jpg"))
    return [[video, number, encoded(path)] for number, path in enumerate(files)]


@pytest.fixture
def submitted(finished, tmp_path):
    """Scores of `vad submit` by frame id."""
    finished.done("submit", "--out", str(tmp_path / "out.csv"))
    index, values = read_scores(tmp_path / "out.csv")
    return dict(zip(index.ids, values, strict=True))


def agree(found: list[dict[str, Any]], submitted: dict[str, float]) -> None:
    expected = [submitted[f"{row['video']}_{row['frame']}"] for row in found]
    np.testing.assert_allclose([row["score"] for row in found], expected, rtol=0, atol=1e-9)


def test_a_video_scores_as_submit_scored_it_whoever_else_asks(finished, server, submitted):
    assert listening(server.port) == {LOOPBACK}
    assert re.match(
        r"model version 1 \(\w+ of tiny, made on data\): http://127.0.0.1:5[01]\d\d/invocations  \(Ctrl-C", server.said
    )
    requests = [rows_of(finished.folder, video) for video in (1, 2, 3)] * 2
    requests[1] = requests[1][::-1]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(server.scores, requests))
    for rows, found in zip(requests, answers, strict=True):
        assert [[row["video"], row["frame"]] for row in found] == [row[:2] for row in rows]
        agree(found, submitted)
    assert len({row["score"] for row in answers[0]}) > 3
    agree(server.scores(requests[2] + requests[0], normalization="stored"), submitted)
    alone = server.scores(requests[2], normalization="own")
    assert max(row["score"] for row in alone) == pytest.approx(1)
    wrapped = [[*row[:2], "\n".join(re.findall(".{1,76}", row[2]))] for row in requests[0]]
    agree(server.scores(wrapped), submitted)


def test_a_video_may_have_a_name(finished, server, submitted):
    rows = rows_of(finished.folder, 1) + rows_of(finished.folder, 2)
    named = [["gate morning" if video == 1 else "02", *rest] for video, *rest in rows]
    found = server.scores(named)
    assert [row["video"] for row in found] == ["gate morning"] * 10 + [2] * 10
    agree([{**row, "video": 1 if row["video"] == "gate morning" else 2} for row in found], submitted)


def test_a_request_may_take_an_hour_where_mlflow_alone_answers_504_after_a_minute(server):
    assert "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT=3600" in server.of_child("environ").split("\0")


def test_the_example_prints_the_scores(finished, server, submitted, tmp_path):
    frames = sorted((finished.folder / "data" / "Dataset" / "testing_videos" / "02").glob("*.jpg"))
    folder = tmp_path / "frames"
    folder.mkdir()
    for path in frames[:5]:  # of another format, with the same pixels
        cv2.imwrite(str(folder / f"{path.stem}.png"), cv2.imread(str(path)))
    for path in frames[5:]:
        shutil.copy(path, folder)
    address = f"http://127.0.0.1:{server.port}/invocations"
    command = [sys.executable, EXAMPLE, folder, "2", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = [dict(zip(("video", "frame", "score"), line.split(), strict=True)) for line in done.stdout.splitlines()]
    assert len(found) == 10
    agree([{**row, "score": float(row["score"])} for row in found], submitted)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_lines_of_shell_that_the_docs_show_give_the_scores(finished, server, submitted):
    lines = re.findall(r"```sh\n(.*?)```", (EXAMPLE.parent / "serving.md").read_text(), re.DOTALL)[1]
    lines = lines.replace(":5001/", f":{server.port}/").replace("video=8", "video=2")
    folder = finished.folder / "data" / "Dataset" / "testing_videos" / "02"
    done = subprocess.run(["sh", "-c", lines], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)["predictions"]
    assert len(found) == 10
    agree(found, submitted)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage: "),
        (["."], "usage: "),
        (["nowhere", "1"], "FOLDER=nowhere is not a folder"),
        ([".", "1"], "FOLDER=. holds no frame (.bmp"),
        (["frames", "1", "http://127.0.0.1:9/"], "http://127.0.0.1:9/ does not answer"),
        (["unnamed", "1"], "unnamed/still.jpg has no frame number"),
    ],
)
def test_the_example_says_what_is_wrong_in_a_line(tmp_path, arguments, said):
    for name in ("frames/1.jpg", "unnamed/still.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    command = [sys.executable, EXAMPLE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said) and done.stderr.count("\n") == 1


def _cell(column: int, value: Any):
    def change(body):
        body["dataframe_split"]["data"][1][column] = value

    return change


def _split(**changes: Any):
    return lambda body: body["dataframe_split"].update(changes)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _large(suffix: str) -> bytes:
    """A picture of a few hundred bytes whose header says that it has 100 million pixels."""
    small = cv2.imencode(suffix, np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    height, width = HUGE
    if suffix == ".png":
        return small[:16] + width.to_bytes(4) + height.to_bytes(4) + small[24:]
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + height.to_bytes(2) + width.to_bytes(2) + small[at + 4 :]


JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
WHERE = "row 1 (video 2, frame 1)"
WHOLE = "must be a whole number from 0 to 999,999,999"
NAME = "must be a whole number or a name in printable letters"
BAD = {
    "not base64": (_cell(2, "*" * 200), f"{WHERE}: the image is not base64"),
    "base64 cut off": (_cell(2, _text(JPEG)[:-3]), f"{WHERE}: the image is not base64"),
    "no image": (_cell(2, _text(b"text")), f"{WHERE} is not a JPEG, PNG, BMP, TIFF or WebP"),
    "another format": (_cell(2, _text(b"BM" + bytes(100))), f"{WHERE} is a damaged image"),
    "truncated": (_cell(2, _text(JPEG[:300])), f"{WHERE} is a damaged JPEG"),
    "damaged PNG": (_cell(2, _text(b"\x89PNG\r\n\x1a\n" + bytes(40))), f"{WHERE} is not a JPEG, PNG, BMP"),
    "empty": (_cell(2, ""), f"{WHERE} has an empty image"),
    "no image at all": (_cell(2, None), f"{WHERE}: the image is "),
    "a number for an image": (_cell(2, 5), f"{WHERE}: the image is 5, but must be base64 text"),
    "huge JPEG": (_cell(2, _text(_large(".jpg"))), f"{WHERE} is 10,000 x 10,000; an image may have"),
    "huge PNG": (_cell(2, _text(_large(".png"))), f"{WHERE} is not a JPEG, PNG, BMP"),
    "twice": (_cell(1, 0), "row 1: frame 2_0 appears twice"),
    "text for a frame": (_cell(1, "1"), f"row 1: frame is '1', but {WHOLE}"),
    "half a frame": (_cell(1, 0.5), f"row 1: frame is 0.5, but {WHOLE}"),
    "NaN": (_cell(1, float("nan")), f"row 1: frame is nan, but {WHOLE}"),
    "null": (_cell(0, None), f"row 1: video is nan, but {WHOLE}"),
    "negative": (_cell(0, -2), f"row 1: video is -2, but {WHOLE}"),
    "infinite": (_cell(0, float("inf")), f"row 1: video is inf, but {WHOLE}"),
    "an empty name": (_cell(0, " "), f"row 1: video is ' ', but {NAME}"),
    "a name of two lines": (_cell(0, "gate\n1"), f"row 1: video is 'gate\\n1', but {NAME}"),
    "true": (_cell(1, True), f"row 1: frame is True, but {WHOLE}"),
    "a list": (_cell(1, [1]), f"row 1: frame is [1], but {WHOLE}"),
    "beyond 64 bits": (_cell(1, 10**30), f"row 1: frame is 1{'0' * 30}, but {WHOLE}"),
    "a column less": (_split(columns=["video", "frame", "picture"]), "missing inputs ['image']"),
    "no rows": (_split(data=[]), "there are no rows; send at least one frame"),
    "no such normalization": (
        lambda body: body.update(params={"normalization": "best"}),
        'normalization must be "stored" or "own", not \'best\'',
    ),
    "a number for it": (lambda body: body.update(params={"normalization": 5}), "normalization"),
    "another form": (lambda body: body.update(dataframe_split=[1]), "Dataframe split format must be a dictionary"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_answered_by_a_message_that_names_the_row(server, case):
    change, message = BAD[case]
    body = {"dataframe_split": {"columns": COLUMNS, "data": [[2, n, _text(JPEG)] for n in range(3)]}, "params": {}}
    assert server.post(body)[0] == 200
    before = server.memory()
    change(body)
    status, content = server.post(body)
    assert status == 400, content
    answer = json.loads(content)
    assert message in answer["message"]
    assert "stack_trace" not in answer and "Traceback" not in content
    assert server.memory() - before < 100e6
    assert server.post("{no json")[0] == 400


def test_python_gets_the_same_message(finished):
    versions = Versions(finished.tracking())
    model = mlflow.pyfunc.load_model(versions.resolve("production").uri)
    table = pd.DataFrame([[2, n, JPEG] for n in range(3)], columns=COLUMNS, dtype=object)
    for case in ("not base64", "half a frame", "huge JPEG", "twice", "empty"):
        change, message = BAD[case]
        rows = table.values.tolist()
        change({"dataframe_split": {"data": rows}})
        with pytest.raises(InputError, match=re.escape(message)):
            model.predict(pd.DataFrame(rows, columns=COLUMNS))
    with pytest.raises(InputError, match="there is no column frame or image; a table has video, frame, image"):
        versions.load(versions.resolve("production")).predict(None, table[["video"]])


def test_too_few_frames_for_a_model_that_looks_at_several(tmp_path):
    recipe = Training("mse", "adam", 1e-3, 0.0, None, 1, None, 0.0, "best", "fp32", 4)
    member = Member("clips", "conv3d_ae", (("latent", 4),), INPUTS.named("clip", {"frames": 8}), square(16), 1, recipe)
    weights = tmp_path / "weights.safetensors"
    save_tensors(weights, member.build().state_dict(), {})
    streams = {"clips": Stream(("clips-1",), Named("max"), ())}
    made = Ensemble({"clips-1": member}, {"clips-1": weights}, streams, "clips", Variant("single", ("clips",)), {})
    save(made, tmp_path / "ensemble", {})
    model = EnsembleModel()
    model.load_context(SimpleNamespace(artifacts={"ensemble": str(tmp_path / "ensemble")}))
    table = pd.DataFrame([[video, n, JPEG] for video, count in ((1, 8), (2, 7)) for n in range(count)], columns=COLUMNS)
    assert np.isfinite(model.predict(None, table[table.video == 1])["score"]).all()
    with pytest.raises(
        mlflow.exceptions.MlflowException,
        match=r"frame 2_0 has no score: this model looks at several frames of a video at once \(video 2 has 7\).*; give more frames",
    ) as caught:
        model.predict(None, table)
    assert caught.value.get_http_status_code() == 400


def test_what_cannot_be_served_is_refused(workspace, finished):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} is taken; leave --port out" in finished.refused("serve", "--port", port)
    assert "MODEL=best: vad-ensemble has no such alias or version" in finished.refused("serve", "--model", "best")
    os.chdir(workspace.folder)
    assert "no model is registered yet" in workspace.refused("serve")
