"""The list of models."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from modelkeep.domain.models import Head, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model in the list; `since` and `by` are of its production version."""

    name: str
    description: str
    production: int | None
    since: datetime | None
    by: str | None
    latest: int | None
    aliases: Sequence[tuple[str, int]]
    updated_at: datetime

    @classmethod
    def of(cls, head: Head, production: Version | None) -> Self:
        """The row of a model."""
        return cls(
            name=head.model,
            description=head.description.partition("\n")[0],
            production=head.production_version,
            since=production.stage_changed_at if production else None,
            by=production.stage_changed_by if production else None,
            latest=head.latest_version,
            aliases=sorted(head.aliases.items()),
            updated_at=head.updated_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsView:
    """A page of the list; `prefix` is what was searched for."""

    rows: Sequence[ModelRow]
    prefix: str
    is_first: bool
    next_cursor: str | None
