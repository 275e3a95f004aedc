"""Versions as a table with a column for each metric."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Self

from modelkeep.domain.models import Version

MAX_COLUMNS: Final = 6
"""Metrics that have a column; a version's own page has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """A version in the table; `metrics` has a value for each column, `None` where the version lacks it."""

    number: int
    stage: str
    aliases: Sequence[str]
    created_at: datetime
    created_by: str | None
    size: int | None
    description: str
    metrics: Sequence[Decimal | None]

    @classmethod
    def of(cls, version: Version, columns: Sequence[str]) -> Self:
        """The row of a version."""
        return cls(
            number=version.number,
            stage=version.stage,
            aliases=version.aliases,
            created_at=version.created_at,
            created_by=version.created_by,
            size=version.size,
            description=version.description.partition("\n")[0],
            metrics=[version.metrics.get(name) for name in columns],
        )


def columns_of(versions: Sequence[Version], sorted_by: str | None) -> Sequence[str]:
    """The metrics that most of the versions have, by name: at most six, with the one that they are sorted by."""
    counts = Counter(name for version in versions for name in version.metrics)
    by_count = sorted(counts, key=lambda name: (name != sorted_by, -counts[name], name))
    return sorted(by_count[:MAX_COLUMNS])
