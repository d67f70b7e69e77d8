import numpy as np
import pytest

from vad.catalog import Named
from vad.catalog import Named as Step
from vad.errors import InputError
from vad.scoring.pipeline import Scored, Stream, Variant, run_pipeline
from vad.scoring.steps import FITS, STEPS, TRAIN_FITS

NORMALIZE = Step("normalize", (("percentile", 90), ("scope", "all")))
MEAN = Step("mean")
BY_MEAN, BY_MAX = Named("mean"), Named("max")
GAUSSIAN = Step("gaussian", (("sigma", 2),))


@pytest.fixture
def index(index_of):
    return index_of(6, 1, 13)


@pytest.fixture
def raw():
    """Scores of two members whose scales differ, under two errors."""
    generator = np.random.default_rng(0)
    return {
        (member, error): generator.gamma(2, scale, 20)
        for member, scale in (("a-1", 1.0), ("a-2", 50.0))
        for error in (BY_MEAN, BY_MAX)
    }


def normal(row):
    row = np.clip(row, 0, np.percentile(row, 90))
    return (row - row.min()) / (row.max() - row.min())


def stream_of(steps, raw, index, error=BY_MEAN):
    streams = {"s": Stream(("a-1", "a-2"), error, tuple(steps))}
    return run_pipeline(streams, {}, Scored(index, raw)).streams["s"]


def test_the_order_of_steps_is_the_given_one(raw, index):
    a, b = raw["a-1", BY_MEAN], raw["a-2", BY_MEAN]
    mean_first = stream_of([MEAN, NORMALIZE], raw, index)
    normalize_first = stream_of([NORMALIZE, MEAN], raw, index)
    np.testing.assert_allclose(mean_first, normal((a + b) / 2), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(normalize_first, (normal(a) + normal(b)) / 2, rtol=1e-12, atol=1e-15)
    assert np.abs(mean_first - normalize_first).max() > 0.1


def test_a_stream_takes_its_members_under_its_own_error(raw, index):
    expected = np.maximum(raw["a-1", BY_MAX], raw["a-2", BY_MAX])
    assert np.array_equal(stream_of([Step("max")], raw, index, BY_MAX), expected)


def test_members_that_nothing_combines_are_refused(raw, index, refuses):
    with refuses('stream "s" has 2 members and no step that combines them'):
        stream_of([NORMALIZE], raw, index)


def test_a_single_member_needs_no_combining_step(raw, index):
    outcome = run_pipeline({"s": Stream(("a-2",), BY_MAX)}, {}, Scored(index, raw))
    assert np.array_equal(outcome.streams["s"], raw["a-2", BY_MAX])


@pytest.mark.parametrize(
    ("variant", "formula"),
    [
        (Variant("single", ("y",)), lambda x, y: y),
        (Variant("max", ("x", "y")), lambda x, y: [max(pair) for pair in zip(x, y, strict=True)]),
        (Variant("product", ("x", "y")), lambda x, y: x * y),
        (Variant("weights", ("x", "y"), (0.2, 0.8)), lambda x, y: 0.2 * x + 0.8 * y),
    ],
)
def test_streams_are_fused_and_then_smoothed(index, variant, formula):
    x, y = np.random.default_rng(1).random((2, 20))
    streams = {"x": Stream((), None, (), "x.csv"), "y": Stream((), None, (), "y.csv")}
    smoothed = Variant(variant.kind, variant.streams, variant.weights, (GAUSSIAN,))
    outcome = run_pipeline(streams, {"v": variant, "smooth": smoothed}, Scored(index, {}, {"x": x, "y": y}))
    np.testing.assert_allclose(outcome.variants["v"], formula(x, y), rtol=1e-15)
    expected = STEPS["gaussian"](np.asarray(formula(x, y))[None], index.spans, sigma=2)[0]
    np.testing.assert_allclose(outcome.variants["smooth"], expected, rtol=1e-12)


def test_a_stream_from_a_file_passes_its_steps(index):
    x = np.random.default_rng(1).random(20) * 9
    outcome = run_pipeline({"x": Stream((), None, (NORMALIZE,), "x.csv")}, {}, Scored(index, {}, {"x": x}))
    np.testing.assert_allclose(outcome.streams["x"], normal(x), rtol=1e-12, atol=1e-15)


def test_what_fitted_steps_took_is_reported_and_scores_a_single_video_alike(raw, index, index_of):
    streams = {"s": Stream(("a-1", "a-2"), BY_MEAN, (NORMALIZE, MEAN, Step("rank")))}
    variants = {"v": Variant("single", ("s",), (), (GAUSSIAN, NORMALIZE))}
    whole = run_pipeline(streams, variants, Scored(index, raw))
    assert sorted(whole.fitted) == ["streams/s/0-normalize", "streams/s/2-rank", "variants/v/1-normalize"]
    assert whole.fitted["streams/s/0-normalize"].shape == (2, 3)

    last = index.spans[2]
    part = {key: scores[last] for key, scores in raw.items()}
    kept = {key: value.copy() for key, value in whole.fitted.items()}
    alone = run_pipeline(streams, variants, Scored(index_of(13), part), fitted=whole.fitted)
    assert np.array_equal(alone.variants["v"], whole.variants["v"][last])
    assert all(np.array_equal(alone.fitted[key], kept[key]) for key in kept)

    own = run_pipeline(streams, variants, Scored(index_of(13), part))
    assert not np.array_equal(own.variants["v"], whole.variants["v"][last])


def test_every_step_that_takes_fitted_values_has_a_fit():
    taking = {name for name in STEPS.names() if "fitted" in STEPS[name].__annotations__}
    assert taking == {*FITS, *TRAIN_FITS}
    assert set(FITS) == {"normalize", "rank"} and set(TRAIN_FITS) == {"train_quantile", "train_rank", "train_zscore"}


def test_a_stored_value_that_is_missing_is_an_error_not_this_sets_own(raw, index):
    streams, variants = {"s": Stream(("a-1",), BY_MEAN, (NORMALIZE,))}, {"v": Variant("single", ("s",))}
    with pytest.raises(InputError, match="streams/s/0-normalize"):
        run_pipeline(streams, variants, Scored(index, raw), fitted={})


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda values: values[:, ::2], r"an array \(1, 7\), without NaN; .* here \(1 or 1, 13\)"),
        (lambda values: values[0], r"an array \(13,\), without NaN"),
        (lambda values: values * np.nan, r"an array \(1, 13\), with NaN; .* no new NaN"),
    ],
)
def test_a_step_of_ones_own_that_gives_something_else_is_named(monkeypatch, index_of, gives, said):
    monkeypatch.setattr(STEPS, "make", lambda step, values, *_: gives(values))
    scored = Scored(index_of(13), {("a-1", BY_MEAN): np.arange(13.0)})
    with pytest.raises(InputError, match=f"streams/s/0-mean: the step gives {said}"):
        run_pipeline({"s": Stream(("a-1",), BY_MEAN, (MEAN,))}, {"v": Variant("single", ("s",))}, scored)
