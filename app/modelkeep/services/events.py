"""Reads a model's history."""

from modelkeep.domain.access.actions import Action
from modelkeep.domain.errors import ModelNotFoundError
from modelkeep.domain.events import Event
from modelkeep.repositories.events import Events
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.pages import Page
from modelkeep.services.access.caller import Caller


class EventService:
    """The history of models."""

    def __init__(self, ledger: Ledger, events: Events) -> None:
        self._ledger = ledger
        self._events = events

    async def list(self, model: str, caller: Caller, *, after: int, cursor: str | None, limit: int) -> Page[Event]:
        """Events after a generation, oldest first; also of a deleted model.

        Raises `ModelNotFoundError`, `InvalidCursorError`.
        """
        caller.require(Action.EVENT_READ, model)
        if await self._ledger.head(model) is None:
            raise ModelNotFoundError(model)
        return await self._events.list(model, after=after, cursor=cursor, limit=limit)
