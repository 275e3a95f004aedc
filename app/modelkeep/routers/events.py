"""Events: the history of a model."""

from typing import Annotated

from fastapi import APIRouter, Query

from modelkeep.domain.access.actions import Action
from modelkeep.domain.errors import InvalidCursorError, ModelNotFoundError
from modelkeep.http.dependencies import Cursor, Events, Limit, Model, ReadCaller
from modelkeep.http.openapi import requires
from modelkeep.http.problems import error_responses
from modelkeep.schemas.events import EventPage, EventResponse

router = APIRouter(prefix="/v1/models", tags=["events"])

After = Annotated[int, Query(ge=0, le=10**15, description="Only events after this generation.")]


@router.get(
    "/{model}/events",
    response_description="A page of events, oldest first.",
    responses=error_responses(InvalidCursorError, ModelNotFoundError),
    openapi_extra=requires(Action.EVENT_READ),
)
async def list_events(
    model: Model, caller: ReadCaller, events: Events, after: After = 0, cursor: Cursor = None, limit: Limit = 50
) -> EventPage:
    """List the history of a model, oldest first; a deleted model keeps it."""
    page = await events.list(model, caller, after=after, cursor=cursor, limit=limit)
    return EventPage(items=[EventResponse.of(event) for event in page.items], next_cursor=page.next_cursor)
