"""A page of a list, as services return it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some entries in order, and the cursor that continues the list (`None` at its end).

    `older_left_out` is of a list that is sorted: whether there are more entries than were looked at.
    """

    items: Sequence[T]
    next_cursor: str | None
    older_left_out: bool | None = None
