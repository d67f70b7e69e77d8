"""Painted anomalies: where they are, that nothing else is touched, and that all follows from frames and seed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vad.data.layouts import read_frameset
from vad.frames.store import SplitSource, map_path, open_frames
from vad.images.decode import read_image, read_movie
from vad.images.view import square
from vad.synthetic.painted import PaintedSource

LENGTHS = {1: range(60), 2: range(7, 47), 5: range(90)}


@pytest.fixture
def read(tmp_path):
    """The training split of a data set."""
    return lambda root: read_frameset(root, tmp_path / "index").train


@pytest.fixture
def split(dataset, read, tmp_path):
    return read(dataset(tmp_path / "data", train=LENGTHS, size=(96, 64)))


def frames_of(source):
    return {position: image for task in source.tasks() for position, image in task()}


def runs(labels, span):
    """The lengths of runs of painted frames in one video."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], labels[span].astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def test_three_in_ten_frames_of_each_video_are_painted_in_runs(split):
    source = PaintedSource(split, 3)
    assert source.index == split.index
    assert len(source) == len(split) == len(source.labels)
    assert source.labels.dtype == bool
    for span in source.index.spans:
        assert source.labels[span].mean() == pytest.approx(0.3, abs=0.02)
        assert all(8 <= length <= 24 for length in runs(source.labels, span))


def test_another_seed_paints_other_frames(split):
    first, same, other = PaintedSource(split, 3), PaintedSource(split, 3), PaintedSource(split, 4)
    assert first.digest == same.digest
    assert np.array_equal(first.labels, same.labels)
    assert first.digest not in (other.digest, split.digest)
    assert not np.array_equal(first.labels, other.labels)


def test_painting_touches_painted_frames_alone_and_only_a_patch_of_them(split):
    source = PaintedSource(split, 3)
    originals = frames_of(SplitSource(split))
    for position, image in originals.items():
        before = image.copy()
        painted = source.paint(position, image)
        assert np.array_equal(image, before)
        changed = (painted != image).any(2)
        if not source.labels[position]:
            assert not changed.any()
            continue
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert len(rows)
        assert np.ptp(rows) < 0.32 * image.shape[0]
        assert np.ptp(columns) < 0.5 * image.shape[1]


def test_a_patch_moves_along_a_straight_path(split):
    source = PaintedSource(split, 3)
    originals = frames_of(SplitSource(split))
    moved = 0
    for span in source.index.spans:
        painted = [p for p in range(span.start, span.stop) if source.labels[p]]
        for stretch in np.split(painted, np.flatnonzero(np.diff(painted) > 1) + 1):
            middles = []
            for position in stretch.tolist():
                where = np.argwhere((source.paint(position, originals[position]) != originals[position]).any(2))
                middles.append((where.min(0) + where.max(0)) / 2)
            path = np.array(middles)
            line = np.linspace(path[0], path[-1], len(path))
            assert np.abs(path - line).max() < 6
            moved += np.abs(path[-1] - path[0]).max() > 2
    assert moved >= 3


def test_neither_order_nor_threads_matter(split):
    expected = frames_of(PaintedSource(split, 3))
    source = PaintedSource(split, 3)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda task: list(task()), reversed(source.tasks())))
    found = dict(pair for part in parts for pair in part)
    assert sorted(found) == list(range(len(split)))
    assert all(np.array_equal(found[position], expected[position]) for position in expected)


def test_the_same_frames_elsewhere_give_the_same(dataset, read, split, tmp_path):
    elsewhere = read(dataset(tmp_path / "more" / "data", train=LENGTHS, size=(96, 64)))
    one, two = PaintedSource(split, 3), PaintedSource(elsewhere, 3)
    assert one.digest == two.digest
    first, second = frames_of(one), frames_of(two)
    assert all(np.array_equal(first[position], second[position]) for position in first)


def test_every_frame_passes_the_corruption_law(split):
    source = PaintedSource(split, 3)
    ramp = np.ascontiguousarray(np.broadcast_to(np.linspace(60, 190, 64).astype(np.uint8)[:, None, None], (64, 96, 3)))
    kinds = []
    for position in range(len(source)):
        image = source.corrupt(position, ramp).astype(float)
        if image[0].mean() > image[-1].mean():
            kinds.append("flip")
        else:
            kinds.append(int(np.digitize((image - ramp).std(), [4, 14])))
    shares = [kinds.count(kind) / len(kinds) for kind in (0, 1, 2, "flip")]
    assert shares == pytest.approx([0.498, 0.2, 0.2, 0.102], abs=0.09)


def test_it_is_stored_as_any_source(split, tmp_path):
    source = PaintedSource(split, 3)
    maps = open_frames(source, [square(16), square(32)], tmp_path / "maps")
    assert {view: frames.shape for view, frames in maps.items()} == {
        square(size): (190, size, size, 3) for size in (16, 32)
    }
    assert map_path(tmp_path / "maps", source, square(32)).is_file()
    assert not map_path(tmp_path / "maps", SplitSource(split), square(32)).exists()


def test_a_held_out_part_is_painted_from_its_own_frames(split):
    part = split.slice({1: slice(40, None), 2: slice(0, 0), 5: slice(70, None)})
    source = PaintedSource(part, 3)
    assert source.index == part.index
    assert source.labels.sum() == 12
    assert len(frames_of(source)) == 40


def test_movies_are_painted_too(picture, save_movie, read, tmp_path):
    for half in ("training_videos", "testing_videos"):
        for name in ("01.avi", "02.avi"):
            save_movie(tmp_path / "movies" / half / name, [picture(step, (96, 64)) for step in range(40)])
    whole = read(tmp_path / "movies")
    part = whole.slice({1: slice(10, None), 2: slice(20, None)})
    source = PaintedSource(part, 3)
    assert source.labels.sum() == 9 + 6
    assert len(frames_of(source)) == 50
    images = list(read_movie(part.videos[0].movie))
    for position in range(30):
        image = images[10 + position]
        assert np.array_equal(source.paint(position, image), image) != source.labels[position]


@pytest.mark.parametrize(
    ("lengths", "painted"),
    [([1], 0), ([2], 1), ([1, 1], 1), ([1, 1, 1, 1, 1, 1, 1], 2), ([5], 2), ([20], 6), ([1, 30, 1], 9)],
)
def test_tiny_videos(dataset, read, tmp_path, lengths, painted):
    train = {video: range(length) for video, length in enumerate(lengths, 1)}
    split = read(dataset(tmp_path / "data", train=train))
    source = PaintedSource(split, 0)
    assert source.labels.sum() == painted
    assert len(frames_of(source)) == sum(lengths)


def test_frames_of_several_sizes_and_strange_shapes(picture, save, read, tmp_path):
    for half in ("training_videos", "testing_videos"):
        for video, size in enumerate([(40, 120), (200, 30), (64, 48)], 1):
            for step in range(12):
                save(tmp_path / "data" / half / f"{video:02d}" / f"{step}.jpg", picture(step, size))
    split = read(tmp_path / "data")
    source = PaintedSource(split, 1)
    for position, image in frames_of(source).items():
        path = split.videos[position // 12].images[position % 12]
        assert image.shape == read_image(path).shape
