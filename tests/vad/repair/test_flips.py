"""Frames that are upside down are turned back, and no others; what decides is in the state and the frame itself."""

import itertools

import numpy as np
import pytest
import torch

from vad.catalog import Named
from vad.data.frame_index import FrameIndex
from vad.data.layouts import read_frameset
from vad.frames.repaired import TrainRepairs, read_evidence, write_findings
from vad.frames.store import SplitSource, open_frames
from vad.images.decode import read_image
from vad.images.view import square
from vad.repair import SKETCH, fit, from_arrays, to_arrays
from vad.synthetic import street, street_scenes
from vad.synthetic.corruption import corrupt
from vad.synthetic.street_drawing import draw_scenery
from vad.system.weights import load_tensors, save_tensors

FLIPS = (Named("flips"),)
VIEW = square(64)


def fitted_on(*videos):
    """The repair, fitted on these videos of train frames, RGB images each."""
    sketches = np.stack([SKETCH.see(image) for video in videos for image in video])
    numbers = np.concatenate([np.arange(len(video)) for video in videos])
    index = FrameIndex(np.repeat(np.arange(1, len(videos) + 1), [len(video) for video in videos]), numbers)
    (repair,) = fit(FLIPS, [sketches], index)
    return repair


def turned(repair, image):
    """Whether a frame is turned. Its evidence and its pixels must say the same."""
    found, evidence = repair.apply(image)
    assert np.array_equal(found, image[::-1] if evidence > 0 else image)
    return evidence > 0


@pytest.fixture(scope="module")
def demo(demo_street, tmp_path_factory):
    return read_frameset(demo_street, tmp_path_factory.mktemp("index"))


@pytest.fixture(scope="module")
def repairs(demo, tmp_path_factory):
    return TrainRepairs(FLIPS, SplitSource(demo.train), demo.train.index, tmp_path_factory.mktemp("sketches"))


@pytest.fixture(scope="module")
def flipped():
    """Which test frames of the demo street are upside down, drawn as the street draws them."""
    generator = np.random.default_rng(street.SEED)
    draw_scenery(generator)
    street_scenes.training_clips(street.TRAIN_VIDEOS, street.TRAIN_FRAMES, generator)
    clips = street_scenes.test_clips(street.TEST_FRAMES, generator)
    kinds = iter(street.draw_kinds(street.TEST_VIDEOS * street.TEST_FRAMES, generator))
    drawn = {(clip.video, number): next(kinds) for clip in clips for number in clip.numbers}
    return np.asarray([drawn[key] == "flip" for key in sorted(drawn)])


def test_upside_down_frames_of_the_demo_street_are_turned_and_none_else(demo, repairs, flipped, tmp_path):
    source, view = SplitSource(demo.test), VIEW.repaired(repairs.fitted)
    frames = open_frames(source, [VIEW, view], tmp_path)
    evidence = read_evidence(source, view, tmp_path)
    assert evidence.shape == (len(demo.test), 1)
    assert 20 < flipped.sum() < 60
    assert np.array_equal(evidence[:, 0] > 0, flipped)
    paths = [path for video in demo.test.videos for path in video.images]
    for position, path in enumerate(paths):
        if flipped[position]:
            assert np.array_equal(frames[view][position], VIEW.see(np.ascontiguousarray(read_image(path)[::-1])))
        else:
            assert np.array_equal(frames[view][position], frames[VIEW][position])
    # No frame is near the edge: neither a little noise nor another version of a decoder decides.
    assert np.abs(evidence).min() > 0.1

    write_findings(tmp_path / "repairs.csv", demo.test.index, view.repairs, evidence)
    header, *rows = (tmp_path / "repairs.csv").read_text().splitlines()
    assert header == "Id,flips,flips_evidence"
    assert [row.split(",")[0] for row in rows] == demo.test.index.ids
    assert [row.split(",")[1] == "1" for row in rows] == flipped.tolist()


def test_a_video_alone_is_repaired_as_among_the_others(demo, repairs, tmp_path):
    view = VIEW.repaired(repairs.fitted)
    span = demo.test.index.spans[2]
    keep = {video.id: slice(None) if number == 2 else slice(0, 0) for number, video in enumerate(demo.test.videos)}
    alone, whole = SplitSource(demo.test.slice(keep)), SplitSource(demo.test)
    expected = open_frames(whole, [view], tmp_path / "whole")[view][span]
    assert np.array_equal(open_frames(alone, [view], tmp_path / "alone")[view], expected)
    found = read_evidence(alone, view, tmp_path / "alone")
    assert np.array_equal(found, read_evidence(whole, view, tmp_path / "whole")[span])


@pytest.mark.parametrize("kind", ["clean", "noise", "sign"])
def test_the_competitions_noise_hides_no_flip_and_makes_none(demo, repairs, kind):
    (repair,) = repairs.fitted
    for number, path in enumerate(path for video in demo.train.videos for path in video.images[::9]):
        image = corrupt(read_image(path), kind, np.random.default_rng(number))
        assert not turned(repair, image), path
        assert turned(repair, corrupt(image, "flip", np.random.default_rng(number))), path


def test_what_was_turned_is_the_frame_as_it_was_before_the_flip(demo, repairs):
    (repair,) = repairs.fitted
    image = read_image(demo.train.videos[0].images[7])
    back, evidence = repair.apply(np.ascontiguousarray(image[::-1]))
    assert np.array_equal(back, image) and back.flags.c_contiguous
    again, against = repair.apply(back)
    assert again is back and against < 0 < evidence


@pytest.mark.parametrize("kind", ["black", "plain", "sideways", "another scene"])
def test_frames_that_are_merely_odd_are_left_alone(picture, kind):
    repair = fitted_on([picture(step) for step in range(12)])
    across = np.linspace(0, 255, 64)[None, :, None]
    checks = np.kron(np.indices((6, 8)).sum(0) % 2, np.ones((8, 8)))[..., None] * 255
    odd = {"black": 0 * across, "plain": 0 * across + 99, "sideways": across, "another scene": checks}[kind]
    assert not turned(repair, np.ascontiguousarray(np.broadcast_to(odd, (48, 64, 3)).astype(np.uint8)))


def test_a_scene_that_is_symmetric_top_to_bottom_is_left_alone(picture):
    """As under a camera that looks straight down: walkers tell a frame from its mirror image, but not which is which."""

    def seen_from_above(step):
        ramp = np.linspace(60, 200, 24)
        image = np.broadcast_to(np.concatenate([ramp, ramp[::-1]])[:, None, None], (48, 64, 3)).copy()
        image[(7 * step) % 40 : (7 * step) % 40 + 8, (5 * step) % 56 : (5 * step) % 56 + 8] = 20
        return image.astype(np.uint8)

    repair = fitted_on([seen_from_above(step) for step in range(30)])
    for step in range(30, 40):
        for image in (seen_from_above(step), np.ascontiguousarray(seen_from_above(step)[::-1]), picture(step)):
            assert not turned(repair, image)


def in_the_yard(step):
    """Another scene than the street's: a bright door in a dark wall, a grey floor."""
    image = np.full((48, 64, 3), 50, np.uint8)
    image[34:] = 110
    image[8:34, 40:52] = 235
    image[30:36, (3 * step) % 40 : (3 * step) % 40 + 5] = (200, 40, 40)
    return image


def test_each_of_two_scenes_has_its_own_way_up(picture):
    repair = fitted_on([picture(step) for step in range(20)], [in_the_yard(step) for step in range(15)])
    assert len(repair.state["medians"]) == 2
    for scene, step in itertools.product((picture, in_the_yard), range(30, 36)):
        assert not turned(repair, scene(step))
        assert turned(repair, np.ascontiguousarray(scene(step)[::-1]))
    for known, other in ((picture, in_the_yard), (in_the_yard, picture)):
        alone = fitted_on([known(step) for step in range(20)])
        assert not turned(alone, other(30))


def test_videos_of_one_scene_are_kept_once(picture):
    videos = [[picture(step) for step in range(first, first + 12)] for first in (0, 20, 40)]
    assert len(fitted_on(*videos).state["medians"]) == 1


def test_where_one_scene_is_the_other_upside_down_nothing_is_turned(picture):
    upright = [picture(step) for step in range(12)]
    repair = fitted_on(upright, [picture(step, flipped=True) for step in range(12)])
    assert not any(turned(repair, image) for image in (picture(20), picture(20, flipped=True)))


@pytest.mark.parametrize("flipped", [{4}, {0, 5, 16}])
def test_a_few_train_frames_that_are_upside_down_mislead_nobody(picture, flipped):
    repair = fitted_on([picture(step, flipped=step in flipped) for step in range(10 * len(flipped) - 1)])
    assert turned(repair, picture(200, flipped=True)) and not turned(repair, picture(200))


def test_the_state_decides_alone_and_comes_back_from_a_file(picture, tmp_path):
    repair = fitted_on([picture(step) for step in range(12)], [in_the_yard(step) for step in range(12)])
    arrays = {key: torch.from_numpy(values) for key, values in to_arrays([repair]).items()}
    save_tensors(tmp_path / "repairs.safetensors", arrays, {})
    loaded = {key: values.numpy() for key, values in load_tensors(tmp_path / "repairs.safetensors")[0].items()}
    (again,) = from_arrays(FLIPS, loaded)
    assert again == repair and again.label == repair.label
    images = [picture(30), picture(31, flipped=True), in_the_yard(32), np.zeros((48, 64, 3), np.uint8)]
    before = [repair.apply(image)[1] for image in images]
    assert [again.apply(image)[1] for image in images[::-1]] == before[::-1]


def test_another_state_is_another_repair_and_another_view(picture):
    first, second = (fitted_on([scene(step) for step in range(12)]) for scene in (picture, in_the_yard))
    assert first != second and first.label != second.label
    assert first == fitted_on([picture(step) for step in range(12)])
    assert VIEW.repaired([first]).label != VIEW.repaired([second]).label
    assert VIEW.repaired([first]) != VIEW.repaired([second])
