"""What a served model is asked: a finite score for every row, or one error that names the row."""

import base64
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.models.pyfunc_model import EnsembleModel
from vad.catalog import Named
from vad.detectors.member import Member
from vad.detectors.training.recipe import Training
from vad.images.view import square
from vad.inputs import INPUTS
from vad.scoring.ensemble import Ensemble, save
from vad.scoring.pipeline import Stream, Variant
from vad.system.weights import save_tensors

RECIPE = Training("mse", "adam", 1e-3, 0.0, None, 1, None, 0.0, "best", "fp32", 4, None)
MEMBER = Member("m", "fully_conv_ae", (("output", "sigmoid"),), INPUTS.named("rgb", {}), square(8), 1, RECIPE, None)
JPEG = cv2.imencode(".jpg", np.full((24, 32, 3), 90, np.uint8))[1].tobytes()
NUMBERS = [0, 1, 1.0, 999_999_999, -1, 0.5, float("nan"), float("inf"), 10**30, None, True, "1", "../../x", [1], {}]
IMAGES = [
    JPEG,
    base64.b64encode(JPEG).decode(),
    b"",
    "",
    "***",
    None,
    5,
    [JPEG],
    {"a": 1},
    b"BM" + bytes(99),
    "x" * 100_000,
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_tensors(folder / "w", MEMBER.build().state_dict(), {})
    made = Ensemble(
        {MEMBER.name: MEMBER},
        {MEMBER.name: folder / "w"},
        {"s": Stream((MEMBER.name,), Named("max"))},
        "v",
        Variant("single", ("s",), (), ()),
        {},
    )
    save(replace(made), folder / "saved", {})
    model = EnsembleModel()
    model.load_context(SimpleNamespace(artifacts={"ensemble": str(folder / "saved")}))
    return model


def _ask(model, video, frame, image):
    table = pd.DataFrame({"video": [1, video], "frame": [5, frame], "image": [JPEG, image]}, dtype=object)
    return model.predict(None, table)["score"]


@settings(max_examples=250)
@given(video=st.sampled_from(NUMBERS), frame=st.sampled_from(NUMBERS), image=st.sampled_from(IMAGES))
def test_any_row(model, judged, video, frame, image):
    scores = judged(lambda: _ask(model, video, frame, image), "row 1")
    assert scores is None or np.isfinite(scores).all()


@settings(max_examples=150)
@given(data=st.data())
def test_damaged_images_in_a_request(model, damaged, judged, data):
    scores = judged(lambda: _ask(model, 1, 6, data.draw(damaged(JPEG))), "row 1")
    assert scores is None or np.isfinite(scores).all()
