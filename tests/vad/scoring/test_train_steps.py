"""Steps that measure scores by those of train frames, which go the same way: alone, in streams, behind fusions, from a model."""

import numpy as np
import pytest
from scipy import ndimage

from vad.catalog import Named
from vad.scoring.pipeline import Scored, Stream, Variant, run_pipeline
from vad.scoring.reductions import MapScore
from vad.scoring.steps import STEPS, TRAIN_FITS

NAN = float("nan")
TOP = MapScore("distance", Named("top", (("count", 9),)))
PEAK = MapScore("distance", Named("max"))
QUANTILE = Named("train_quantile", (("quantile", 0.9),))
ZSCORE, PLAIN = Named("train_zscore", (("log", True),)), Named("train_zscore", (("log", False),))
NEAREST, SMOOTH, MEAN = Named("fill", (("value", "nearest"),)), Named("gaussian", (("sigma", 2.0),)), Named("mean")
LENGTHS, TRAIN_LENGTHS = (9, 1, 14), (20, 11)


def scores_of(generator, count, firsts):
    found = {(member, score): generator.gamma(2, 3, count) for member in ("a", "b") for score in (TOP, PEAK)}
    for values in found.values():
        values[firsts] = NAN
    return found


@pytest.fixture
def test(index_of):
    index = index_of(*LENGTHS)
    return Scored(index, scores_of(np.random.default_rng(1), len(index), [0, 10]))


@pytest.fixture
def train(index_of):
    index = index_of(*TRAIN_LENGTHS)
    return Scored(index, scores_of(np.random.default_rng(2), len(index), [0, 20]))


def filled(scored, member="a", score=TOP):
    """A member's scores, the first of each video as its second; by video."""
    values = scored.members[member, score].copy()
    for span in scored.index.spans:
        if np.isnan(values[span.start]):
            values[span.start] = values[span.start + 1]
    return values


def smoothed(values, scored):
    return np.concatenate([
        ndimage.gaussian_filter1d(values[span], 2.0) if span.stop - span.start > 1 else values[span]
        for span in scored.index.spans
    ])  # fmt: skip


def stream_of(steps, members=("a",), score=TOP):
    return {"s": Stream(members, score, tuple(steps))}


def normal(values, log):
    values = np.log(values) if log else values
    return values.mean(), values.std()


@pytest.mark.parametrize("quantile", [0.5, 0.99, 1.0])
def test_a_quantile_of_train_frames_is_1(test, train, quantile):
    step = Named("train_quantile", (("quantile", quantile),))
    outcome = run_pipeline(stream_of([NEAREST, step]), {}, test, train)
    expected = filled(test) / np.quantile(filled(train), quantile)
    np.testing.assert_allclose(outcome.streams["s"], expected, rtol=1e-12)
    assert list(outcome.fitted) == ["streams/s/1-train_quantile"]
    np.testing.assert_allclose(outcome.fitted["streams/s/1-train_quantile"], [[np.quantile(filled(train), quantile)]])


@pytest.mark.parametrize("log", [True, False])
def test_mean_and_deviation_of_train_frames_are_0_and_1(test, train, log):
    outcome = run_pipeline(stream_of([NEAREST, Named("train_zscore", (("log", log),))]), {}, test, train)
    mean, deviation = normal(filled(train), log)
    values = np.log(filled(test)) if log else filled(test)
    np.testing.assert_allclose(outcome.streams["s"], (values - mean) / deviation, rtol=1e-9)


def test_train_frames_go_through_the_steps_before_and_the_steps_after_see_the_result(test, train):
    outcome = run_pipeline(stream_of([NEAREST, SMOOTH, QUANTILE, ZSCORE]), {}, test, train)
    unit = np.quantile(smoothed(filled(train), train), 0.9)
    mean, deviation = normal(smoothed(filled(train), train) / unit, True)
    expected = (np.log(smoothed(filled(test), test) / unit) - mean) / deviation
    np.testing.assert_allclose(outcome.streams["s"], expected, rtol=1e-9)


def test_each_member_is_measured_by_its_own_train_scores(test, train):
    streams = stream_of([NEAREST, PLAIN, MEAN], ("a", "b"), PEAK)
    outcome = run_pipeline(streams, {}, test, train)
    rows = []
    for member in ("a", "b"):
        mean, deviation = normal(filled(train, member, PEAK), False)
        rows.append((filled(test, member, PEAK) - mean) / deviation)
    np.testing.assert_allclose(outcome.streams["s"], np.mean(rows, 0), rtol=1e-9)
    assert outcome.fitted["streams/s/1-train_zscore"].shape == (2, 2)


def test_behind_a_fusion_train_frames_are_fused_alike(test, train):
    streams = {"top": Stream(("a",), TOP, (NEAREST, QUANTILE)), "peak": Stream(("b",), PEAK, (NEAREST,))}
    variant = Variant("weights", ("top", "peak"), (0.3, 0.7), (QUANTILE,))
    outcome = run_pipeline(streams, {"v": variant}, test, train)

    def fused(scored):
        return 0.3 * filled(scored) / np.quantile(filled(train), 0.9) + 0.7 * filled(scored, "b", PEAK)

    np.testing.assert_allclose(outcome.variants["v"], fused(test) / np.quantile(fused(train), 0.9), rtol=1e-9)


STREAMS = {"top": Stream(("a",), TOP, (NEAREST, QUANTILE)), "peak": Stream(("b",), PEAK, (NEAREST, ZSCORE))}
VARIANTS = {"v": Variant("max", ("top", "peak"), (), (PLAIN, SMOOTH))}


@pytest.mark.parametrize("own", [False, True])
def test_a_video_alone_scores_as_among_the_others(test, train, index_of, own):
    whole = run_pipeline(STREAMS, VARIANTS, test, train)
    assert sorted(whole.fitted) == [
        "streams/peak/1-train_zscore",
        "streams/top/1-train_quantile",
        "variants/v/0-train_zscore",
    ]
    for span in (test.index.spans[0], test.index.spans[2]):
        part = Scored(index_of(span.stop - span.start), {key: values[span] for key, values in test.members.items()})
        alone = run_pipeline(STREAMS, VARIANTS, part, fitted=whole.fitted, own=own)
        assert alone.variants["v"].tobytes() == whole.variants["v"][span].tobytes()
        again = run_pipeline(STREAMS, VARIANTS, part, train)
        assert again.variants["v"].tobytes() == whole.variants["v"][span].tobytes()


def test_of_these_frames_own_takes_what_test_frames_decide_and_keeps_what_train_frames_do(test, train, index_of):
    scale = Named("normalize", (("percentile", 100.0), ("scope", "all")))
    streams = stream_of([NEAREST, QUANTILE, scale])
    whole = run_pipeline(streams, {}, test, train)
    span = test.index.spans[0]
    part = Scored(index_of(9), {key: values[span] for key, values in test.members.items()})
    stored, own = (run_pipeline(streams, {}, part, fitted=whole.fitted, own=own) for own in (False, True))
    assert stored.streams["s"].tobytes() == whole.streams["s"][span].tobytes()
    assert (
        (own.streams["s"].min(), own.streams["s"].max())
        == (0, 1)
        != (stored.streams["s"].min(), stored.streams["s"].max())
    )
    assert np.array_equal(own.fitted["streams/s/1-train_quantile"], whole.fitted["streams/s/1-train_quantile"])


@pytest.mark.parametrize(
    "lost", ["streams/peak/1-train_zscore", "streams/top/1-train_quantile", "variants/v/0-train_zscore"]
)
@pytest.mark.parametrize("own", [False, True])
def test_stored_values_that_are_missing_are_an_error(test, train, refuses, lost, own):
    fitted = run_pipeline(STREAMS, VARIANTS, test, train).fitted
    del fitted[lost]
    with refuses(f'the stored values of step "{lost}" are missing; the model is damaged, run its entry again'):
        run_pipeline(STREAMS, VARIANTS, test, fitted=fitted, own=own)


def test_values_that_are_stored_are_not_taken_from_train_frames_again(test, train):
    fitted = {"streams/s/1-train_quantile": np.array([[2.0]])}
    outcome = run_pipeline(stream_of([NEAREST, QUANTILE]), {}, test, train, fitted)
    np.testing.assert_allclose(outcome.streams["s"], filled(test) / 2, rtol=1e-12)


def test_a_train_video_that_is_too_short_for_a_member_is_passed_over(test, train, index_of):
    index = index_of(*TRAIN_LENGTHS, 1)
    longer = Scored(index, {key: np.append(values, NAN) for key, values in train.members.items()})
    found = run_pipeline(STREAMS, VARIANTS, test, longer)
    assert found.variants["v"].tobytes() == run_pipeline(STREAMS, VARIANTS, test, train).variants["v"].tobytes()


def test_train_frames_without_a_score_are_refused_where_nothing_fills_them(index_of, train, refuses):
    test = Scored(index_of(5), {("a", TOP): np.arange(1.0, 6)})
    with refuses(
        'stream "s": frame 1_0 and 1 more have no score, as their members need the frames before or a repair leaves it out; begin the '
        "steps with {fill: nearest} or {fill: 0}"
    ):
        run_pipeline(stream_of([QUANTILE]), {}, test, train)


def test_a_predictions_file_has_no_scores_of_train_frames(test, train, refuses):
    files = {"f": np.arange(float(len(test.index)))}
    scored = Scored(test.index, test.members, files)
    told = "needs the scores of train frames, which a predictions file does not have; remove the step"
    with refuses(f'stream "f": train_quantile {told}'):
        run_pipeline({"f": Stream((), None, (QUANTILE,), "f.csv")}, {}, scored, train)
    streams = stream_of([NEAREST, QUANTILE]) | {"f": Stream((), None, (), "f.csv")}
    with refuses(f'variant "v": train_zscore {told}'):
        run_pipeline(streams, {"v": Variant("max", ("s", "f"), (), (ZSCORE,))}, scored, train)
    found = run_pipeline(streams, {"v": Variant("max", ("s", "f"), (), (SMOOTH,))}, scored, train)
    assert np.isfinite(found.variants["v"]).all()


def test_scores_of_train_frames_that_are_all_one_or_zero_divide_nothing_by_zero():
    values = np.array([[0.0, 1.0, 2.0]])
    for name in TRAIN_FITS:
        for train in (np.zeros((1, 5)), np.full((1, 5), 3.0)):
            options = STEPS.bind(name, {})
            fitted = TRAIN_FITS[name](train, **options)
            assert np.isfinite(STEPS[name](values, [slice(0, 3)], fitted, **options)).all(), name


@pytest.mark.parametrize(
    ("name", "options", "fault"),
    [
        ("train_quantile", {"quantile": 0}, "quantile must be above 0, not 0"),
        ("train_quantile", {"quantile": 99}, "quantile must be at most 1, not 99"),
        ("train_zscore", {"log": 1}, "log must be true or false, not 1"),
    ],
)
def test_options_out_of_bounds_are_refused(refuses, name, options, fault):
    with refuses(f'step "{name}": {fault}'):
        STEPS.bind(name, options)


def test_what_looks_at_test_frames_is_told_from_what_looks_at_train_frames():
    rank = Variant("single", ("top",), (), (Named("rank"),))
    plain = {"top": Stream(("a",), TOP, (NEAREST,))}
    assert [v.transductive(STREAMS) for v in (VARIANTS["v"], rank)] == [False, True]
    assert [v.looks_at_train(STREAMS) for v in (VARIANTS["v"], rank)] == [True, True]
    assert not rank.looks_at_train(plain) and not Variant("single", ("top",)).transductive(plain)
    assert Variant("single", ("top",), (), (ZSCORE,)).looks_at_train(plain)


def test_streams_that_no_step_measures_by_train_frames_need_no_scores_of_them(test, train):
    streams = {**stream_of([NEAREST, QUANTILE]), "other": Stream(("b",), PEAK, (NEAREST,))}
    variants = {"v": Variant("single", ("s",)), "w": Variant("single", ("other",))}
    only = Scored(train.index, {("a", TOP): train.members["a", TOP]})
    found, whole = (run_pipeline(streams, variants, test, some).variants for some in (only, train))
    assert all(np.array_equal(found[name], whole[name]) for name in variants)


@pytest.mark.parametrize("step", [QUANTILE, ZSCORE, PLAIN])
def test_train_scores_that_do_not_differ_make_no_giants(index_of, step):
    """As in footage in which nothing moves: 0 everywhere."""
    index, scores = index_of(12), np.linspace(1, 900, 12)
    still = Scored(index_of(30), {("a", TOP): np.zeros(30)})
    found = run_pipeline(
        stream_of([step]), {"v": Variant("single", ("s",))}, Scored(index, {("a", TOP): scores}), still
    )
    values = found.variants["v"]
    assert np.abs(values).max() < 1000 and np.all(np.diff(values) > 0)
