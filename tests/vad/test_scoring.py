import numpy as np
import pytest
import torch

from vad.inputs import INPUTS
from vad.models import build
from vad.precision import resolve
from vad.scoring import CHUNK, ERRORS, error_map, score

CPU = torch.device("cpu")
PRECISIONS = ["fp32", pytest.param("bf16", marks=pytest.mark.skipif(resolve("auto", CPU) != "bf16", reason="no bf16"))]


def frames_of(count, size=64):
    return np.random.default_rng(2).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def samples_of(frames, index_of):
    return INPUTS["rgb"]().samples(frames, index_of(len(frames)), CPU)


@pytest.fixture(scope="module")
def network():
    made = build("conv_ae", 64, 3, {"latent": 16}, seed=5)
    made.train()
    with torch.no_grad():
        made(torch.rand(8, 3, 64, 64) * 2 - 1)  # so that batch norm has seen something
    return made


def test_frames_are_scaled_as_the_reference_does(index_of):
    frames = frames_of(5)
    batch = samples_of(frames, index_of).batch(np.array([3, 0]))
    expected = frames[[3, 0]].astype(np.float32).transpose(0, 3, 1, 2) / np.float32(127.5) - 1
    assert np.array_equal(batch.numpy(), expected)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_mean_and_max_error_are_their_formulas(network, index_of):
    frames = frames_of(5)
    found = score(network, samples_of(frames, index_of), ["mean", "max"], "fp32", CPU)
    target = frames.astype(np.float64).transpose(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        output = network.eval()(torch.from_numpy(target).float()).numpy()
    squared = (output - target) ** 2
    np.testing.assert_allclose(found["mean"], [frame.mean() for frame in squared], rtol=1e-4)
    np.testing.assert_allclose(found["max"], [frame.max() for frame in squared], rtol=1e-4)
    assert {values.dtype for values in found.values()} == {np.dtype(np.float64)}


def test_the_max_error_is_that_of_a_single_channel_of_a_single_pixel():
    target = torch.zeros(2, 3, 4, 4)
    output = torch.zeros(2, 3, 4, 4)
    output[1, 2, 3, 1] = -1.5
    assert ERRORS["max"](output, target).tolist() == [0, 2.25]
    assert ERRORS["mean"](output, target).tolist() == [0, 2.25 / 48]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_frames_score_is_the_same_wherever_it_stands_and_however_many_are_scored(
    network, index_of, precision, threads
):
    torch.set_num_threads(threads)
    count = 2 * CHUNK + 7
    frames = frames_of(count)
    whole = score(network, samples_of(frames, index_of), ["mean", "max"], precision, CPU)
    for places in (range(1), range(5, 8), range(CHUNK), range(3, count), range(count - 1, -1, -1), [9] * 40):
        part = score(network, samples_of(frames[list(places)], index_of), ["mean", "max"], precision, CPU)
        for name in whole:
            assert part[name].tobytes() == whole[name][list(places)].tobytes()


def test_a_score_does_not_depend_on_its_neighbours_in_the_batch(network, index_of):
    frames = frames_of(6)
    changed = frames.copy()
    changed[1:] = 0
    before = score(network.train(), samples_of(frames, index_of), ["mean"], "fp32", CPU)["mean"]
    after = score(network.train(), samples_of(changed, index_of), ["mean"], "fp32", CPU)["mean"]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_only_what_is_asked_for_is_computed_and_each_batch_is_told(network, index_of):
    told = []
    found = score(network, samples_of(frames_of(CHUNK + 3), index_of), ["max"], "fp32", CPU, told.append)
    assert list(found) == ["max"]
    assert told == [CHUNK, 3]


def test_an_unknown_error_is_refused(network, index_of, refuses):
    with refuses('unknown error "maxx"; did you mean "max"? (known: max, mean)'):
        score(network, samples_of(frames_of(1), index_of), ["maxx"], "fp32", CPU)


def test_an_error_map_shows_where_the_mean_error_comes_from(network, index_of):
    samples = samples_of(frames_of(4), index_of)
    output, errors = error_map(network, samples.batch(np.arange(4)), "fp32", CPU)
    assert output.shape == (4, 3, 64, 64)
    assert errors.shape == (4, 64, 64)
    means = score(network, samples, ["mean"], "fp32", CPU)["mean"]
    np.testing.assert_allclose(errors.mean((1, 2)).numpy(), means, rtol=1e-4)
