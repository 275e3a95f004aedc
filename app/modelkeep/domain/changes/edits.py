"""Edits of metadata: description, metrics, tags."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from modelkeep.domain.errors import MetadataTooLargeError
from modelkeep.domain.values import UNSET, Unset

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Metadata to change: UNSET leaves a field as it is, a `None` value removes its key."""

    description: str | Unset = UNSET
    metrics: Mapping[str, Decimal | None] | Unset = UNSET
    tags: Mapping[str, str | None] | Unset = UNSET


def replaced(before: str, edit: str | Unset) -> str:
    """The new text, or the one before if it is UNSET."""
    return before if isinstance(edit, Unset) else edit


def merged(what: str, before: Mapping[str, T], edit: Mapping[str, T | None] | Unset, *, limit: int) -> Mapping[str, T]:
    """The mapping before, updated; `None` removes a key. Raises `MetadataTooLargeError` if it grows above the limit."""
    if isinstance(edit, Unset):
        return before
    merged = {name: value for name, value in {**before, **edit}.items() if value is not None}
    if len(merged) > max(limit, len(before)):
        raise MetadataTooLargeError(what, size=len(merged), limit=limit)
    return merged
