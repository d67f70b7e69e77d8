"""In which format a processor computes: by what it has instructions for, never by what it merely accepts."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from vad.catalog import Named
from vad.data.frame_index import FrameIndex
from vad.detectors.network_detector import NetworkScorer
from vad.detectors.networks import build
from vad.detectors.training.recipe import Training
from vad.detectors.training.trainer import train
from vad.inputs import INPUTS
from vad.inputs.shape import Shape
from vad.scoring.frame_scores import Way, explain, score
from vad.system import precision
from vad.system.precision import for_scoring, for_training

CPU = torch.device("cpu")
MAX = Named("max")


@pytest.fixture(params=[False, True], ids=["emulated", "native"])
def native(request, monkeypatch):
    """A processor with or without bf16, whichever this one is."""
    return processor(monkeypatch, request.param)


@pytest.fixture
def emulated(monkeypatch):
    return processor(monkeypatch, False)


def processor(monkeypatch, native):
    monkeypatch.setattr(precision, "computes_in_bf16", lambda device: native)
    monkeypatch.setattr(precision, "slowdown", lambda device: 48.3)
    precision._warn_once.cache_clear()
    return native


def test_auto_is_what_the_processor_computes_in(native):
    assert for_training("auto", CPU) == for_scoring("auto", CPU) == ("bf16" if native else "fp32")
    assert for_training("fp32", CPU) == for_scoring("fp32", CPU) == "fp32"


def test_bf16_is_obeyed_in_training_and_where_it_is_emulated_there_is_one_warning_with_the_factor(native, caplog):
    assert [for_training("bf16", CPU) for _ in range(3)] == ["bf16"] * 3
    expected = "precision: bf16 is emulated on this processor, measured 48 times slower than fp32; precision: auto takes fp32 here"
    assert [record.getMessage() for record in caplog.records] == ([] if native else [expected])


def test_what_was_trained_in_bf16_is_scored_in_fp32_where_that_is_emulated_and_it_is_said_once(native, caplog):
    with caplog.at_level(logging.WARNING):
        assert [for_scoring("bf16", CPU) for _ in range(3)] == ["bf16" if native else "fp32"] * 3
    assert [record.getMessage()[:61] for record in caplog.records] == (
        [] if native else ["trained in bf16, which this processor only emulates, so score"]
    )


@pytest.mark.parametrize(
    ("name", "limit"),
    [("ONEDNN_MAX_CPU_ISA", "AVX2"), ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI"), ("DNNL_MAX_CPU_ISA", "avx2")],
)
def test_a_limited_instruction_set_has_no_bf16(monkeypatch, name, limit):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setenv(name, limit)
    assert not precision.computes_in_bf16(CPU)


def test_pytorchs_own_limit_has_no_bf16_either():
    """PyTorch reads it when it is imported."""
    code = (
        "import torch; torch.cpu._is_avx512_bf16_supported = lambda: True\n"
        "from vad.system.precision import computes_in_bf16; raise SystemExit(int(computes_in_bf16(torch.device('cpu'))))"
    )
    plain = {key: value for key, value in os.environ.items() if "ISA" not in key}
    limited = plain | {"ATEN_CPU_CAPABILITY": "avx2"}
    assert subprocess.run([sys.executable, "-c", code], env=limited, timeout=100).returncode == 0


@pytest.mark.parametrize("limit", [None, "AVX512_CORE_BF16", "AVX512_CORE_AMX", "AVX10_1_512_AMX", "ALL", "default"])
@pytest.mark.parametrize("feature", ["_is_avx512_bf16_supported", "_is_amx_tile_supported"])
def test_a_processor_with_bf16_is_known_by_its_features(monkeypatch, feature, limit):
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    if limit:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert not precision.computes_in_bf16(CPU)
    monkeypatch.setattr(torch.cpu, feature, lambda: True, raising=False)
    assert precision.computes_in_bf16(CPU)


def test_the_slowdown_is_measured_here():
    assert 0.1 < precision.slowdown(CPU) < 10_000


def test_scores_and_maps_of_a_bf16_model_are_those_of_fp32_where_bf16_is_emulated(emulated):
    frames = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    samples = INPUTS["rgb"]().samples(frames, FrameIndex(np.ones(5, np.int64), np.arange(5)), CPU)
    network = build("conv_ae", Shape("frame", 3, 32, 32), {"latent": 4}, 1)
    ways = [Way(NetworkScorer(network, trained, CPU), {}) for trained in ("bf16", "fp32")]
    found, plain = (score(way, samples, [MAX], 5)[MAX] for way in ways)
    assert found.tobytes() == plain.tobytes()
    shown, plain_shown = (explain(way, samples, MAX, "squared")(2) for way in ways)
    for name in ("seen", "made", "map"):
        assert np.array_equal(getattr(shown, name), getattr(plain_shown, name)), name


def test_a_training_says_in_what_it_was_computed(native):
    frames = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    samples = INPUTS["rgb"]().samples(frames, FrameIndex(np.ones(4, np.int64), np.arange(4)), CPU)
    recipe = Training("mse", "adam", 1e-3, 0.0, None, 1, None, 0.0, "best", "auto", 4)
    trained = train(build("conv_ae", Shape("frame", 3, 32, 32), {"latent": 4}, 1), samples, recipe, 0, CPU)
    assert (trained.precision, trained.threads) == ("bf16" if native else "fp32", torch.get_num_threads())
