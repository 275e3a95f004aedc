"""A cursor continues the list it was issued for, or is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelkeep.domain.errors import InvalidCursorError
from modelkeep.repositories import cursor as cursors

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)


@given(scope=TEXTS, position=TEXTS)
def test_a_position_comes_back(scope: str, position: str) -> None:
    assert cursors.decode(scope, cursors.encode(scope, position)) == position


@given(st.integers(1, 2**32 - 1))
def test_a_number_comes_back(number: int) -> None:
    assert cursors.decode_number("events m", cursors.encode("events m", str(number))) == number


@pytest.mark.parametrize("position", ["", "-1", "x", "1.5", "\u0661", "1" * 5000])
def test_one_made_by_hand_for_no_number_is_refused(position: str) -> None:
    with pytest.raises(InvalidCursorError):
        cursors.decode_number("events m", cursors.encode("events m", position))


def test_no_cursor_begins_the_list() -> None:
    assert cursors.decode_number("events m", None) is None


def test_it_travels_in_a_query_string_as_it_is() -> None:
    for number in range(300):
        assert cursors.encode("versions m", str(number)).replace("-", "a").replace("_", "a").isalnum()


@pytest.mark.parametrize("position", ["7", "41", "123", "4294967295", "fraud-detector"])
def test_every_flip_of_a_bit_is_refused(position: str) -> None:
    cursor = cursors.encode("versions m", position)
    for place, character in enumerate(cursor):
        for bit in range(16):
            flipped = cursor[:place] + chr(ord(character) ^ 1 << bit) + cursor[place + 1 :]
            with pytest.raises(InvalidCursorError):
                cursors.decode("versions m", flipped)


def test_every_shortened_or_lengthened_one_is_refused() -> None:
    cursor = cursors.encode("versions m", "41")
    for altered in [*(cursor[:end] for end in range(len(cursor))), *(cursor + more for more in "A=-\n \0é")]:
        with pytest.raises(InvalidCursorError):
            cursors.decode("versions m", altered)


@pytest.mark.parametrize("scope", ["versions n", "versions m staging", "events m", "models ", ""])
def test_one_of_another_list_is_refused(scope: str) -> None:
    with pytest.raises(InvalidCursorError):
        cursors.decode(scope, cursors.encode("versions m", "41"))


@given(TEXTS)
def test_whatever_else_is_sent_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        cursors.decode("versions m", text)
