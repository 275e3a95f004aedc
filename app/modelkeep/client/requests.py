"""What is sent, held against its rules before it goes: a mistake needs no round trip to be told."""

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from modelkeep.domain.errors import InvalidRequestError
from modelkeep.domain.values import check_alias, check_model_name, parse_ref

Body = TypeVar("Body", bound=BaseModel)


def checked(body: type[Body], **fields: Any) -> Body:
    """A request body of these fields. Raises `InvalidRequestError` as the registry would."""
    try:
        return body.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequestError([_fault(fault["loc"], fault["msg"]) for fault in error.errors()]) from None


def model_name(name: str) -> str:
    """A model's name, as part of an address. Raises `InvalidRequestError`."""
    return _checked("model", check_model_name, name)


def alias_name(name: str) -> str:
    """An alias, as part of an address. Raises `InvalidRequestError`."""
    return _checked("alias", check_alias, name)


def ref(text: str | int) -> str:
    """A ref, as part of an address. Raises `InvalidRequestError`."""
    return _checked("version", lambda given: parse_ref(given).text, str(text))


def _checked(location: str, check: Callable[[str], str], text: str) -> str:
    try:
        return check(text)
    except ValueError as error:
        raise InvalidRequestError([_fault((location,), str(error))]) from None


def _fault(location: tuple[str | int, ...], message: str) -> dict[str, str]:
    return {"location": ".".join(map(str, location)), "message": message.removeprefix("Value error, ")}
