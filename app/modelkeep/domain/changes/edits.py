"""Changes of what stands beside the bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from modelkeep.domain.errors import MetadataTooLargeError
from modelkeep.domain.values import UNSET, Unset

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What to change beside the bytes: UNSET leaves as it is, a `None` value removes the key."""

    description: str | Unset = UNSET
    metrics: Mapping[str, Decimal | None] | Unset = UNSET
    tags: Mapping[str, str | None] | Unset = UNSET


def given(value: str | Unset, otherwise: str) -> str:
    """What was sent, or what stands."""
    return otherwise if isinstance(value, Unset) else value


def merged(what: str, before: Mapping[str, T], edit: Mapping[str, T | None] | Unset, *, limit: int) -> Mapping[str, T]:
    """What stands, with what was sent; `None` removes. Raises `MetadataTooLargeError` if it grows over the limit."""
    if isinstance(edit, Unset):
        return before
    merged = {name: value for name, value in {**before, **edit}.items() if value is not None}
    if len(merged) > max(limit, len(before)):
        raise MetadataTooLargeError(what, size=len(merged), limit=limit)
    return merged
