"""Each step against a slow formula that goes through one video of one member at a time."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from vad.scoring.steps import COMBINING, FITS, STEPS

LENGTHS = (1, 7, 40, 2, 11)


@pytest.fixture
def spans(index_of):
    return index_of(*LENGTHS).spans


@pytest.fixture
def values():
    return np.random.default_rng(5).gamma(2, 1, (3, sum(LENGTHS))) - 0.3


def apply(name, values, spans, **options):
    bound = STEPS.bind(name, options)
    if name in FITS:
        return STEPS[name](values, spans, FITS[name](values, **bound), **bound)
    return STEPS[name](values, spans, **bound)


def by_video(formula, values, spans):
    """`formula` of a list of floats, for each member and each video by itself."""
    return np.array([np.concatenate([formula(row[span].tolist()) for span in spans]) for row in values])


def mirrored(row, i):
    """SciPy's `reflect`: d c b a | a b c d | d c b a."""
    i %= 2 * len(row)
    return row[i] if i < len(row) else row[2 * len(row) - 1 - i]


def slow_normalize(row, percentile):
    top = np.percentile(row, percentile)
    clipped = [min(max(value, 0.0), top) for value in row]
    low, high = min(clipped), max(clipped)
    return [0.5 if high == low else (value - low) / (high - low) for value in clipped]


@pytest.mark.parametrize("percentile", [100, 99, 90.5])
def test_normalize_over_all_frames(values, spans, percentile):
    expected = [slow_normalize(row.tolist(), percentile) for row in values]
    np.testing.assert_allclose(
        apply("normalize", values, spans, percentile=percentile), expected, rtol=1e-12, atol=1e-15
    )


def test_normalize_over_each_video(values, spans):
    expected = by_video(lambda row: slow_normalize(row, 95), values, spans)
    found = apply("normalize", values, spans, percentile=95, scope="video")
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
    assert (found[:, 0] == 0.5).all()  # a video of one frame


def test_normalize_clips_negatives_and_saturates_what_is_above_the_percentile(index_of):
    values = np.array([[-2.0, -1.0, 0.0, *range(1, 98)]])
    found = apply("normalize", values, index_of(100).spans, percentile=98)
    assert found[0, :3].tolist() == [0, 0, 0]
    assert (found[0] == 1).sum() == 2
    assert np.isclose(found[0, 3], 1 / np.percentile(values, 98))


@pytest.mark.parametrize("constant", [0.0, 0.7, -3.0])
@pytest.mark.parametrize("scope", ["all", "video"])
def test_normalize_gives_one_half_where_all_values_are_one(spans, constant, scope):
    values = np.stack([np.full(sum(LENGTHS), constant), np.arange(sum(LENGTHS), dtype=float)])
    found = apply("normalize", values, spans, scope=scope)
    assert (found[0] == 0.5).all()
    assert found[1].max() == 1


def test_rank_is_that_of_pandas(values, spans):
    values = values.round(1)  # so that there are ties
    expected = [pd.Series(row).rank(pct=True) for row in values]
    np.testing.assert_allclose(apply("rank", values, spans), expected, rtol=0, atol=1e-15)


def test_rank_of_values_that_were_not_among_the_fitted(index_of):
    fitted = FITS["rank"](np.array([[4.0, 1.0, 2.0, 3.0]]))
    found = STEPS["rank"](np.array([[-9.0, 2.5, 4.0, 99.0]]), index_of(4).spans, fitted)
    assert found.tolist() == [[0.25, 0.625, 1.0, 1.0]]


def test_of_two_detectors_the_one_that_is_sure_decides_by_squared_excess(index_of):
    sure, calm = np.array([[4.0, 1.0]]), np.array([[-3.0, 1.0]])
    squared = [apply("squared_excess", scores, index_of(2).spans) for scores in (sure, calm)]
    assert [one.tolist() for one in squared] == [[[16.0, 1.0]], [[0.0, 1.0]]]
    (outvoted, other), (found, beside) = np.mean([sure, calm], 0)[0], np.mean(squared, 0)[0]
    assert outvoted < other and found > beside


@pytest.mark.parametrize(("name", "options"), [("normalize", {"percentile": 95}), ("rank", {})])
def test_fitted_values_give_a_single_video_the_numbers_of_the_whole_run(values, spans, index_of, name, options):
    bound = STEPS.bind(name, options)
    fitted = FITS[name](values, **bound)
    whole = STEPS[name](values, spans, fitted, **bound)
    for span in spans:
        alone = index_of(span.stop - span.start).spans
        found = STEPS[name](values[:, span], alone, fitted, **bound)
        assert found.tobytes() == np.ascontiguousarray(whole[:, span]).tobytes()
        assert not np.array_equal(apply(name, values[:, span], alone, **options), found)


@pytest.mark.parametrize(("name", "formula"), [("mean", np.mean), ("median", np.median), ("max", np.max)])
def test_members_are_combined_frame_by_frame(values, spans, name, formula):
    expected = [[formula(values[:, frame].tolist()) for frame in range(values.shape[1])]]
    np.testing.assert_allclose(apply(name, values, spans), expected, rtol=1e-15)
    assert name in COMBINING


@pytest.mark.parametrize("sigma", [0.5, 3, 10])
def test_gaussian(values, spans, sigma):
    radius = int(4 * sigma + 0.5)
    weights = [np.exp(-0.5 * (k / sigma) ** 2) for k in range(-radius, radius + 1)]

    def formula(row):
        if len(row) == 1:
            return row
        return [
            sum(w * mirrored(row, i + k) for w, k in zip(weights, range(-radius, radius + 1), strict=True))
            / sum(weights)
            for i in range(len(row))
        ]

    np.testing.assert_allclose(
        apply("gaussian", values, spans, sigma=sigma), by_video(formula, values, spans), rtol=1e-12
    )


@pytest.mark.parametrize("window", [2, 3, 4, 7, 15])
def test_median_filter(values, spans, window):
    def formula(row):
        if len(row) <= window:
            return row
        around = range(-(window // 2), window - window // 2)
        return [sorted(mirrored(row, i + k) for k in around)[window // 2] for i in range(len(row))]

    found = apply("median_filter", values, spans, window=window)
    assert np.array_equal(found, by_video(formula, values, spans))


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1])
def test_ema_goes_both_ways(values, spans, alpha):
    def one_way(row):
        smooth = row[:1]
        for value in row[1:]:
            smooth.append(alpha * value + (1 - alpha) * smooth[-1])
        return smooth

    def formula(row):
        return [(a + b) / 2 for a, b in zip(one_way(row), one_way(row[::-1])[::-1], strict=True)]

    np.testing.assert_allclose(apply("ema", values, spans, alpha=alpha), by_video(formula, values, spans), rtol=1e-12)


@pytest.mark.parametrize(("window", "polyorder"), [(3, 1), (5, 2), (11, 2)])
def test_savgol_fits_a_polynomial_around_each_frame(values, spans, window, polyorder):
    def formula(row):
        if len(row) <= window:
            return row
        smooth = []
        for i in range(len(row)):
            start = min(max(i - window // 2, 0), len(row) - window)  # the first and last window serve the edges
            fit = np.polyfit(range(start, start + window), row[start : start + window], polyorder)
            smooth.append(np.polyval(fit, i))
        return smooth

    found = apply("savgol", values, spans, window=window, polyorder=polyorder)
    np.testing.assert_allclose(found, by_video(formula, values, spans), rtol=1e-8, atol=1e-9)


def test_savgol_fits_a_parabola_unless_told_otherwise(values, spans):
    assert np.array_equal(
        apply("savgol", values, spans, window=7), apply("savgol", values, spans, window=7, polyorder=2)
    )


@pytest.mark.parametrize(
    ("name", "options"), [("gaussian", {"sigma": 0}), ("median_filter", {"window": 1}), ("ema", {"alpha": 1})]
)
def test_the_weakest_smoothing_changes_nothing(values, spans, name, options):
    np.testing.assert_allclose(apply(name, values, spans, **options), values, rtol=1e-15)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gaussian", {"sigma": 5}),
        ("median_filter", {"window": 5}),
        ("ema", {"alpha": 0.1}),
        ("savgol", {"window": 5}),
        ("normalize", {"scope": "video"}),
    ],
)
def test_a_video_is_never_touched_by_its_neighbour(values, spans, name, options):
    changed = values.copy()
    changed[:, spans[2]] += 100
    before, after = apply(name, values, spans, **options), apply(name, changed, spans, **options)
    kept = np.ones(values.shape[1], bool)
    kept[spans[2]] = False
    assert np.array_equal(before[:, kept], after[:, kept])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("normalize", {"percentile": 0}, 'step "normalize": percentile must be above 0, not 0'),
        ("normalize", {"percentile": 101}, 'step "normalize": percentile must be at most 100, not 101'),
        ("normalize", {"scope": "clip"}, "step \"normalize\": scope must be one of all, video, not 'clip'"),
        ("gaussian", {}, 'step "gaussian" needs the option "sigma"'),
        ("gaussian", {"sigma": -1}, 'step "gaussian": sigma must be at least 0, not -1'),
        ("savgol", {"window": 8}, 'step "savgol": window must be odd, not 8'),
        ("ema", {"alpha": 1.5}, 'step "ema": alpha must be at most 1, not 1.5'),
    ],
)
def test_options_out_of_bounds_are_refused(refuses, name, options, message):
    with refuses(message):
        STEPS.bind(name, options)


def test_local_zscore_of_a_wide_radius_takes_little_memory():
    scores = np.random.default_rng(0).random((1, 4000))
    tracemalloc.start()
    found = STEPS["local_zscore"](scores, [slice(0, 4000)], radius=4000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # all at once: 700 MB
    others = np.delete(scores[0], 1234)
    assert found[0, 1234] == pytest.approx(abs(scores[0, 1234] - others.mean()) / others.std(), rel=1e-6)


def test_fill_nearest_takes_the_earlier_of_two_and_little_memory():
    gaps = np.array([[np.nan, 1, np.nan, np.nan, np.nan, 2, np.nan]])
    assert STEPS["fill"](gaps, [slice(0, 7)], value="nearest").tolist() == [[1, 1, 1, 1, 2, 2, 2]]
    scores = np.where(np.arange(200_000) % 3 == 1, 1.0, np.nan)[None]
    assert (STEPS["fill"](scores, [slice(0, 200_000)], value="nearest") == 1).all()  # by squares: 100 GB
