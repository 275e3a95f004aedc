"""Whatever is wrong with a value, what is said of it has no words of the library that found it."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import modelkeep.main  # noqa: F401 -- defines every body of a request
from modelkeep.admin.settings import read_settings
from modelkeep.client.requests import build_body
from modelkeep.domain.errors import InvalidRequestError
from modelkeep.kit.validation_texts import in_plain_words
from modelkeep.schemas.base import Request
from modelkeep.settings import Settings
from tests.support.library_words import library_words

VALUES: list[Any] = [None, "", "?", -1, 10**30, 1.5, True, [], ["?"], [{}], {}, {"?": "?"}, {"a": 1.0}]


def schemas(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in base.__subclasses__():
        yield each
        yield from schemas(each)


BODIES = sorted(set(schemas(Request)), key=lambda each: each.__name__)


@pytest.mark.parametrize("schema", BODIES, ids=lambda each: each.__name__)
def test_of_a_body(schema: type[BaseModel]) -> None:
    said = []
    for name in [*schema.model_fields, "no such field"]:
        for value in VALUES:
            try:
                build_body(schema, **{name: value})
            except InvalidRequestError as error:
                said += [str(error), *(fault["message"] for fault in error.errors)]
    assert said
    assert {sentence for sentence in said if library_words(sentence)} == set()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_of_a_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("?", "-1", "1.5", "[1]"):
        monkeypatch.setenv(f"MODELKEEP_{name.upper()}", value)
        try:
            read_settings()
        except ValueError as error:
            said = str(error)
        else:
            said = ""
        assert library_words(said) == [], said


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Value error, 'x' is not one of 'a', 'b'", "'x' is not one of 'a', 'b'"),
        ("Input should be a valid integer, unable to parse string as an integer", "it must be a whole number"),
        ("Input should be greater than or equal to 1", "it must be greater than or equal to 1"),
        ("List should have at least 1 item after validation, not 0", "it must have at least 1 item, not 0"),
        ("this text is ours", "this text is ours"),
    ],
)
def test_the_words_are_ours(theirs: str, ours: str) -> None:
    assert in_plain_words(theirs) == ours
