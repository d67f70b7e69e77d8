import inspect
from typing import Annotated, Literal

import pytest

from vad.catalog import Catalog, Named, Within
from vad.errors import InputError


@pytest.fixture
def fruits():
    catalog = Catalog("fruit")

    @catalog.register("apple")
    def apple(
        size: int,
        *,
        weight: Annotated[float, Within(above=0, high=2)],
        pieces: Annotated[int, Within(low=1, odd=True)] = 3,
        colour: Literal["red", "green"] = "red",
        peeled: bool = False,
        label: str = "",
        slices: Annotated[int, Within(low=1)] | None = None,
        price: Annotated[float, Within(low=0)] | Literal["free"] = "free",
    ):
        return weight * pieces

    @catalog.register("pear")
    class Pear:
        def __init__(self, size: int, *, ripe: bool = True):
            self.ripe = ripe

    @catalog.register("plum")
    def plum(size: int):
        return size

    return catalog


def test_a_block_is_found_by_its_name_and_names_are_sorted(fruits):
    assert fruits["plum"](7) == 7
    assert fruits.names() == ["apple", "pear", "plum"]
    assert "pear" in fruits
    assert "fig" not in fruits


def test_two_blocks_of_one_name_are_a_mistake(fruits):
    with pytest.raises(ValueError, match=r"^two blocks of kind fruit are called pear$"):
        fruits.register("pear")(lambda: None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("aple", 'unknown fruit "aple"; did you mean "apple"? (known: apple, pear, plum)'),
        ("xyzzy", 'unknown fruit "xyzzy" (known: apple, pear, plum)'),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(fruits, refuses, name, message):
    with refuses(message):
        fruits[name]


def test_options_are_the_keyword_only_parameters_of_functions_and_classes(fruits):
    assert list(fruits.options("apple")) == ["weight", "pieces", "colour", "peeled", "label", "slices", "price"]
    assert fruits.options("apple")["weight"].default is inspect.Parameter.empty
    assert fruits.options("apple")["pieces"].default is not inspect.Parameter.empty
    (ripe,) = fruits.options("pear").values()
    assert (ripe.name, ripe.annotation, ripe.default) == ("ripe", bool, True)
    assert fruits.options("plum") == {}


def test_binding_fills_in_the_defaults_in_the_order_of_the_signature(fruits):
    bound = fruits.bind("apple", {"colour": "green", "weight": 1})
    assert list(bound.items()) == [
        ("weight", 1),
        ("pieces", 3),
        ("colour", "green"),
        ("peeled", False),
        ("label", ""),
        ("slices", None),
        ("price", "free"),
    ]


def test_all_faults_are_reported_at_once_one_a_line(fruits):
    with pytest.raises(InputError) as caught:
        fruits.bind("apple", {"wieght": 1.0, "pieces": 4, "peeled": "yes"})
    assert str(caught.value).splitlines() == [
        'fruit "apple" has no option "wieght"; did you mean "weight"? '
        "(known: weight, pieces, colour, peeled, label, slices, price)",
        'fruit "apple": pieces must be odd, not 4',
        "fruit \"apple\": peeled must be true or false, not 'yes'",
        'fruit "apple" needs the option "weight"',
    ]


def test_a_block_without_options_says_so(fruits, refuses):
    with refuses('fruit "plum" has no option "size" (it has none)'):
        fruits.bind("plum", {"size": 3})


@pytest.mark.parametrize(
    ("option", "value", "fault"),
    [
        ("weight", 0, "must be above 0"),
        ("weight", 2.5, "must be at most 2"),
        ("weight", True, "must be a number"),
        ("weight", float("nan"), "must be a number"),
        ("weight", "1", "must be a number"),
        ("weight", None, "must be a number"),
        ("pieces", 0, "must be at least 1"),
        ("pieces", 3.0, "must be a whole number"),
        ("pieces", True, "must be a whole number"),
        ("colour", "blue", "must be one of red, green"),
        ("peeled", 1, "must be true or false"),
        ("label", 5, "must be text"),
        ("slices", 0, "must be at least 1 or must be null"),
        ("slices", "2", "must be a whole number or must be null"),
        ("price", -1, "must be at least 0 or must be one of free"),
        ("price", "dear", "must be a number or must be one of free"),
        ("price", True, "must be a number or must be one of free"),
    ],
)
def test_a_value_that_does_not_fit_its_annotation_is_refused(fruits, refuses, option, value, fault):
    with refuses(f'fruit "apple": {option} {fault}, not {value!r}'):
        fruits.bind("apple", {"weight": 1.0, option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [("weight", 1.5), ("pieces", 1), ("slices", None), ("slices", 4), ("price", "free"), ("price", 0.5)],
)
def test_a_value_that_fits_is_taken_as_it_is(fruits, option, value):
    assert fruits.bind("apple", {"weight": 1.0, option: value})[option] is value


def test_a_whole_number_where_a_float_is_meant_is_that_float(fruits):
    bound = fruits.bind("apple", {"weight": 2, "price": 0, "slices": 4})
    assert [repr(bound[key]) for key in ("weight", "price", "slices")] == ["2.0", "0.0", "4"]


@pytest.mark.parametrize(
    ("name", "given", "plain", "label"),
    [
        ("plum", {}, "plum", "plum"),
        ("pear", {}, {"pear": {"ripe": True}}, "pear-ripe_True"),
        ("pear", {"ripe": False}, {"pear": {"ripe": False}}, "pear-ripe_False"),
        (
            "apple",
            {"colour": "green", "weight": 1},
            {
                "apple": {
                    "weight": 1.0,
                    "pieces": 3,
                    "colour": "green",
                    "peeled": False,
                    "label": "",
                    "slices": None,
                    "price": "free",
                }
            },
            "apple-weight_1.0-pieces_3-colour_green-peeled_False-label_-slices_None-price_free",
        ),
    ],
)
def test_a_named_block_is_complete_and_says_so_in_an_entrys_words_and_in_one(fruits, name, given, plain, label):
    named = fruits.named(name, given)
    assert (named.plain(), named.label) == (plain, label)
    assert fruits.named(name, next(iter(plain.values())) if given else {}) == named


def test_one_block_spelt_in_two_ways_is_the_same_and_can_be_a_key(fruits):
    first = fruits.named("apple", {"weight": 2, "pieces": 3})
    second = fruits.named("apple", {"colour": "red", "weight": 2.0})
    assert {first: 1}[second] == 1
    assert first != fruits.named("apple", {"weight": 1})
    assert Named("plum") == fruits.named("plum", {})


def test_a_named_block_is_called_with_its_options(fruits):
    assert fruits.make(Named("plum"), 7) == 7
    assert fruits.make(fruits.named("apple", {"weight": 0.5, "pieces": 5}), 9) == 2.5
    assert fruits.make(Named("pear", (("ripe", False),)), 9).ripe is False
    assert fruits.make(Named("pear"), 9).ripe is True


def test_wrong_options_make_no_named_block(fruits, refuses):
    with refuses('fruit "plum" has no option "size" (it has none)'):
        fruits.named("plum", {"size": 3})
    with refuses('unknown fruit "plumm"; did you mean "plum"? (known: apple, pear, plum)'):
        fruits.make(Named("plumm"), 3)
