"""Callers who change everything that can be changed, and remember what they were told of each change."""

import hashlib
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final
from uuid import uuid4

from modelkeep.domain.changes import Edit, StageRequest
from modelkeep.domain.errors import ContentionError, OutcomeUnknownError, RegistryError, UnavailableError
from modelkeep.domain.events import EventType
from modelkeep.domain.uploads import Declared, Registration
from modelkeep.domain.values import UNSET, Digest, Stage, Unset
from tests.support.journeys.acknowledged import Answer, Mutation
from tests.support.registries import Registry, caller

CONTENT: Final = b"weights"
REGISTRATION: Final = Registration(
    artifacts=[Declared(path="model.pt", size=len(CONTENT), sha256=Digest(hashlib.sha256(CONTENT).hexdigest()))]
)
ALIASES: Final = ("champion", "canary")
MOST_REQUESTS: Final = 100
"""So many cannot all be lost: what is not settled by then never will be."""

KINDS: Final = {
    EventType.UPLOAD_BEGUN: ("uploads", "begin"),
    EventType.VERSION_COMPLETED: ("uploads", "complete"),
    EventType.STAGE_CHANGED: ("stages", "move"),
    EventType.ROLLED_BACK: ("stages", "roll_back"),
    EventType.ALIAS_SET: ("aliases", "point"),
    EventType.ALIAS_REMOVED: ("aliases", "remove"),
    EventType.VERSION_EDITED: ("versions", "edit"),
    EventType.VERSION_DELETED: ("versions", "delete"),
    EventType.VERSION_RESTORED: ("versions", "restore"),
}
"""Every kind of mutation: the event that it leaves, and the method of a service that does it."""


class Shelf:
    """A model, and those of its versions that nobody deletes."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.kept: list[int] = []


class Client:
    """Somebody who does one thing after the other, through any of several processes; `calm` meets no fault.

    It repeats what is unknown, if it has a key, and nothing else. What it deletes and restores are versions of its own.
    """

    def __init__(self, processes: Sequence[Registry], calm: Registry, shelves: Sequence[Shelf], *, seed: int) -> None:
        self.mutations: list[Mutation] = []
        self._processes = processes
        self._calm = calm
        self._shelves = shelves
        self._dice = random.Random(seed)
        self._sent: list[tuple[Shelf, int]] = []
        self._spare: list[tuple[Shelf, int]] = []
        self._trashed: list[tuple[Shelf, int]] = []

    async def work(self, mutations: int) -> None:
        for _ in range(mutations):
            await self._dice.choice(self._steps())()

    def _steps(self) -> Sequence[Callable[[], Awaitable[None]]]:
        shelf, alias = self._dice.choice(self._shelves), self._dice.choice(ALIASES)
        steps = [
            partial(self._begin, shelf),
            partial(self._roll_back, shelf),
            partial(self._remove_alias, shelf, alias),
        ]
        if shelf.kept:
            number = self._dice.choice(shelf.kept)
            steps += [
                partial(self._promote, shelf, number),
                partial(self._set_alias, shelf, alias, number),
                partial(self._edit, shelf, number),
            ]
        steps += [partial(self._complete, *self._sent[0])] if self._sent else []
        steps += [partial(self._delete, *self._spare[0])] if self._spare else []
        steps += [partial(self._restore, *self._trashed[0])] if self._trashed else []
        return steps

    async def _begin(self, shelf: Shelf) -> None:
        begun = await self._change(EventType.UPLOAD_BEGUN, shelf, REGISTRATION)
        if begun:
            await self._calm.send(shelf.model, begun.number, CONTENT)
            self._sent.append((shelf, begun.number))

    async def _complete(self, shelf: Shelf, number: int) -> None:
        self._sent.pop(0)
        if await self._change(EventType.VERSION_COMPLETED, shelf, number, version=number):
            if self._dice.random() < 0.5:
                shelf.kept.append(number)
            else:
                self._spare.append((shelf, number))

    async def _promote(self, shelf: Shelf, number: int) -> None:
        fences: Sequence[int | Unset] = [UNSET, UNSET, self._dice.choice(shelf.kept)]
        request = StageRequest(stage=Stage.PRODUCTION, expected_production=self._dice.choice(fences))
        await self._change(EventType.STAGE_CHANGED, shelf, number, request, version=number)

    async def _roll_back(self, shelf: Shelf) -> None:
        await self._change(EventType.ROLLED_BACK, shelf, keyed=True)

    async def _set_alias(self, shelf: Shelf, alias: str, number: int) -> None:
        await self._change(EventType.ALIAS_SET, shelf, alias, number, version=number, alias=alias, comment=None)

    async def _remove_alias(self, shelf: Shelf, alias: str) -> None:
        await self._change(EventType.ALIAS_REMOVED, shelf, alias, alias=alias)

    async def _edit(self, shelf: Shelf, number: int) -> None:
        await self._change(EventType.VERSION_EDITED, shelf, number, Edit(description=str(uuid4())), version=number)

    async def _delete(self, shelf: Shelf, number: int) -> None:
        self._spare.pop(0)
        await self._change(EventType.VERSION_DELETED, shelf, number, version=number)
        if self.mutations[-1].told == "ok":
            self._trashed.append((shelf, number))

    async def _restore(self, shelf: Shelf, number: int) -> None:
        self._trashed.pop(0)
        if await self._change(EventType.VERSION_RESTORED, shelf, number, version=number):
            self._spare.append((shelf, number))

    async def _change(
        self,
        kind: EventType,
        shelf: Shelf,
        *args: Any,
        version: int | None = None,
        alias: str | None = None,
        keyed: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Ask for a change, until something certain is known of it or there is no way to know; what was answered."""
        key = str(uuid4()) if keyed or self._dice.random() < 0.75 else None
        since = await self._generation(shelf.model)
        wanted = Mutation(kind=kind, model=shelf.model, version=version, alias=alias, key=key, since=since)
        self.mutations.append(wanted)
        result = await self._ask(wanted, *args, **kwargs)
        while key and wanted.was_unknown and wanted.told in {"unknown", "failed"}:
            assert len(wanted.answers) < MOST_REQUESTS, wanted
            result = await self._ask(wanted, *args, **kwargs)
        wanted.until = await self._generation(shelf.model)
        return result

    async def _ask(self, wanted: Mutation, *args: Any, **kwargs: Any) -> Any:
        service, method = KINDS[wanted.kind]
        services: Any = self._dice.choice(self._processes).services
        who = caller(key=wanted.key)
        wanted.request_ids.append(who.request_id)
        try:
            result = await getattr(getattr(services, service), method)(wanted.model, *args, who, **kwargs)
        except RegistryError as error:
            wanted.answers.append(_answer(error))
            return None
        wanted.answers.append("ok")
        return result

    async def _generation(self, model: str) -> int:
        head = await self._calm.head(model)
        return head.generation if head else 0


def _answer(error: RegistryError) -> Answer:
    if isinstance(error, OutcomeUnknownError):
        return "unknown"
    return "failed" if isinstance(error, ContentionError | UnavailableError) else "refused"
