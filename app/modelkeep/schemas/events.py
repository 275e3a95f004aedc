"""Events on the wire."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import ConfigDict, Field

from modelkeep.domain.events import Event, EventType
from modelkeep.schemas.base import Answer, PageResponse


class EventResponse(Answer):
    """One change. `from` and `to` are stages for a stage change, and version numbers for an alias.

    `from` of a version that was copied is the version that it was made of: `fraud-detector@3`.
    """

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    generation: int
    type: Annotated[
        str,
        Field(
            description="What happened. A newer release may add types: accept those that you do not know.",
            examples=[kind.value for kind in EventType],
        ),
    ]
    version: int | None
    origin: Annotated[str | None, Field(alias="from")]
    target: Annotated[str | None, Field(alias="to")]
    alias: str | None
    replaced: Annotated[int | None, Field(description="The version that was production until this change.")]
    actor: Annotated[str, Field(description="The principal that made the change.")]
    rule: Annotated[str | None, Field(description="What allowed the change: a trust rule, or `token:<id>`.")] = None
    comment: str | None
    at: datetime
    request_id: str

    @classmethod
    def of(cls, event: Event) -> Self:
        """Shape the domain's event."""
        return cls(
            generation=event.generation,
            type=str(event.type),
            version=event.version,
            origin=event.origin,
            target=event.target,
            alias=event.alias,
            replaced=event.replaced,
            actor=event.actor,
            rule=event.rule,
            comment=event.comment,
            at=event.at,
            request_id=event.request_id,
        )


class EventPage(PageResponse[EventResponse]):
    """One page of events, oldest first; `next_cursor` continues the list and is null at its end."""
