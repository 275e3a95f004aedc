"""History."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.dependencies import Cursor, Events, Limit, Model
from app.schemas.base import PageResponse
from app.schemas.events import EventResponse

router = APIRouter(tags=["events"])

After = Annotated[int, Query(ge=0, le=10**15, description="Only events after this generation.")]


@router.get("/{model}/events")
async def list_events(
    model: Model, events: Events, after: After = 0, cursor: Cursor = None, limit: Limit = 50
) -> PageResponse[EventResponse]:
    """List what happened to a model, oldest first."""
    page = await events.list(model, after=after, cursor=cursor, limit=limit)
    return PageResponse(items=[EventResponse.of(event) for event in page.items], next_cursor=page.next_cursor)
