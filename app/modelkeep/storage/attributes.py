"""Converts items to DynamoDB's typed attribute values and back; SQLite stores the same form as JSON text.

    "text" {"S": "text"}       None   {"NULL": True}       [1, "a"]    {"L": [{"N": "1"}, {"S": "a"}]}
    7      {"N": "7"}          True   {"BOOL": True}       {"a": 1}    {"M": {"a": {"N": "1"}}}

Attributes of other programs survive a read and a write: binary is `bytes`, a set is a `frozenset` of `str`, `Decimal`
or `bytes`.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, Final

Typed = dict[str, Any]
"""A typed value: the letter of its type, and the value."""

_EXACT: Final = Context(prec=38, Emin=-999_999, Emax=999_999, traps=[Inexact, InvalidOperation])
_CONTAINER_BYTES: Final = 3
_MAX_NUMBER_BYTES: Final = 21


def encode(item: Mapping[str, Any]) -> dict[str, Typed]:
    """Convert an item to the typed form.

    Raises `TypeError` for a value of another type, such as `float`; `ValueError` for a number that DynamoDB cannot
    store exactly (38 digits, 1E-130 to 1E126) and for an empty name, at any depth.
    """
    if "" in item:
        raise ValueError("the name of an attribute must not be empty")
    return {name: _encode(value) for name, value in item.items()}


def decode(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Convert the typed form to an item; numbers become `Decimal`."""
    return {name: _decode(value) for name, value in attributes.items()}


def to_text(item: Mapping[str, Any]) -> str:
    """An item as JSON text of the typed form, with binary in base64; equal items have equal texts."""
    return json.dumps(encode(item), default=_to_base64, separators=(",", ":"), sort_keys=True)


def from_text(text: str) -> dict[str, Any]:
    """The inverse of `to_text`."""
    attributes: dict[str, Typed] = json.loads(text)
    return decode(attributes)


def item_size(item: Mapping[str, Any]) -> int:
    """The item's size in bytes by DynamoDB's rules, rounded up where they are vague.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _encode(value: Any) -> Typed:  # noqa: PLR0911 -- one for each type
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": str(value)}
        case int() | Decimal():
            return {"N": _encode_number(value)}
        case bytes():
            return {"B": value}
        case Mapping():
            return {"M": encode(value)}
        case list() | tuple():
            return {"L": [_encode(element) for element in value]}
        case set() | frozenset():
            return _encode_set(value)
    raise TypeError(f"an attribute cannot be {type(value).__name__}")


def _encode_number(value: int | Decimal) -> str:
    try:
        number = _EXACT.normalize(Decimal(value))
    except (Inexact, InvalidOperation):
        raise ValueError("a number has at most 38 digits") from None
    if not number:
        return "0"
    if not (number.is_finite() and -130 <= number.adjusted() <= 125):  # noqa: PLR2004 -- DynamoDB's range
        raise ValueError("a number must be between 1E-130 and 1E126")
    return f"{number:f}" if -7 <= number.adjusted() < 38 else str(number)  # noqa: PLR2004 -- as short as can be


def _encode_set(values: Iterable[Any]) -> Typed:
    members = [_encode(member) for member in sorted(values)]
    letters = {letter for member in members for letter in member}
    if letters not in ({"S"}, {"N"}, {"B"}):
        raise TypeError("a set has at least one member, and all are texts, numbers or binaries")
    (letter,) = letters
    return {f"{letter}S": [member[letter] for member in members]}


def _decode(typed: Mapping[str, Any]) -> Any:  # noqa: PLR0911 -- one for each type
    ((letter, value),) = typed.items()
    match letter:
        case "S" | "BOOL":
            return value
        case "N":
            return Decimal(value)
        case "NULL":
            return None
        case "M":
            return decode(value)
        case "L":
            return [_decode(element) for element in value]
        case "B":
            return _to_bytes(value)
        case "SS" | "NS" | "BS":
            return frozenset(_decode({letter[0]: member}) for member in value)
    raise ValueError(f"no attribute type is called {letter}")


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _to_bytes(value: bytes | str) -> bytes:
    return base64.b64decode(value) if isinstance(value, str) else bytes(value)


def _size(value: Any) -> int:
    match value:
        case str():
            return len(value.encode())
        case bytes():
            return len(value)
        case None | bool():
            return 1
        case int() | Decimal():
            return min(_MAX_NUMBER_BYTES, len(Decimal(value).as_tuple().digits) // 2 + 3)
        case Mapping():
            return _CONTAINER_BYTES + len(value) + item_size(value)
        case _:
            return _CONTAINER_BYTES + sum(1 + _size(element) for element in value)
