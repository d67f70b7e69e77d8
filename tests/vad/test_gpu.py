"""On a GPU: recorded steps, resident frames and members at once give what plain steps give. Skipped where there is none."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from benchmarks import parts
from vad.catalog import Named
from vad.data.frame_index import FrameIndex
from vad.detectors.base import Listener
from vad.detectors.kinds import make_detector
from vad.detectors.member import Member
from vad.detectors.network_detector import NetworkScorer
from vad.detectors.networks import build
from vad.detectors.training.recipe import Training
from vad.detectors.training.train_step import RecordedStep, Step
from vad.detectors.training.trainer import train
from vad.images.view import View
from vad.inputs import INPUTS
from vad.inputs import device_cache as residence
from vad.inputs.shape import Shape
from vad.scoring.frame_scores import Way, score
from vad.scoring.reductions import MapScore
from vad.system import devices

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

SIZE, BATCH, COUNT = 64, 8, 44  # the last batch of an epoch is smaller


def recipe(precision="fp32", schedule=None, epochs=4, grad_clip=None):
    return Training("mse", "adam", 2e-4, 0.0, schedule, epochs, None, 0.0, "best", precision, BATCH, grad_clip)


def samples(device, count=COUNT):
    index = FrameIndex(np.ones(count, np.int64), np.arange(count, dtype=np.int64))
    return INPUTS.make(Named("rgb")).samples(parts.frames_of(count, SIZE), index, device)


def trained(device, seed=1, **options):
    net = build("conv_ae", Shape("frame", 3, SIZE, SIZE), {"latent": 8}, seed)
    return net, [epoch.loss for epoch in train(net, samples(device), recipe(**options), seed, device).epochs]


@pytest.fixture
def cuda():
    return torch.device("cuda")


@pytest.mark.parametrize("schedule", [None, Named("step", (("step_size", 1), ("gamma", 0.5)))])
@pytest.mark.parametrize("grad_clip", [None, 1.0])
def test_recorded_steps_are_plain_steps(cuda, monkeypatch, schedule, grad_clip):
    _, recorded = trained(cuda, schedule=schedule, grad_clip=grad_clip)
    monkeypatch.setattr(RecordedStep, "__call__", Step.__call__)
    _, plain = trained(cuda, schedule=schedule, grad_clip=grad_clip)
    np.testing.assert_allclose(recorded, plain, rtol=1e-3)
    assert recorded[-1] < recorded[0]


def test_losses_are_those_of_a_processor(cuda):
    np.testing.assert_allclose(trained(cuda)[1], trained(torch.device("cpu"))[1], rtol=1e-2)


def test_scores_are_those_of_a_processor(cuda):
    net, _ = trained(cuda)
    found, expected = (
        score(Way(NetworkScorer(net, "fp32", device), {}), samples(device), [Named("max"), Named("mean")], COUNT)
        for device in (cuda, torch.device("cpu"))
    )
    for error, values in expected.items():
        np.testing.assert_allclose(found[error], values, rtol=1e-3)


def test_frames_that_do_not_fit_travel_batch_by_batch(cuda, monkeypatch):
    _, resident = trained(cuda)
    monkeypatch.setattr(residence, "_room", lambda device: 0)
    _, travelling = trained(cuda)
    np.testing.assert_allclose(travelling, resident, rtol=1e-3)


def test_training_and_scoring_give_the_same_bits_each_time(cuda):
    devices.device()  # chooses kernels
    found = []
    for _ in range(2):
        net, losses = trained(cuda)
        scores = score(Way(NetworkScorer(net, "fp32", cuda), {}), samples(cuda), [Named("max")], COUNT)
        found.append((losses, scores[Named("max")].tolist()))
    assert found[0] == found[1]


def test_a_bank_finds_on_a_gpu_what_it_finds_on_a_processor(cuda):
    frames = np.ascontiguousarray(parts.frames_of(COUNT, SIZE)[..., 0])
    index = FrameIndex(np.ones(COUNT, np.int64), np.arange(COUNT, dtype=np.int64))
    member = Member(
        "bank",
        "nearest_cells",
        (("reach", 1), ("stride", 2)),
        Named("flow_cells", (("cell", 16),)),
        View(SIZE, SIZE, "grey"),
    )
    found = []
    for device in (cuda, torch.device("cpu")):
        cells = member.kind_of_input().samples(frames, index, device)
        state = make_detector(member).fit(cells, device, Listener()).state
        way = Way(make_detector(member).scorer(state, "the test", device), {})
        found.append(score(way, cells, [MapScore("distance", Named("max"))], COUNT))
    for key, values in found[0].items():
        np.testing.assert_allclose(values, found[1][key], rtol=1e-6)


def test_members_at_once_are_members_one_by_one(cuda):
    alone = [trained(cuda, seed)[1] for seed in (1, 2, 3)]

    def on_a_stream(seed):
        with torch.cuda.stream(torch.cuda.Stream()):
            return trained(cuda, seed)[1]

    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(on_a_stream, (1, 2, 3)))
    np.testing.assert_allclose(together, alone, rtol=5e-3)


def test_a_training_that_was_cut_off_goes_on(cuda, tmp_path):
    _, whole = trained(cuda, schedule=Named("cosine", (("t_max", None), ("eta_min", 0.0))))
    schedule = Named("cosine", (("t_max", 4), ("eta_min", 0.0)))
    for epochs in (2, 4):
        net = build("conv_ae", Shape("frame", 3, SIZE, SIZE), {"latent": 8}, 1)
        again = train(
            net, samples(cuda), recipe(schedule=schedule, epochs=epochs), 1, cuda, Listener(resume=tmp_path / "state")
        )
    np.testing.assert_allclose([epoch.loss for epoch in again.epochs], whole, rtol=1e-3)
