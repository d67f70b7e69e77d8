"""Scores by samples that hold or need several frames, against a loop over frames and the samples that hold them."""

import numpy as np
import pytest
import torch
from torch import nn

from vad.catalog import Named
from vad.data.frame_index import FrameIndex
from vad.detectors.network_detector import NetworkScorer
from vad.detectors.networks import ERRORS, build, fold_batch_norm
from vad.images.view import square
from vad.inputs import INPUTS, Batch
from vad.scoring.frame_scores import Way, explain, score
from vad.system.precision import computes_in_bf16

CPU = torch.device("cpu")
NO_BF16 = pytest.mark.skipif(not computes_in_bf16(CPU), reason="no bf16")
EVERY = [ERRORS.named(name, {}) for name in ERRORS.names()]
MEAN = Named("mean")
LENGTHS = (14, 3, 32, 8)
CASES = {
    "clip": ("conv3d_ae", {"latent": 4}, {"frames": 8}),
    "sequence": ("convlstm", {"hidden": 3}, {"frames": 3}),
    "frame_difference": ("fully_conv_ae", {}, {}),
    "optical_flow": ("fully_conv_ae", {"output": "tanh"}, {}),
}


def scores_of(network, samples, errors, count, trained="fp32", told=None):
    return score(Way(NetworkScorer(network, trained, CPU), {}), samples, errors, count, told)


def maps_of(network, samples, trained="fp32"):
    """What `explain` gives for the mean error: the squared error of each pixel."""
    return explain(Way(NetworkScorer(network, trained, CPU), {}), samples, MEAN, "squared")


@pytest.fixture
def index(index_of):
    return index_of(*LENGTHS)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(2).integers(0, 256, (sum(LENGTHS), 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def networks():
    made = {}
    for name, (model, options, given) in CASES.items():
        samples = samples_of(
            name, np.random.default_rng(1).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8), whole(12)
        )
        made[name] = build(model, INPUTS.make(INPUTS.named(name, given)).shape(square(16)), options, seed=5)
        made[name].train()
        with torch.no_grad():
            made[name](samples.batch(np.arange(5)).given)  # so that batch norm has seen something
        made[name].eval()
    return made


def whole(count):
    return FrameIndex(np.ones(count, np.int64), np.arange(count, dtype=np.int64))


def samples_of(name, frames, index):
    return INPUTS.make(INPUTS.named(name, CASES[name][2])).samples(frames, index, CPU)


def slow_scores(network, samples, count, error, frame_of):
    """For each frame the largest error among the samples that hold it, each passed through the network by itself."""
    found = np.full(count, np.nan)
    for frame in range(count):
        errors = []
        for sample in range(len(samples)):
            for offset, held in enumerate(samples.scored[sample]):
                if held == frame:
                    batch = samples.batch(np.array([sample]))
                    with torch.no_grad():
                        output = network(batch.given)
                    errors.append(ERRORS[error](frame_of(output, offset), frame_of(batch.target, offset)).item())
        if errors:
            found[frame] = max(errors)
    return found


@pytest.mark.parametrize("name", ["clip", "sequence", "frame_difference"])
@pytest.mark.parametrize("error", ["mean", "max", "ssim"])
def test_a_frame_gets_the_largest_error_of_the_samples_that_hold_it_or_none(networks, frames, index_of, name, error):
    index, network = index_of(11, 3, 8), networks[name]
    samples = samples_of(name, frames[:22], index)
    found = scores_of(network, samples, [Named(error)], 22)[Named(error)]
    expected = slow_scores(
        network, samples, 22, error, (lambda v, k: v[:, :, k]) if name == "clip" else (lambda v, k: v)
    )
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    without = {"clip": [11, 12, 13], "sequence": [0, 1, 2, 11, 12, 13, 14, 15, 16], "frame_difference": [0, 11, 14]}
    assert np.flatnonzero(np.isnan(found)).tolist() == without[name]


class Levels:
    """Clips of three frames that are each off by one number."""

    def settle(self):
        pass

    def __init__(self, levels):
        self._levels = torch.tensor(levels)
        self.scored = np.arange(len(levels))[:, None] + np.arange(3)

    def __len__(self):
        return len(self.scored)

    def batch(self, which):
        off = self._levels[torch.from_numpy(which)].reshape(-1, 1, 1, 1, 1).expand(-1, 3, 3, 4, 4)
        return Batch(off, torch.zeros_like(off))


@pytest.mark.parametrize("levels", [[9, 1, 2, 1, 3], [1, 2, 9, 2, 1], [1, 1, 2, 3, 9], [5, 4, 3, 2, 1]])
def test_the_largest_counts_whichever_clip_it_comes_from(levels):
    found = scores_of(nn.Identity(), Levels([float(v) for v in levels]), [MEAN], 9)[MEAN]
    for frame in range(7):
        assert found[frame] == max(levels[clip] ** 2 for clip in range(5) if clip <= frame < clip + 3)
    assert np.isnan(found[7:]).all()


@pytest.mark.parametrize(("precision", "threads"), [("fp32", 1), ("fp32", 2), pytest.param("bf16", 1, marks=NO_BF16)])
@pytest.mark.parametrize("name", CASES)
def test_a_videos_scores_are_the_same_alone_and_among_others(networks, frames, index, name, precision, threads):
    torch.set_num_threads(threads)
    together = scores_of(networks[name], samples_of(name, frames, index), EVERY, len(index), precision)
    for span in index.spans if threads == 1 else index.spans[3:]:
        alone = samples_of(name, frames[span], whole(span.stop - span.start))
        found = scores_of(networks[name], alone, EVERY, span.stop - span.start, precision)
        for error in EVERY:
            assert found[error].tobytes() == together[error][span].tobytes()


@pytest.mark.parametrize("name", CASES)
def test_samples_score_the_same_wherever_they_stand_among_the_others(networks, frames, index, name):
    samples = samples_of(name, frames, index)
    before = scores_of(networks[name], samples, EVERY, len(index))
    for order in (np.arange(len(samples))[::-1], np.random.default_rng(0).permutation(len(samples))):
        after = scores_of(networks[name], Reordered(samples, order), EVERY, len(index))
        for error in EVERY:
            assert after[error].tobytes() == before[error].tobytes()


class Reordered:
    def settle(self):
        pass

    def __init__(self, samples, order):
        self._samples, self._order, self.scored = samples, order, samples.scored[order]

    def __len__(self):
        return len(self._order)

    def batch(self, which):
        return self._samples.batch(self._order[which])


@pytest.mark.parametrize("name", ["clip", "sequence", "frame_difference"])
def test_where_no_video_is_long_enough_no_frame_has_a_score(networks, frames, index_of, name):
    index = index_of(1, 1)
    told = []
    found = scores_of(networks[name], samples_of(name, frames[:2], index), EVERY, 2, told=told.append)
    assert all(np.isnan(values).all() and values.shape == (2,) for values in found.values())
    assert told == []


@pytest.mark.parametrize("name", ["clip", "sequence", "frame_difference", "optical_flow"])
def test_an_error_map_is_that_of_the_frame_that_is_asked_for(networks, frames, index_of, name):
    index, network = index_of(12, 2), networks[name]
    samples = samples_of(name, frames[:14], index)
    scores = scores_of(network, samples, [MEAN], 14)[MEAN]
    error_map = maps_of(network, samples)
    for frame in range(14):
        shown = error_map(frame)
        assert (shown is None) == np.isnan(scores[frame])
        if shown is None:
            continue
        assert shown.seen.shape == shown.made.shape == (16, 16, 3)
        assert shown.seen.dtype == shown.made.dtype == np.uint8
        assert shown.map.shape == (16, 16)
        if name == "clip":
            assert shown.map.mean() <= scores[frame] * (1 + 1e-4)
        else:
            assert shown.map.mean() == pytest.approx(scores[frame], rel=1e-4)
        if name in ("clip", "sequence"):
            assert np.array_equal(shown.seen, frames[frame])


def test_the_error_map_of_a_clips_frame_is_that_of_the_middle_clip_that_holds_it(networks, frames, index_of):
    samples = samples_of("clip", frames[:12], index_of(12))
    error_map, folded = maps_of(networks["clip"], samples), fold_batch_norm(networks["clip"])
    for frame, clip in ((0, 0), (1, 1), (2, 1), (4, 2), (8, 3), (11, 4)):
        batch = samples.batch(np.array([clip]))
        with torch.no_grad():
            output = folded(batch.given)
        shown = error_map(frame)
        assert np.array_equal(shown.made, samples.picture(output[:, :, frame - clip])[0].numpy())
        expected = (output - batch.target)[0, :, frame - clip].square().mean(0)
        np.testing.assert_allclose(shown.map, expected, rtol=1e-5, atol=1e-7)
