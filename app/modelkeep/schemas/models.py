"""Models on the wire."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from modelkeep.domain.changes import Edit
from modelkeep.domain.models import Head
from modelkeep.domain.uploads import MAX_TAGS
from modelkeep.domain.values import UNSET, fold_alias
from modelkeep.schemas.base import Answer, Description, Name, PageResponse, Request, TagValue

TagsEdit = Annotated[dict[Name, TagValue | None], Field(max_length=MAX_TAGS)]


class CreateModel(Request):
    """What a new model has; one that is there keeps what it has."""

    description: Description = ""
    tags: Annotated[dict[Name, TagValue], Field(json_schema_extra={"maxProperties": MAX_TAGS})] = Field(
        default_factory=dict
    )


class EditModel(Request):
    """Changes to a model. Tags are merged; a null value removes the tag."""

    description: Description | None = None
    tags: TagsEdit | None = None

    def to_edit(self) -> Edit:
        """The domain's form: what was not sent stays as it is."""
        sent = self.model_fields_set
        return Edit(
            description=(self.description or "") if "description" in sent else UNSET,
            tags=self.tags if self.tags is not None else UNSET,
        )


class ModelResponse(Answer):
    """A model."""

    model: str
    description: str
    tags: dict[str, str]
    latest_version: int | None
    production_version: int | None
    aliases: dict[str, int]
    generation: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, head: Head) -> Self:
        """Shape the domain's head."""
        return cls(
            model=head.model,
            description=head.description,
            tags=dict(head.tags),
            latest_version=head.latest_version,
            production_version=head.production_version,
            aliases={alias: head.aliases[alias] for alias in sorted(head.aliases, key=fold_alias)},
            generation=head.generation,
            created_at=head.created_at,
            updated_at=head.updated_at,
        )


class ModelPage(PageResponse[ModelResponse]):
    """One page of models, by name; `next_cursor` continues the list and is null at its end."""
