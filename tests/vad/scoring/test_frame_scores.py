import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from vad.catalog import Named
from vad.detectors.network_detector import NetworkScorer
from vad.detectors.networks import ERRORS, build, fold_batch_norm
from vad.inputs import INPUTS
from vad.inputs.shape import Shape
from vad.scoring.frame_scores import Way, explain, score
from vad.system.precision import computes_in_bf16

CPU = torch.device("cpu")
MEAN, MAX = Named("mean"), Named("max")
PASS = 32  # samples of a pass of 64 px
EVERY = [ERRORS.named(name, {}) for name in ERRORS.names()]
PRECISIONS = ["fp32", pytest.param("bf16", marks=pytest.mark.skipif(not computes_in_bf16(CPU), reason="no bf16"))]


def scores_of(network, samples, errors, count, trained="fp32", told=None):
    return score(Way(NetworkScorer(network, trained, CPU), {}), samples, errors, count, told)


def maps_of(network, samples, trained="fp32"):
    """What `explain` gives for the mean error: the squared error of each pixel."""
    return explain(Way(NetworkScorer(network, trained, CPU), {}), samples, MEAN, "squared")


def frames_of(count, size=64):
    return np.random.default_rng(2).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def samples_of(frames, index_of):
    return INPUTS["rgb"]().samples(frames, index_of(len(frames)), CPU)


@pytest.fixture(scope="module")
def network():
    made = build("conv_ae", Shape("frame", 3, 64, 64), {"latent": 16}, seed=5)
    made.train()
    with torch.no_grad():
        made(torch.rand(8, 3, 64, 64) * 2 - 1)  # so that batch norm has seen something
    return made


def test_mean_and_max_error_are_their_formulas(network, index_of):
    frames = frames_of(5)
    found = scores_of(network, samples_of(frames, index_of), [MEAN, MAX], len(frames))
    target = frames.astype(np.float64).transpose(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        output = network.eval()(torch.from_numpy(target).float()).numpy()
    squared = (output - target) ** 2
    np.testing.assert_allclose(found[MEAN], [frame.mean() for frame in squared], rtol=1e-4)
    np.testing.assert_allclose(found[MAX], [frame.max() for frame in squared], rtol=1e-4)
    assert {values.dtype for values in found.values()} == {np.dtype(np.float64)}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_frames_score_is_the_same_wherever_it_stands_and_however_many_are_scored(
    network, index_of, precision, threads
):
    torch.set_num_threads(threads)
    count = 2 * PASS + 7
    frames = frames_of(count)
    whole = scores_of(network, samples_of(frames, index_of), [MEAN, MAX], count, precision)
    for places in (range(1), range(5, 8), range(PASS), range(3, count), range(count - 1, -1, -1), [9] * 40):
        given = samples_of(frames[list(places)], index_of)
        part = scores_of(network, given, [MEAN, MAX], len(given), precision)
        for name in whole:
            assert part[name].tobytes() == whole[name][list(places)].tobytes()


@pytest.mark.parametrize(("size", "samples"), [(32, 64), (64, 32), (128, 16), (256, 16), (512, 8)])
def test_a_request_for_one_frame_pays_for_few_others_where_frames_are_large(network, index_of, size, samples):
    assert NetworkScorer(network, "fp32", CPU).pass_size(samples_of(frames_of(1, size), index_of)) == samples


class Dimmed(nn.Module):
    def forward(self, frames):
        return 0.9 * frames.roll(1, 3)


@pytest.mark.parametrize(("size", "threads"), [(16, 1), (64, 1), (40, 2)])
def test_every_error_of_a_frame_is_the_same_wherever_it_stands(index_of, size, threads):
    torch.set_num_threads(threads)
    count = 2 * PASS + 5
    frames = frames_of(count, size)
    whole = scores_of(Dimmed(), samples_of(frames, index_of), EVERY, count)
    for places in (range(3, 6), range(count - 1, -1, -1), [9] * 40):
        given = samples_of(frames[list(places)], index_of)
        part = scores_of(Dimmed(), given, EVERY, len(given))
        for error in EVERY:
            assert part[error].tobytes() == whole[error][list(places)].tobytes()


def test_a_score_does_not_depend_on_its_neighbours_in_the_batch(network, index_of):
    frames = frames_of(6)
    changed = frames.copy()
    changed[1:] = 0
    before = scores_of(network.train(), samples_of(frames, index_of), [MEAN], 6)[MEAN]
    after = scores_of(network.train(), samples_of(changed, index_of), [MEAN], 6)[MEAN]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_only_what_is_asked_for_is_computed_and_each_batch_is_told(network, index_of):
    told = []
    found = scores_of(network, samples_of(frames_of(2 * PASS + 3), index_of), [MAX], 2 * PASS + 3, told=told.append)
    assert list(found) == [MAX]
    assert told == [PASS, PASS, 3]


def test_an_unknown_error_is_refused(network, index_of, refuses):
    with refuses('unknown error "maxx"; did you mean "max"? (known: gradient, max, mean, patch, ssim)'):
        scores_of(network, samples_of(frames_of(1), index_of), [Named("maxx")], 1)


class Spoilt(nn.Module):
    """Makes one number of white frames what it is told to."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, frames):
        made = frames.clone()
        made[frames.amin((1, 2, 3)) == 1, 0, 3, 2] = self.value
        return made


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("error", ["mean", "max", "gradient"])
def test_an_error_that_is_not_finite_is_refused_with_its_frame(index_of, refuses, value, error):
    frames = frames_of(2 * PASS + 9, size=8)
    frames[2 * PASS + 2 :] = 255
    message = (
        f"the {error} score of frame {2 * PASS + 3} of {2 * PASS + 9} is not finite; train.precision=fp32 may help"
    )
    with refuses(message):
        scores_of(Spoilt(value), samples_of(frames, index_of), [Named(error)], len(frames))


def test_an_error_map_shows_where_the_mean_error_comes_from(network, index_of):
    frames = frames_of(4)
    samples = samples_of(frames, index_of)
    means = scores_of(network, samples, [MEAN], 4)[MEAN]
    error_map, folded = maps_of(network, samples), fold_batch_norm(network)
    for frame in range(4):
        shown = error_map(frame)
        assert np.array_equal(shown.seen, frames[frame])
        with torch.no_grad():
            output = folded(samples.batch(np.array([frame])).given)
        assert np.array_equal(shown.made, samples.picture(output)[0].numpy())
        assert (shown.map.shape, shown.map.dtype) == ((64, 64), np.float32)
        assert shown.map.mean() == pytest.approx(means[frame], rel=1e-4)


def test_error_maps_are_the_same_from_several_threads(index_of):
    """The first of them, too: a network as it was loaded is moved by whoever makes the maps, not by each thread."""
    samples = samples_of(frames_of(4), index_of)
    loaded = build("fully_conv_ae", Shape("frame", 3, 64, 64), {}, seed=5)
    alone = maps_of(copy.deepcopy(loaded), samples)
    expected = [alone(frame).map for frame in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(100):
            found = list(pool.map(maps_of(copy.deepcopy(loaded), samples), range(4)))
            assert all(np.array_equal(shown.map, wanted) for shown, wanted in zip(found, expected, strict=True))
