"""Steps that fill or look for what is unlike its surroundings, against a slow formula for one video of one member at a time."""

import numpy as np
import pytest
from scipy import ndimage

from vad.catalog import Named
from vad.scoring.pipeline import Scored, Stream, Variant, run_pipeline
from vad.scoring.steps import STEPS

LENGTHS = (1, 2, 3, 7, 40, 4, 11)
NAN = float("nan")


@pytest.fixture
def spans(index_of):
    return index_of(*LENGTHS).spans


@pytest.fixture
def values():
    return np.random.default_rng(5).gamma(2, 1, (3, sum(LENGTHS))) - 0.3


def apply(name, values, spans, **options):
    return STEPS[name](values, spans, **STEPS.bind(name, options))


def by_video(formula, values, spans):
    """`formula` of a list of floats, for each member and each video by itself."""
    return np.array([np.concatenate([formula(row[span].tolist()) for span in spans]) for row in values])


def slow_nearest(row):
    known = [i for i, value in enumerate(row) if value == value]
    if not known:
        return row
    return [row[min(known, key=lambda i: (abs(i - frame), i))] for frame in range(len(row))]


def slow_zscore(row, radius):
    found = []
    for i, value in enumerate(row):
        beside = row[max(0, i - radius) : i] + row[i + 1 : i + 1 + radius]
        if len(beside) < 2:
            found.append(0.0)
            continue
        mean = sum(beside) / len(beside)
        deviation = (sum((b - mean) ** 2 for b in beside) / len(beside)) ** 0.5
        found.append(abs(value - mean) / (deviation + 1e-8))
    return found


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_fill_takes_the_nearest_score_of_the_video(values, spans, share):
    holed = np.where(np.random.default_rng(1).random(values.shape) < share, np.nan, values)
    found = apply("fill", holed, spans, value="nearest")
    assert np.array_equal(found, by_video(slow_nearest, holed, spans), equal_nan=True)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([NAN, NAN, 3, 4, NAN, NAN, 7], [3, 3, 3, 4, 4, 7, 7]),
        ([1, NAN, 3, NAN, NAN, NAN, 7], [1, 1, 3, 3, 3, 7, 7]),
        ([NAN, 2, NAN, NAN, NAN, NAN, NAN], [2] * 7),
        ([1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7]),
        ([NAN] * 7, [NAN] * 7),
    ],
)
def test_of_two_frames_as_near_the_earlier_one_counts(index_of, row, expected):
    found = apply("fill", np.array([row], float), index_of(7).spans, value="nearest")
    assert np.array_equal(found, [expected], equal_nan=True)


def test_nearest_takes_nothing_from_another_video(index_of):
    found = apply("fill", np.array([[1, NAN, NAN, NAN, NAN, 6.0]]), index_of(2, 2, 2).spans, value="nearest")
    assert np.array_equal(found, [[1, 1, NAN, NAN, 6, 6]], equal_nan=True)


@pytest.mark.parametrize("value", [0, 0.25, 3])
def test_fill_with_a_number(values, spans, value):
    holed = np.where(np.random.default_rng(1).random(values.shape) < 0.5, np.nan, values)
    expected = [[value if np.isnan(x) else x for x in row] for row in holed.tolist()]
    assert apply("fill", holed, spans, value=value).tolist() == expected


def test_each_member_has_its_own_holes(index_of):
    found = apply("fill", np.array([[NAN, 2.0, 3.0], [1.0, 2.0, NAN]]), index_of(3).spans, value="nearest")
    assert found.tolist() == [[2, 2, 3], [1, 2, 2]]


@pytest.mark.parametrize("radius", [1, 2, 3, 5, 20, 100])
def test_local_zscore(values, spans, radius):
    expected = by_video(lambda row: slow_zscore(row, radius), values, spans)
    np.testing.assert_allclose(apply("local_zscore", values, spans, radius=radius), expected, rtol=1e-6, atol=1e-9)


def test_local_zscore_looks_five_frames_to_each_side_unless_told_otherwise(values, spans):
    assert np.array_equal(apply("local_zscore", values, spans), apply("local_zscore", values, spans, radius=5))


def test_local_zscore_of_a_flat_course_is_zero(spans):
    assert not apply("local_zscore", np.full((2, sum(LENGTHS)), 0.5), spans).any()


def slow_residual(row, sigma, spread, shortest):
    if len(row) < shortest:
        return [0.0] * len(row)
    smooth = ndimage.gaussian_filter1d(row, sigma)
    away = [abs(value - mean) for value, mean in zip(row, smooth, strict=True)]
    return [d / (mean + 1e-8) for d, mean in zip(away, ndimage.gaussian_filter1d(away, spread), strict=True)]


@pytest.mark.parametrize(("sigma", "spread", "shortest"), [(3, 6, 5), (1, 2, 5), (3, 6, 1), (0.5, 10, 12)])
def test_gaussian_residual(values, spans, sigma, spread, shortest):
    expected = by_video(lambda row: slow_residual(row, sigma, spread, shortest), values, spans)
    found = apply("gaussian_residual", values, spans, sigma=sigma, spread=spread, shortest=shortest)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_gaussian_residual_has_the_references_values_unless_told_otherwise(values, spans):
    expected = by_video(lambda row: slow_residual(row, 3.0, 6.0, 5), values, spans)
    np.testing.assert_allclose(apply("gaussian_residual", values, spans), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "options"), [("local_zscore", {"radius": 3}), ("gaussian_residual", {}), ("fill", {"value": "nearest"})]
)
def test_a_video_is_never_touched_by_its_neighbour(values, spans, name, options):
    values[:, ::3] = np.nan if name == "fill" else values[:, ::3]
    changed = values.copy()
    changed[:, spans[3]] += 100
    before, after = apply(name, values, spans, **options), apply(name, changed, spans, **options)
    kept = np.ones(values.shape[1], bool)
    kept[spans[3]] = False
    assert np.array_equal(before[:, kept], after[:, kept], equal_nan=True)
    assert not np.array_equal(before[:, ~kept], after[:, ~kept])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fill", {}, 'step "fill" needs the option "value"'),
        ("fill", {"value": -1}, 'step "fill": value must be at least 0 or must be one of nearest, not -1'),
        ("fill", {"value": "far"}, "step \"fill\": value must be a number or must be one of nearest, not 'far'"),
        ("local_zscore", {"radius": 0}, 'step "local_zscore": radius must be at least 1, not 0'),
        ("gaussian_residual", {"sigma": 0}, 'step "gaussian_residual": sigma must be at least 0.01, not 0'),
    ],
)
def test_options_out_of_bounds_are_refused(refuses, name, options, message):
    with refuses(message):
        STEPS.bind(name, options)


MEAN_ERROR = Named("mean")
ZERO, NEAREST = Named("fill", (("value", 0.0),)), Named("fill", (("value", "nearest"),))
SMOOTH = Named("gaussian", (("sigma", 1.0),))


def outcome_of(scores, steps, index):
    streams = {"s": Stream(("m-1",), MEAN_ERROR, tuple(steps))}
    variants = {"v": Variant("single", ("s",), (), (SMOOTH,))}
    return run_pipeline(streams, variants, Scored(index, {("m-1", MEAN_ERROR): np.array(scores, float)}))


@pytest.mark.parametrize("steps", [[], [SMOOTH], [Named("rank")], [Named("mean")], [SMOOTH, NEAREST]])
def test_first_frames_without_a_score_are_refused_where_nothing_fills_them(index_of, refuses, steps):
    with refuses(
        'stream "s": frame 1_0 and 2 more have no score, as their members need the frames before or a repair leaves it out; '
        "begin the steps with {fill: nearest} or {fill: 0}"
    ):
        outcome_of([NAN, NAN, 3, 4, NAN, 6, 7], steps, index_of(4, 3))


@pytest.mark.parametrize(("lengths", "scores", "who"), [
    ((3, 2), [1, 2, 3, NAN, NAN], "video 2 has 2 frames"),
    ((1, 2), [NAN, 2, 3], "video 1 has 1 frame"),
])  # fmt: skip
@pytest.mark.parametrize("steps", [[], [SMOOTH], [NEAREST], [NEAREST, SMOOTH]])
def test_a_video_without_any_score_is_refused_unless_a_number_fills_it(index_of, refuses, lengths, scores, who, steps):
    with refuses(
        f'stream "s": {who}, too few for what its members look at at once (with break_at_gaps, too few without a gap); '
        "leave the video out, or begin the steps with {fill: 0}"
    ):
        outcome_of(scores, steps, index_of(*lengths))


def test_one_frame_without_a_score_is_named(index_of, refuses):
    with refuses(
        'stream "s": frame 1_0 has no score, as its members need the frames before or a repair leaves it out; '
        "begin the steps with {fill: nearest} or {fill: 0}"
    ):
        outcome_of([NAN, 2, 3], [], index_of(3))


def test_what_is_filled_first_passes_the_other_steps(index_of):
    index = index_of(4, 3)
    scores = [NAN, NAN, 3, 4, NAN, 6, 7]
    zero, nearest = outcome_of(scores, [ZERO, SMOOTH], index), outcome_of(scores, [NEAREST], index)
    expected = [ndimage.gaussian_filter1d(part, 1.0) for part in ([0.0, 0, 3, 4], [0.0, 6, 7])]
    np.testing.assert_allclose(zero.streams["s"], np.concatenate(expected), rtol=1e-12)
    assert nearest.streams["s"].tolist() == [3, 3, 3, 4, 6, 6, 7]
    assert np.isfinite(nearest.variants["v"]).all()
