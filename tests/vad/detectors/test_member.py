from dataclasses import replace

import pytest
import torch

from vad.catalog import Named
from vad.detectors.member import TRAINING_CODE, Member, digest_of
from vad.detectors.networks import parameter_count
from vad.detectors.training.recipe import Training
from vad.images.decode import RESIZE_FILTER
from vad.images.view import square
from vad.inputs import INPUTS

RECIPE = Training(
    loss="mse",
    optimizer="adam",
    lr=2e-4,
    weight_decay=0.0,
    schedule=Named("cosine", (("t_max", None), ("eta_min", 0.0))),
    epochs=25,
    patience=5,
    min_delta=1e-5,
    keep="best",
    precision="fp32",
    batch_size=64,
)
MEMBER = Member("small", "conv_ae", (("latent", 64),), Named("rgb"), square(64), 42, RECIPE)
KAIMING = Named("kaiming_normal", (("linear", "kaiming"), ("linear_bias", "zero")))

DECIDING = [
    *(
        replace(MEMBER, **change)
        for change in (
            {"options": (("latent", 32),)},
            {"options": (("latent", 64), ("expand_activation", "none"))},
            {"view": square(128)},
            {"seed": 43},
            {"input": INPUTS.named("frame_difference", {})},
            {"input": INPUTS.named("optical_flow", {})},
            {"input": INPUTS.named("optical_flow", {"break_at_gaps": True})},
            *(
                {"model": "conv3d_ae", "input": INPUTS.named("clip", given)}
                for given in ({}, {"frames": 16}, {"stride": 4})
            ),
            {"model": "convlstm", "options": (("hidden", 8),), "input": INPUTS.named("sequence", {})},
            {"model": "convlstm", "options": (("hidden", 8),), "input": INPUTS.named("sequence", {"frames": 4})},
            {"init": KAIMING},
            {"init": replace(KAIMING, options=(("linear", "xavier"), ("linear_bias", "zero")))},
        )
    ),
    *(
        replace(MEMBER, training=replace(RECIPE, **change))
        for change in (
            {"loss": "ssim"},
            {"loss": (("mse", 1.0), ("ssim", 0.5))},
            {"loss": (("mse", 1.0), ("ssim", 0.2))},
            {"optimizer": "adamw"},
            {"lr": 1e-3},
            {"weight_decay": 1e-5},
            {"schedule": None},
            {"schedule": Named("cosine", (("t_max", 20), ("eta_min", 0.0)))},
            {"schedule": Named("step", (("step_size", 5), ("gamma", 0.1)))},
            {"grad_clip": 1.0},
            {"grad_clip": 0.5},
            {"epochs": 20},
            {"patience": None},
            {"min_delta": 1e-4},
            {"keep": "last"},
            {"precision": "bf16"},
            {"batch_size": 32},
        )
    ),
]


def test_each_deciding_setting_changes_the_digest():
    digests = [member.digest("frames") for member in (MEMBER, *DECIDING)]
    assert len(set(digests)) == len(DECIDING) + 1 == 32
    assert MEMBER.digest("other frames") not in digests


@pytest.mark.parametrize("constant", ["RESIZE_FILTER", "TRAINING_CODE"])
def test_the_resize_filter_and_the_version_of_the_code_change_the_digest(monkeypatch, constant):
    before = MEMBER.digest("frames")
    monkeypatch.setattr(f"vad.detectors.member.{constant}", "another")
    assert MEMBER.digest("frames") != before


def test_what_the_entry_calls_a_member_does_not():
    assert replace(MEMBER, group="tiny").digest("frames") == MEMBER.digest("frames")
    assert replace(MEMBER, group="tiny").name == "tiny-42"


def test_an_option_may_be_spelt_out_or_left_to_its_default():
    options = (("expand_activation", "leaky_relu"), ("latent", 64))
    assert replace(MEMBER, options=options).digest("frames") == MEMBER.digest("frames")


def test_all_deciding_settings_are_in_plain_sight():
    assert MEMBER.settings() == {
        "model": "conv_ae",
        "latent": 64,
        "expand_activation": "leaky_relu",
        "input": "rgb",
        "size": 64,
        "seed": 42,
        "loss": "mse",
        "optimizer": "adam",
        "lr": 2e-4,
        "weight_decay": 0.0,
        "schedule": {"cosine": {"t_max": None, "eta_min": 0.0}},
        "epochs": 25,
        "patience": 5,
        "min_delta": 1e-5,
        "keep": "best",
        "precision": "fp32",
        "batch_size": 64,
    }


OLD = {
    "model": "conv_ae", "latent": 64, "expand_activation": "leaky_relu", "input": "rgb", "size": 64, "seed": 42,
    "loss": "mse", "optimizer": "adam", "lr": 2e-4, "weight_decay": 0.0,
    "schedule": {"cosine": {"t_max": None, "eta_min": 0.0}}, "epochs": 25, "patience": 5, "min_delta": 1e-5,
    "keep": "best", "precision": "fp32", "batch_size": 64,
}  # fmt: skip


def test_members_keep_the_digest_that_they_had_before_there_were_inits_clipping_and_options_of_inputs():
    about = {"settings": OLD, "frames": "frames", "filter": RESIZE_FILTER, "code": TRAINING_CODE}
    assert MEMBER.digest("frames") == digest_of(about)
    # By the third version of the code; another resize filter or a higher TRAINING_CODE makes another.
    assert MEMBER.digest("frames") == "14d4374b30fc18ea9c9c6f711fd0c88ea472dcf6d84ad9720bc6d10965a6e9e0"
    without = replace(MEMBER, training=replace(RECIPE, schedule=None))
    assert without.digest("frames") == digest_of({**about, "settings": {**OLD, "schedule": None}})


def test_what_is_new_is_in_plain_sight_where_it_is_asked_for():
    recipe = replace(RECIPE, loss=(("mse", 1.0), ("ssim", 0.5)), schedule=None, grad_clip=1.0)
    given = INPUTS.named("clip", {"stride": 4})
    member = replace(MEMBER, model="conv3d_ae", input=given, init=KAIMING, training=recipe)
    expected = {key: value for key, value in OLD.items() if key != "expand_activation"} | {
        "model": "conv3d_ae",
        "input": {"clip": {"frames": 8, "stride": 4, "break_at_gaps": False}},
        "init": {"kaiming_normal": {"linear": "kaiming", "linear_bias": "zero"}},
        "loss": {"mse": 1.0, "ssim": 0.5},
        "schedule": None,
        "grad_clip": 1.0,
    }
    assert member.settings() == expected


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert digest_of({"a": 1, "b": {"c": 2, "d": 3}}) == digest_of({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
    assert len(digest_of({})) == 64


def test_a_member_builds_its_network_from_its_seed():
    network = MEMBER.build()
    assert parameter_count(network) == 5_842_307
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), MEMBER.build().parameters(), strict=True))
    other = replace(MEMBER, seed=43).build()
    assert not torch.equal(next(network.parameters()), next(other.parameters()))


def test_a_member_begins_as_its_init_says():
    plain, begun = MEMBER.build(), replace(MEMBER, init=KAIMING).build()
    assert not torch.equal(plain.compress.weight, begun.compress.weight)
    assert plain.compress.bias.any() and not begun.compress.bias.any()


@pytest.mark.parametrize(
    ("model", "given", "options", "first"),
    [
        ("conv_ae", "rgb", {"latent": 4}, (32, 3, 4, 4)),
        ("conv_ae", "optical_flow", {"latent": 4}, (32, 2, 4, 4)),
        ("fully_conv_ae", "frame_difference", {}, (32, 1, 4, 4)),
        ("conv3d_ae", "clip", {"latent": 4}, (32, 3, 3, 3, 3)),
        ("convlstm", "sequence", {"hidden": 4}, (32, 3, 4, 4)),
    ],
)
def test_a_network_is_built_for_what_its_input_makes(model, given, options, first):
    member = replace(
        MEMBER, model=model, input=INPUTS.named(given, {}), options=tuple(options.items()), view=square(32)
    )
    assert next(member.build().parameters()).shape == first


def test_a_network_and_an_input_that_do_not_fit_are_refused(refuses):
    with refuses('model "conv_ae" takes frames, but the input makes clips; choose another input'):
        replace(MEMBER, input=INPUTS.named("clip", {})).build()
    with refuses('model "convlstm" takes sequences, but the input makes frames; choose another input'):
        replace(MEMBER, model="convlstm", options=()).build()
    with refuses('model "conv3d_ae" needs clips of 8, 16, 24, ... frames, not 6'):
        replace(MEMBER, model="conv3d_ae", options=(), input=INPUTS.named("clip", {"frames": 6})).build()


def test_settings_that_do_not_fit_the_network_are_refused(refuses):
    with refuses('model "conv_ae" needs a size that is a multiple of 32, not 70'):
        replace(MEMBER, view=square(70)).build()
