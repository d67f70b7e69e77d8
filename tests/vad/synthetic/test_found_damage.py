"""Painted frames under what was found in test frames: on a noisy set they carry that noise, on a clean one they are as without."""

from collections import Counter

import numpy as np
import pytest

from vad.data.layouts import read_frameset
from vad.frames.store import SplitSource
from vad.images.decode import read_image
from vad.repair.noise import noise_level
from vad.synthetic import found_damage
from vad.synthetic.found_damage import find_damage
from vad.synthetic.painted import PaintedSource

SIZE = (128, 96)


@pytest.fixture
def made(dataset, save, tmp_path):
    """Both splits of a data set of which these test frames are noisy, with this deviation, and those upside down."""

    def make(noisy=(), flipped=(), sigma=20.0, train_sigma=0.0, count=20):
        root = dataset(tmp_path / "data", {1: range(60), 2: range(60)}, {1: range(count)}, SIZE)
        generator = np.random.default_rng(5)

        def shake(path, sigma):
            noise = sigma * generator.standard_normal((*SIZE[::-1], 1))
            save(path, np.clip(read_image(path) + noise, 0, 255).astype(np.uint8))

        test = sorted((root / "testing_videos").rglob("*.jpg"))
        for number in noisy:
            shake(test[number], sigma)
        for number in flipped:
            save(test[number], np.ascontiguousarray(read_image(test[number])[::-1]))
        for path in (root / "training_videos").rglob("*.jpg") if train_sigma else ():
            shake(path, train_sigma)
        frames = read_frameset(root, tmp_path / "index")
        return frames.train, frames.test

    return make


def frames_of(source):
    return [
        image for _, image in sorted((found for task in source.tasks() for found in task()), key=lambda one: one[0])
    ]


def is_flipped(image):
    return image[0].mean() < image[-1].mean()  # the sky is bright


def test_painted_frames_carry_the_noise_of_the_test_frames_and_their_share_of_it(made, tmp_path):
    train, test = made(noisy=range(0, 20, 4), flipped=(1, 6), sigma=20.0)
    damage = find_damage(test, train, tmp_path / "maps")
    assert np.flatnonzero(damage.noise).tolist() == [0, 4, 8, 12, 16]
    assert np.flatnonzero(damage.flipped).tolist() == [1, 6]
    level = np.mean([noise_level(read_image(test.videos[0].images[number])) for number in (0, 4, 8, 12, 16)])
    source = PaintedSource(train, 3, damage)
    levels = np.asarray([noise_level(image) for image in frames_of(source)])
    noisy = levels > 10
    assert levels[noisy].mean() == pytest.approx(level, rel=0.1)
    assert noisy.mean() == pytest.approx(0.25, abs=0.1)
    assert np.mean([is_flipped(image) for image in frames_of(source)]) == pytest.approx(0.1, abs=0.07)
    originals = frames_of(SplitSource(train))
    kept = [place for place, image in enumerate(frames_of(source)) if not noisy[place] and not is_flipped(image)]
    same = [np.array_equal(frames_of(source)[place], originals[place]) for place in kept if not source.labels[place]]
    assert len(same) > 40 and all(same), "other frames are not damaged"


def test_noise_and_flip_of_a_drawn_frame_come_together(made, tmp_path):
    train, test = made(noisy=range(10), flipped=range(10))
    source = PaintedSource(train, 3, find_damage(test, train, tmp_path / "maps"))
    pairs = Counter((noise_level(image) > 10, bool(is_flipped(image))) for image in frames_of(source))
    assert set(pairs) == {(True, True), (False, False)}


@pytest.mark.parametrize("train_sigma", [0.0, 20.0])
def test_test_frames_that_are_as_train_frames_change_nothing(made, tmp_path, train_sigma):
    noisy = range(10) if train_sigma else ()
    train, test = made(noisy, sigma=20.0, train_sigma=train_sigma)
    damage = find_damage(test, train, tmp_path / "maps")
    assert damage is None
    before, now = PaintedSource(train, 3), PaintedSource(train, 3, damage)
    assert before.digest == now.digest
    assert all(np.array_equal(one, other) for one, other in zip(frames_of(before), frames_of(now), strict=True))


def test_test_frames_decide_the_digest_and_order_decides_nothing(made, tmp_path):
    train, test = made(noisy=range(6))
    damage = find_damage(test, train, tmp_path / "maps")
    again = find_damage(test, train, tmp_path / "elsewhere")
    assert damage.digest == again.digest
    source, plain = PaintedSource(train, 3, damage), PaintedSource(train, 3)
    assert source.digest == PaintedSource(train, 3, again).digest != plain.digest
    assert np.array_equal(source.labels, plain.labels), "noise moves no patch"
    fewer = find_damage(test.slice({1: slice(0, 12)}), train, tmp_path / "maps")
    assert PaintedSource(train, 3, fewer).digest != source.digest
    backwards = {position: image for task in reversed(source.tasks()) for position, image in task()}
    assert all(np.array_equal(backwards[place], image) for place, image in enumerate(frames_of(source)))


def test_of_many_frames_some_are_looked_at(made, tmp_path, monkeypatch):
    monkeypatch.setattr(found_damage, "_LOOKED_AT", 8)
    train, test = made(noisy=range(0, 20, 3))
    damage = find_damage(test, train, tmp_path / "maps")
    assert len(damage.noise) == 7  # every third
    assert (damage.noise > 0).all()
