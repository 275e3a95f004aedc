"""Validates requests before they are sent, by the registry's own rules, so that a mistake costs no round trip."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from modelkeep.domain.errors import InvalidRequestError
from modelkeep.domain.values import check_alias, check_model_name, parse_ref
from modelkeep.kit.validation_texts import in_plain_words

Schema = TypeVar("Schema", bound=BaseModel)


def build_body(schema: type[Schema], **fields: Any) -> Schema:
    """A request body of these fields. Raises `InvalidRequestError`, as the registry would."""
    try:
        return schema.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequestError([_invalid_field(fault["loc"], fault["msg"]) for fault in error.errors()]) from None


def model_name(name: str) -> str:
    """The valid name of a model. Raises `InvalidRequestError`."""
    return _validated("model", check_model_name, name)


def alias_name(name: str) -> str:
    """A valid alias. Raises `InvalidRequestError`."""
    return _validated("alias", check_alias, name)


def ref(text: str | int) -> str:
    """A valid ref. Raises `InvalidRequestError`."""
    return _validated("version", lambda text: parse_ref(text).text, str(text))


def not_empty(location: str, text: str | None) -> str | None:
    """The text, or `None`. Raises `InvalidRequestError` for an empty one: a variable that is not set gives that."""
    if not text and text is not None:
        raise InvalidRequestError([_invalid_field((location,), "it is empty; leave it out, or give a value")])
    return text


def moment(at: datetime) -> str:
    """A moment as the registry reads it. Raises `InvalidRequestError` if it has no time zone."""
    if at.tzinfo is None:
        raise InvalidRequestError([_invalid_field(("at",), "this time has no time zone")])
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _validated(location: str, check: Callable[[str], str], text: str) -> str:
    try:
        return check(text)
    except ValueError as error:
        raise InvalidRequestError([_invalid_field((location,), str(error))]) from None


def _invalid_field(location: tuple[str | int, ...], message: str) -> dict[str, str]:
    return {"location": ".".join(map(str, location)), "message": in_plain_words(message)}
