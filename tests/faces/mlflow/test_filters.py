"""Filters and orders of searches."""

from dataclasses import dataclass, field

import pytest

from modelkeep.faces.mlflow.errors import InvalidParameterError
from modelkeep.faces.mlflow.filters import MAX_CLAUSES, Keys, is_like, parse_filter, sort


@dataclass
class Thing:
    name: str = "taxi"
    number: int = 7
    tags: dict[str, str] = field(default_factory=dict)


KEYS: Keys[Thing] = {"name": lambda thing: thing.name, "version_number": lambda thing: thing.number}
THING = Thing(tags={"team": "rides", "mlflow.note": "a b", "two words": "x"})


def accepts(text: str, thing: Thing = THING) -> bool:
    return parse_filter(text, KEYS, lambda each: each.tags).accepts(thing)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "name = 'taxi'",
        "name='taxi'",
        "attribute.name = 'taxi'",
        "`name` = 'taxi'",
        "name != 'Taxi'",
        "name LIKE 't%i' and name like '_ax_'",
        "name ILIKE 'TAX%'",
        "name IN ('bus', 'taxi')",
        "name NOT IN ('bus')",
        "version_number > 6 AND version_number <= 7 AND version_number != 8",
        "version_number IN (1, 7)",
        "tag.team = 'rides' AND tags.team = 'rides'",
        "tags.`two words` = 'x' AND tags.\"mlflow.note\" LIKE 'a%'",
        "tags.mlflow.note = 'a b'",
        "tag.`mlflow.prompt.is_prompt` != 'true'",
        "tags.absent NOT IN ('a')",
    ],
)
def test_what_is_so_is_accepted(text: str) -> None:
    assert accepts(text)


@pytest.mark.parametrize(
    "text",
    [
        "name = 'Taxi'",
        "name LIKE 'TAX%'",
        "name LIKE 'tax'",
        "name IN ('bus')",
        "version_number < 7",
        "tags.team != 'rides'",
        "tags.absent = ''",
        "tags.absent LIKE '%'",
        "tags.absent IN ('a')",
        "name = 'taxi' AND tags.team = 'bus'",
    ],
)
def test_what_is_not_so_is_left_out(text: str) -> None:
    assert not accepts(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 'a' OR name = 'b'", "AND at character 12"),
        ("name = taxi", "a text in single quotes at character 8"),
        ("name =", "ends too early"),
        ("name = 'taxi", "at character 8"),
        ("nam = 'taxi'", "one of name, version_number, or tags.NAME at character 1"),
        ("name ~ 'taxi'", "at character 6"),
        ("name IS 'taxi'", "one of =, !="),
        ("version_number = '7'", "a whole number at character 18"),
        ("version_number = 7.5", "at character 18"),
        ("name IN 'taxi'", "at character 9"),
        ("name IN ('a' 'b')", "at character 14"),
        ("(name = 'a')", "a word or a quoted name at character 1"),
        ("name = 'a' AND", "ends too early"),
        ("name = 'a'; DROP TABLE x", "at character 11"),
    ],
)
def test_a_mistake_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(InvalidParameterError) as refused:
        accepts(text)
    assert said in str(refused.value)


def test_a_filter_is_bounded() -> None:
    clauses = ["name = 'taxi'"] * MAX_CLAUSES
    assert accepts(" AND ".join(clauses))
    for text in (" AND ".join([*clauses, "name = 'taxi'"]), "name = '" + "a" * 6000 + "'"):
        with pytest.raises(InvalidParameterError, match="at most"):
            accepts(text)


@pytest.mark.parametrize(
    ("text", "pattern", "fits"),
    [
        ("", "", True),
        ("", "%", True),
        ("", "_", False),
        ("abcabd", "%abd", True),
        ("abcabd", "a%b_", True),
        ("abc", "a%%c%", True),
        ("abc", "ab", False),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
        ("a\nb", "a%b", True),
    ],
)
def test_a_pattern_is_a_whole_text(text: str, pattern: str, fits: bool) -> None:
    assert is_like(text, pattern) is fits


def test_a_pattern_of_many_wildcards_ends_soon() -> None:
    assert not is_like("a" * 1024, "%a" * 100 + "b"), "a matcher that tries every way would never come here"


def test_orders_are_applied_one_after_the_other() -> None:
    things = [Thing("b", 1), Thing("a", 2), Thing("b", 3), Thing("a", 1)]
    sort(things, ["name DESC"], KEYS, default=["version_number DESC"])
    assert [(each.name, each.number) for each in things] == [("b", 3), ("b", 1), ("a", 2), ("a", 1)]
    sort(things, ["`name`", "version_number ASC"], KEYS, default=["name"])
    assert [(each.name, each.number) for each in things] == [("a", 1), ("a", 2), ("b", 1), ("b", 3)]
    for order in ("stage", "name UP", "", "name ASC DESC"):
        with pytest.raises(InvalidParameterError, match="Order by one of name, version_number"):
            sort(things, [order], KEYS, default=["name"])
