"""How a frame is seen: region, colour, size, and repairs before them, against NumPy and OpenCV."""

import json
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from vad.images.decode import resize
from vad.images.view import View, from_plain, look, sides, square

LOWER, LEFT = (0.0, 0.5, 1.0, 1.0), (0.0, 0.0, 0.25, 1.0)


@dataclass(frozen=True)
class Darken:
    """A repair that halves all values and says how many frames it has seen."""

    label: str
    seen: list = None

    def __hash__(self):
        return hash(self.label)

    def apply(self, image):
        self.seen.append(image)
        return image // 2, 0.5


VIEWS = [
    square(48),
    square(64),
    View(48, 64),
    View(64, 48),
    View(48, 48, "grey"),
    View(48, 64, "grey"),
    View(48, 48, "rgb", LOWER),
    View(48, 48, "rgb", LEFT),
    View(48, 48, "grey", LOWER),
]


def test_a_square_in_colour_is_its_size_as_the_first_stores_have_it():
    view = square(64)
    assert (view.height, view.width, view.colour, view.region, view.repairs) == (64, 64, "rgb", None, ())
    assert (view.label, view.plain(), view.shape) == ("64", 64, (64, 64, 3))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.label)
def test_plain_values_come_back_as_the_view(view):
    assert from_plain(json.loads(json.dumps(view.plain()))) == view


def test_no_two_views_have_one_label_which_is_a_word_for_a_files_name():
    repaired = [view.repaired([Darken("first"), Darken("second")][:count]) for view in VIEWS for count in (0, 1, 2)]
    labels = [view.label for view in repaired]
    assert len(set(labels)) == len(repaired) == 27
    assert all(set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.") for label in labels)


def test_repairs_are_no_part_of_what_is_learnt_from_train_frames():
    view = View(48, 64, "grey", LOWER)
    assert view.repaired([Darken("a")]).plain() == view.plain()
    assert view.repaired([Darken("a")]) != view
    assert view.repaired([Darken("a")]).repaired([]) == view


@pytest.mark.parametrize(
    ("region", "part"),
    [
        (None, np.s_[:, :]),
        (LOWER, np.s_[24:, :]),
        (LEFT, np.s_[:, :16]),
        ((0.1, 0.2, 0.9, 0.7), np.s_[10:34, 6:58]),  # sides of 48 x 64, rounded
        ((0.5, 0.5, 0.501, 0.501), np.s_[24:25, 32:33]),  # one pixel at least
    ],
)
def test_a_region_is_cut_out_before_colour_and_size(picture, region, part):
    image = picture(3)
    cut = np.ascontiguousarray(image[part])
    assert np.array_equal(View(20, 30, "rgb", region).see(image), resize(cut, 20, 30))
    grey = cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY)
    assert np.array_equal(View(20, 30, "grey", region).see(image), resize(grey, 20, 30))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.label)
def test_a_frame_has_the_shape_of_its_view_and_the_image_stays_as_it_was(picture, view):
    image = picture(1)
    seen = view.see(image)
    assert (seen.shape, seen.dtype) == (view.shape, np.uint8)
    assert np.array_equal(image, picture(1))


def test_a_frame_of_the_size_of_the_view_is_left_as_it_is(picture):
    assert np.array_equal(View(48, 64).see(picture(1)), picture(1))


@pytest.mark.parametrize(
    ("size", "frame", "expected"),
    [
        (384, (360, 640), (224, 384)),
        (384, (640, 360), (384, 224)),
        (384, (240, 360), (256, 384)),
        (384, (500, 500), (384, 384)),
        (100, (360, 640), (64, 96)),
        (64, (10, 640), (32, 64)),  # no side vanishes
        (8, (360, 640), (32, 32)),
    ],
)
def test_sides_in_the_frames_aspect_ratio_are_multiples_of_32(size, frame, expected):
    assert sides(size, True, frame) == expected
    assert sides(size, False, frame) == (size, size)


def test_look_repairs_once_for_all_views_that_want_it_before_anything_is_cut(picture):
    image, seen = picture(2), []
    darken = Darken("d", seen)
    views = [square(16), square(16).repaired([darken]), View(16, 24, "grey", LOWER).repaired([darken]), square(20)]
    found = look(image, views)
    assert len(seen) == 1 and np.array_equal(seen[0], image)
    expected = [views[0].see(image), views[1].see(image // 2), views[2].see(image // 2), views[3].see(image)]
    for (frame, _), wanted in zip(found, expected, strict=True):
        assert np.array_equal(frame, wanted)
    assert [evidence for _, evidence in found] == [[], [0.5], [0.5], []]


def test_repairs_follow_one_another_each_with_its_evidence(picture):
    first, second = Darken("first", []), Darken("second", [])
    ((frame, evidence),) = look(picture(2), [View(48, 64).repaired([first, second])])
    assert np.array_equal(frame, picture(2) // 2 // 2)
    assert np.array_equal(second.seen[0], picture(2) // 2)
    assert evidence == [0.5, 0.5]


def test_views_that_differ_are_two_and_such_that_do_not_are_one():
    assert len({replace(view) for view in [*VIEWS, *VIEWS]}) == len(VIEWS)
