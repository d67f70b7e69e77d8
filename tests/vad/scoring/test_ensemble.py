import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from vad.catalog import Named
from vad.detectors.member import Member
from vad.detectors.training.recipe import Training
from vad.errors import InputError
from vad.images.view import View, square
from vad.inputs import INPUTS
from vad.repair import fitted
from vad.scoring.ensemble import Ensemble, identity, load, read_views, save, select
from vad.scoring.pipeline import Stream, Variant
from vad.scoring.reductions import MapScore
from vad.system.weights import save_tensors

CPU = torch.device("cpu")
RECIPE = Training(
    loss=(("mse", 1.0), ("ssim", 0.5)),
    optimizer="adamw",
    lr=1e-3,
    weight_decay=1e-5,
    schedule=Named("warm_restarts", (("t_0", 10), ("t_mult", 2), ("eta_min", 1e-6))),
    epochs=3,
    patience=None,
    min_delta=0.0,
    keep="best",
    precision="fp32",
    batch_size=4,
    grad_clip=1.0,
)
INIT = Named("kaiming_normal", (("linear", "xavier"), ("linear_bias", "zero")))
CLIP = INPUTS.named("clip", {"stride": 4})
CLIPS = Member("clips", "conv3d_ae", (("latent", 4),), CLIP, square(16), 1, RECIPE, INIT)
PLAIN = replace(RECIPE, loss="mse", schedule=None, grad_clip=None)
CHANGES = Member(
    "changes", "fully_conv_ae", (("output", "sigmoid"),), INPUTS.named("frame_difference", {}), square(8), 2, PLAIN
)
GREY = View(32, 64, "grey", (0.0, 0.25, 1.0, 1.0))
FILL, NORMALIZE = Named("fill", (("value", "nearest"),)), Named("normalize", (("percentile", 99.0), ("scope", "all")))
STREAMS = {
    "clips": Stream(("clips-1",), Named("max"), (NORMALIZE,)),
    "changes": Stream(("changes-2",), Named("patch", (("size", 4),)), (FILL, Named("gaussian", (("sigma", 2.0),)))),
}
VARIANT = Variant("weights", ("clips", "changes"), (0.25, 0.75), (Named("rank"),))


@pytest.fixture
def made(tmp_path):
    """An ensemble of two kinds of input, not trained, with values that normalisation took."""
    members = {"clips-1": CLIPS, "changes-2": CHANGES}
    weights = {name: tmp_path / "made" / name for name in members}
    for name, member in members.items():
        save_tensors(weights[name], member.build().state_dict(), {})
    fitted = {"streams/clips/0-normalize": np.array([[0.1, 2.0, 1.5]]), "variants/v/0-rank": np.arange(20.0)[None] / 19}
    return Ensemble(members, weights, STREAMS, "v", VARIANT, fitted)


FLOW = Member("flow", "nearest_cells", (("reach", 1), ("stride", 2)), INPUTS.named("flow_cells", {"cell": 8}), GREY)
TOP, PEAK = MapScore("distance", Named("top", (("count", 3),)), calibrate=True), MapScore("distance", Named("max"))
QUANTILE = Named("train_quantile", (("quantile", 0.9),))


@pytest.fixture
def repaired(tmp_path):
    """A bank of flow of repaired frames, calibrated, beside the network of differences."""
    repair = fitted(Named("flips"), {"medians": np.zeros((1, 32, 32), np.uint8), "margin": np.ones(1, np.float32)})
    generator = torch.Generator().manual_seed(1)
    cells = torch.randint(0, 65, (6, *FLOW.shape().sides), generator=generator).half()  # counts
    state = {"cells": cells, "video": torch.ones(6, dtype=torch.int64), "frame": torch.arange(6)}
    members = {"flow": FLOW, "changes-2": CHANGES}
    weights = {name: tmp_path / "repaired-weights" / name for name in members}
    save_tensors(weights["flow"], state, {})
    save_tensors(weights["changes-2"], CHANGES.build().state_dict(), {})
    streams = {
        "top": Stream(("flow",), TOP, (FILL, QUANTILE)),
        "peak": Stream(("flow",), PEAK, (FILL,)),
        "changes": STREAMS["changes"],
    }
    variant = Variant("weights", ("top", "peak", "changes"), (0.2, 0.3, 0.5))
    calibration = {"flow": {"distance": torch.rand(2, 1, *FLOW.shape().sides[1:], generator=generator) + 0.1}}
    took = {"streams/top/1-train_quantile": np.array([[3.5]])}
    return Ensemble(members, weights, streams, "v", variant, took, (repair,), calibration)


@pytest.fixture
def frames():
    generator = np.random.default_rng(0)
    return {square(s): generator.integers(0, 256, (20, s, s, 3), dtype=np.uint8) for s in (8, 16)}


def test_what_was_saved_comes_back_as_it_was(made, tmp_path):
    save(made, tmp_path / "saved", {})
    found = load(tmp_path / "saved")
    assert found.members == made.members
    assert (found.streams, found.variant_name, found.variant) == (made.streams, made.variant_name, made.variant)
    assert found.fitted.keys() == made.fitted.keys()
    assert all(np.array_equal(found.fitted[key], made.fitted[key]) for key in made.fitted)
    assert found.views() == [square(8), square(16)]
    assert found.view("clips-1") == square(16)
    digests = {"clips-1": "a", "changes-2": "b"}
    assert identity(found, digests) == identity(made, digests)
    assert all(found.members[name].digest("f") == made.members[name].digest("f") for name in made.members)


def test_what_was_saved_scores_as_before(made, frames, index_of, tmp_path):
    save(made, tmp_path / "saved", {})
    index, told = index_of(12, 8), []
    before = made.score(frames, index, CPU)
    found = load(tmp_path / "saved").score(frames, index, CPU, advance=told.append)
    assert found.tobytes() == before.tobytes()
    assert found.shape == (20,) and np.isfinite(found).all()
    assert sum(told) == 5 + 1 + 11 + 7  # clips, then differences


def test_a_bank_its_calibration_and_repairs_come_back_as_they_were(repaired, index_of, tmp_path):
    save(repaired, tmp_path / "saved", {})
    found = load(tmp_path / "saved")
    assert (found.members, found.streams, found.variant) == (repaired.members, repaired.streams, repaired.variant)
    assert found.repairs == repaired.repairs
    assert all(
        np.array_equal(found.repairs[0].state[key], repaired.repairs[0].state[key]) for key in ("medians", "margin")
    )
    assert torch.equal(found.calibration["flow"]["distance"], repaired.calibration["flow"]["distance"])
    assert found.views() == repaired.views() == [square(8).repaired(repaired.repairs), GREY.repaired(repaired.repairs)]
    digests = {"flow": "a", "changes-2": "b"}
    assert identity(found, digests) == identity(repaired, digests)
    generator = np.random.default_rng(0)
    seen = {view: generator.integers(0, 256, (20, *view.shape), dtype=np.uint8) for view in repaired.views()}
    before = repaired.score(seen, index_of(12, 8), CPU)
    assert found.score(seen, index_of(12, 8), CPU).tobytes() == before.tobytes()
    alone = found.score({view: images[12:] for view, images in seen.items()}, index_of(8), CPU)
    assert alone.tobytes() == before[12:].tobytes()


def test_repairs_and_calibration_decide_the_identity(repaired):
    digests = {"flow": "a", "changes-2": "b"}
    other = fitted(Named("flips"), repaired.repairs[0].state | {"margin": np.zeros(1, np.float32)})
    moved = {"flow": {"distance": repaired.calibration["flow"]["distance"] + 1}}
    changed = [replace(repaired, repairs=(other,)), replace(repaired, repairs=()), replace(repaired, calibration=moved)]
    assert len({identity(one, digests) for one in (repaired, *changed)}) == 4


def test_a_variant_takes_along_the_calibration_of_its_members_alone(repaired):
    assert select(repaired, "v", Variant("single", ("changes",))).calibration == {}
    alone = select(repaired, "v", Variant("single", ("top",)))
    assert (list(alone.members), list(alone.calibration), list(alone.fitted)) == (
        ["flow"], ["flow"], ["streams/top/1-train_quantile"],
    )  # fmt: skip
    assert alone.repairs == repaired.repairs


def test_a_video_alone_scores_as_among_the_others(made, frames, index_of):
    together = made.score(frames, index_of(12, 8), CPU)
    alone = made.score({view: images[12:] for view, images in frames.items()}, index_of(8), CPU)
    assert alone.tobytes() == together[12:].tobytes()
    own = made.score({view: images[12:] for view, images in frames.items()}, index_of(8), CPU, "own")
    assert not np.array_equal(own, alone)


def test_a_video_that_is_too_short_for_a_member_is_refused(made, frames, index_of, refuses):
    with refuses(
        "frame 2_0 has no score: this model looks at several frames of a video at once (video 2 has 5) and may leave noisy "
        "ones out; give more frames of the video, or leave it out"
    ):
        made.score(frames, index_of(15, 5), CPU)


def test_a_variant_takes_along_only_what_it_needs(made):
    whole = replace(made, fitted=made.fitted | {"variants/w/0-rank": np.zeros((1, 20))})
    alone = select(whole, "v", Variant("single", ("changes",)))
    assert (list(alone.members), list(alone.streams), list(alone.fitted)) == (
        ["changes-2"],
        ["changes"],
        ["variants/v/0-rank"],
    )


@pytest.mark.parametrize(
    "change",
    [
        {"streams": STREAMS | {"clips": replace(STREAMS["clips"], error=Named("mean"))}},
        {"streams": STREAMS | {"changes": replace(STREAMS["changes"], error=Named("patch", (("size", 8),)))}},
        {"streams": STREAMS | {"clips": replace(STREAMS["clips"], steps=(FILL, NORMALIZE))}},
        {"variant": replace(VARIANT, weights=(0.5, 0.5))},
        {"variant": replace(VARIANT, steps=())},
        {"fitted": {}},
    ],
)
def test_what_decides_the_scores_decides_the_identity(made, change):
    digests = {"clips-1": "a", "changes-2": "b"}
    assert identity(replace(made, **change), digests) != identity(made, digests)
    assert identity(made, {**digests, "clips-1": "c"}) != identity(made, digests)


# As the first models have it, which squeezed whole frames in colour to squares.
OLD_MEMBER = {"group": "small", "model": "conv_ae", "options": [["latent", 4]], "input": "rgb", "size": 32, "seed": 42}


def test_the_views_of_the_first_models_are_squares_of_their_sizes(tmp_path):
    members = {"small-42": OLD_MEMBER, "large-42": OLD_MEMBER | {"size": 64}}
    (tmp_path / "ensemble.json").write_text(json.dumps({"code": 1, "members": members}))
    assert read_views(tmp_path) == {"small-42": square(32), "large-42": square(64)}


def test_the_views_of_a_saved_ensemble_are_its_own(made, repaired, tmp_path):
    save(made, tmp_path / "made", {})
    assert read_views(tmp_path / "made") == {"clips-1": square(16), "changes-2": square(8)}
    save(repaired, tmp_path / "repaired", {})
    assert read_views(tmp_path / "repaired") == {name: repaired.view(name) for name in repaired.members}
    assert set(read_views(tmp_path / "repaired").values()) == set(repaired.views())


def test_a_repair_that_this_program_does_not_know_is_refused(repaired, tmp_path, refuses):
    save(repaired, tmp_path / "saved", {})
    path = tmp_path / "saved" / "ensemble.json"
    path.write_text(path.read_text().replace('"flips"', '"flop"'))
    with refuses('unknown repair "flop"; did you mean "flips"? (known: flips, noise)'):
        load(tmp_path / "saved")
    # Its own code may know it, and decodes for it.
    views = read_views(tmp_path / "saved").values()
    assert {repair.named.name for view in views for repair in view.repairs} == {"flop"}


def test_an_ensemble_without_what_is_new_keeps_the_identity_of_the_first_models():
    """By the third version of the scoring code; a higher one makes another."""
    training = replace(
        PLAIN,
        **{"optimizer": "adam", "lr": 2e-4, "weight_decay": 0.0, "epochs": 25, "patience": 5, "min_delta": 1e-5},
        schedule=Named("cosine", (("t_max", None), ("eta_min", 0.0))),
        batch_size=64,
    )
    member = Member("small", "conv_ae", (("latent", 4),), Named("rgb"), square(32), 42, training)
    streams = {"s": Stream(("small-42",), Named("max"), (NORMALIZE,))}
    variant = Variant("single", ("s",), (), (Named("gaussian", (("sigma", 3.0),)),))
    old = Ensemble({"small-42": member}, {}, streams, "v", variant, {"streams/s/0-normalize": np.ones((1, 3))})
    assert identity(old, {"small-42": "d"}) == "d02856f03bb5471d0382ffef70fc52cb0f65553759091adf88ad47c1edb499de"


@pytest.mark.parametrize(
    ("key", "value"),
    [("training", {}), ("input", 5), ("input", {"name": "rgb"}), ("options", [["latent"]]), ("extra", 1)],
)
def test_a_damaged_description_is_refused(made, tmp_path, key, value):
    save(made, tmp_path / "saved", {})
    path = tmp_path / "saved" / "ensemble.json"
    content = json.loads(path.read_text())
    content["members"]["clips-1"][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"ensemble\.json is missing or damaged: "):
        load(tmp_path / "saved")


def test_altered_weights_are_refused(made, tmp_path, refuses):
    save(made, tmp_path / "saved", {})
    path = tmp_path / "saved" / "weights" / "clips-1.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with refuses(f"{path} is missing or was altered: its SHA-256 is not the one recorded"):
        load(tmp_path / "saved")


def test_plain_values_alone_are_written(made, tmp_path):
    save(made, tmp_path / "saved", {"entry": "e"})
    content = json.loads((tmp_path / "saved" / "ensemble.json").read_text())
    assert content["about"] == {"entry": "e"}
    assert content["members"]["clips-1"]["training"]["loss"] == [["mse", 1.0], ["ssim", 0.5]]
    assert content["members"]["clips-1"]["input"] == json.loads(json.dumps(asdict(CLIP)))
    assert content["members"]["changes-2"]["init"] is None
    assert content["streams"]["clips"]["error"] == "max"
    assert content["streams"]["changes"]["error"] == {"name": "patch", "options": [["size", 4]]}
