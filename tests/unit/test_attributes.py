import base64
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkeep.storage.attributes import decode, encode, from_text, item_size, to_text

NUMBERS = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=8
) | st.builds(
    lambda digits, exponent: Decimal(f"{digits}E{exponent}"),
    st.integers(-(10**38) + 1, 10**38 - 1),
    st.integers(-130, 88),
)
NAMES = st.text(min_size=1)
INTEGERS = st.integers(-(10**38) + 1, 10**38 - 1)
SETS = (
    st.frozensets(st.text(), min_size=1) | st.frozensets(INTEGERS, min_size=1) | st.frozensets(st.binary(), min_size=1)
)
SCALARS = st.none() | st.booleans() | st.text() | INTEGERS | NUMBERS | st.binary() | SETS
VALUES = st.recursive(
    SCALARS, lambda values: st.lists(values, max_size=4) | st.dictionaries(NAMES, values, max_size=4), max_leaves=20
)
ITEMS = st.dictionaries(NAMES, VALUES, max_size=6)


@given(ITEMS)
def test_an_item_comes_back_as_it_was(item: dict[str, Any]) -> None:
    assert decode(encode(item)) == item


@given(ITEMS)
def test_an_item_comes_back_from_text_as_it_was(item: dict[str, Any]) -> None:
    assert from_text(to_text(item)) == item


@given(ITEMS)
def test_equal_items_give_equal_texts(item: dict[str, Any]) -> None:
    reordered = dict(reversed(item.items()))
    assert to_text(reordered) == to_text(from_text(to_text(item)))


@given(ITEMS)
def test_the_size_is_never_below_the_bytes_of_names_and_texts(item: dict[str, Any]) -> None:
    assert item_size(item) >= sum(len(name.encode()) for name in item)


def test_every_type_has_its_letter() -> None:
    item = {"s": "a", "n": 7, "b": b"x", "t": True, "z": None, "l": [1], "m": {"k": ""}, "ss": {"b", "a"}, "ns": {1}}
    assert encode(item) == {
        "s": {"S": "a"},
        "n": {"N": "7"},
        "b": {"B": b"x"},
        "t": {"BOOL": True},
        "z": {"NULL": True},
        "l": {"L": [{"N": "1"}]},
        "m": {"M": {"k": {"S": ""}}},
        "ss": {"SS": ["a", "b"]},
        "ns": {"NS": ["1"]},
    }


def test_numbers_come_back_as_decimal() -> None:
    assert isinstance(decode(encode({"n": 7}))["n"], Decimal)


def test_binary_is_base64_in_text() -> None:
    assert json.loads(to_text({"b": b"\xff"})) == {"b": {"B": base64.b64encode(b"\xff").decode()}}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Decimal("1.50"), "1.5"),
        (Decimal("-0"), "0"),
        (100, "100"),
        (2**32 - 1, "4294967295"),
        (Decimal("0.1"), "0.1"),
        (10**50, "1E+50"),
        (Decimal("1E-130"), "1E-130"),
        (Decimal("9.99E125"), "9.99E+125"),
    ],
)
def test_numbers_have_one_spelling(number: Decimal | int, text: str) -> None:
    assert encode({"n": number}) == {"n": {"N": text}}


@pytest.mark.parametrize(
    "number", [10**38 + 1, Decimal("1E126"), Decimal("1E-131"), Decimal("nan"), Decimal("inf"), Decimal("-inf")]
)
def test_numbers_that_cannot_be_kept_are_refused(number: Decimal | int) -> None:
    with pytest.raises(ValueError, match="a number"):
        encode({"n": number})


@pytest.mark.parametrize("value", [0.1, object(), set(), {1, b"x"}, {None}, frozenset({("a",)})])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encode({"x": value})


@pytest.mark.parametrize("item", [{"": 1}, {"a": {"": 1}}, {"a": [{"": 1}]}])
def test_an_empty_name_is_refused(item: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="name"):
        encode(item)


def test_an_unknown_letter_is_refused() -> None:
    with pytest.raises(ValueError, match="called Q"):
        decode({"x": {"Q": 1}})


@pytest.mark.parametrize(
    ("item", "size"),
    [({"ab": "cdé"}, 6), ({"a": None}, 2), ({"a": True}, 2), ({"a": []}, 4), ({"a": {}}, 4), ({"a": b"123"}, 4)],
)
def test_sizes_follow_the_counting_rules(item: dict[str, Any], size: int) -> None:
    assert item_size(item) == size


def test_numbers_and_elements_are_counted_generously() -> None:
    assert item_size({"n": 10**38 - 1}) == 1 + 21
    assert item_size({"l": ["a", "b"]}) == 1 + 3 + 2 * 2
    assert item_size({"m": {"k": "v"}}) == 1 + 3 + 1 + 2
