"""Which versions of a model a list has, and in which order."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from modelkeep.domain.artifacts import have_same_files
from modelkeep.domain.models import Version
from modelkeep.domain.values import Stage, fold_alias

ANY_ALIAS: Final = "*"
ORDER_PATTERN: Final = r"^(-?)(?:created_at|metrics\.([\s\S]{1,128}))$"
TAG_PATTERN: Final = r"^[^=]+="
_ORDER: Final = re.compile(ORDER_PATTERN.replace("$", r"\Z"))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Place = tuple[bool, Decimal, int]
"""Where a version is in a sorted list: those without the metric are last, and the newest of equal ones first."""


@dataclass(frozen=True, slots=True)
class Order:
    """By a metric, or by creation if `metric` is `None`."""

    metric: str | None
    descending: bool

    def value_of(self, version: Version) -> Decimal | None:
        """What a version is sorted by; `None` if it lacks the metric."""
        if self.metric is None:
            return Decimal((version.created_at - _EPOCH) // timedelta(microseconds=1))
        return version.metrics.get(self.metric)

    def place(self, value: Decimal | None, number: int) -> Place:
        """Where a version with this value and number is."""
        if value is None:
            return True, Decimal(0), -number
        return False, value.copy_negate() if self.descending else value, -number


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Versions in a stage, with all of these tags, with an alias (`*`: with any), with the files of a later version.

    Newest first without an order; `later` is the version whose number is `same_files_as`, once it was read.
    """

    stage: Stage | None = None
    tags: Sequence[tuple[str, str]] = ()
    alias: str | None = None
    same_files_as: int | None = None
    later: Version | None = None
    order: Order | None = None

    @property
    def is_filter(self) -> bool:
        """Whether it leaves versions out."""
        return bool(self.stage or self.tags or self.alias or self.same_files_as)

    @property
    def name(self) -> str:
        """Equal exactly for equal selections. That of a stage alone is as earlier releases have it in their cursors."""
        stage = self.stage or ""
        if not (self.tags or self.alias or self.order or self.same_files_as):
            return stage
        order = self.order and [self.order.metric, self.order.descending]
        return json.dumps([stage, list(self.tags), self.alias, order, self.same_files_as])

    def has(self, version: Version) -> bool:
        """Whether a version, with its head, belongs to the list."""
        return (
            (self.stage is None or version.stage is self.stage)
            and all(version.tags.get(name) == value for name, value in self.tags)
            and (
                self.alias is None
                or (bool(version.aliases) if self.alias == ANY_ALIAS else _is_among(self.alias, version.aliases))
            )
            and (
                self.later is None
                or (version.number < self.later.number and have_same_files(version.artifacts, self.later.artifacts))
            )
        )


def _is_among(alias: str, aliases: Sequence[str]) -> bool:
    return fold_alias(alias) in map(fold_alias, aliases)


def parse_order(text: str) -> Order:
    """Parse `created_at` or `metrics.<name>`, descending after a dash. Raises `ValueError`."""
    parsed = _ORDER.match(text)
    if not parsed:
        raise ValueError("sort by created_at or metrics.<name>; with a dash before it, the latest or highest first")
    return Order(parsed[2], descending=bool(parsed[1]))


def parse_tag(text: str) -> tuple[str, str]:
    """Parse `name=value`. Raises `ValueError`."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError("a tag is written name=value")
    return name, value
