from dataclasses import replace

import pytest
import torch

from vad.member import Member, Training, digest_of
from vad.models import parameter_count

RECIPE = Training(
    loss="mse",
    optimizer="adam",
    lr=2e-4,
    weight_decay=0.0,
    schedule=("cosine", (("t_max", None), ("eta_min", 0.0))),
    epochs=25,
    patience=5,
    min_delta=1e-5,
    keep="best",
    precision="fp32",
    batch_size=64,
)
MEMBER = Member("small", "conv_ae", (("latent", 64),), "rgb", 64, 42, RECIPE)

DECIDING = [
    *(
        replace(MEMBER, **change)
        for change in (
            {"options": (("latent", 32),)},
            {"options": (("latent", 64), ("expand_activation", "none"))},
            {"size": 128},
            {"seed": 43},
        )
    ),
    *(
        replace(MEMBER, training=replace(RECIPE, **change))
        for change in (
            {"loss": "other"},
            {"optimizer": "adamw"},
            {"lr": 1e-3},
            {"weight_decay": 1e-5},
            {"schedule": None},
            {"schedule": ("cosine", (("t_max", 20), ("eta_min", 0.0)))},
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
    assert len(set(digests)) == 17
    assert MEMBER.digest("other frames") not in digests


@pytest.mark.parametrize("constant", ["RESIZE_FILTER", "TRAINING_CODE"])
def test_the_resize_filter_and_the_version_of_the_code_change_the_digest(monkeypatch, constant):
    before = MEMBER.digest("frames")
    monkeypatch.setattr(f"vad.member.{constant}", "another")
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


def test_settings_that_do_not_fit_the_network_are_refused(refuses):
    with refuses('model "conv_ae" needs a size that is a multiple of 32, not 70'):
        replace(MEMBER, size=70).build()
