"""What a caller can do with a model's history."""

from app.domain.access.actions import Action
from app.domain.errors import ModelNotFoundError
from app.domain.events import Event
from app.repositories.events import Events
from app.repositories.ledger import Ledger
from app.repositories.pages import Listed
from app.services.caller import Caller


class EventService:
    """Read the history."""

    def __init__(self, ledger: Ledger, events: Events) -> None:
        self._ledger = ledger
        self._events = events

    async def list(self, model: str, caller: Caller, *, after: int, cursor: str | None, limit: int) -> Listed[Event]:
        """Events after a generation, oldest first; a deleted model keeps its history.

        Raises `ModelNotFoundError`, `InvalidCursorError`.
        """
        caller.require(Action.EVENT_READ, model)
        if await self._ledger.head(model) is None:
            raise ModelNotFoundError(model)
        return await self._events.list(model, after=after, cursor=cursor, limit=limit)
