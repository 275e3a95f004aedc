"""One model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from modelkeep.web.views.versions import VersionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """A model and a page of its versions; `columns` are the metrics that the rows have values of."""

    name: str
    generation: int
    description: str
    tags: Mapping[str, str]
    aliases: Sequence[tuple[str, int]]
    updated_at: datetime
    columns: Sequence[str]
    rows: Sequence[VersionRow]
    next_cursor: str | None
