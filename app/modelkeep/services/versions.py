"""Lists, reads, edits, deletes and restores complete versions."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Final

from modelkeep.domain import changes, comparison
from modelkeep.domain.access.actions import Action
from modelkeep.domain.artifacts import Artifact
from modelkeep.domain.changes import Decision, Edit
from modelkeep.domain.comparison import Comparison
from modelkeep.domain.errors import (
    InvalidRequestError,
    ProductionNotFoundError,
    VersionNotDeletedError,
    VersionNotFoundError,
)
from modelkeep.domain.events import Event, production_after, promotes
from modelkeep.domain.limits import ServiceLimits
from modelkeep.domain.models import Head, TrashedVersion, Version, existing
from modelkeep.domain.values import Ref, RefKind
from modelkeep.domain.version_selection import Selection
from modelkeep.kit.concurrency import gather_limited
from modelkeep.repositories.events import Events
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.pages import Page
from modelkeep.repositories.versions import Versions
from modelkeep.services.access.caller import Caller
from modelkeep.services.reading.resolver import Resolver
from modelkeep.services.reading.sorted_versions import list_sorted
from modelkeep.storage.objects import ObjectStore

MAX_NEWEST: Final = 1_000


class VersionService:
    """Complete versions of a model."""

    def __init__(
        self,
        ledger: Ledger,
        versions: Versions,
        events: Events,
        resolver: Resolver,
        store: ObjectStore,
        limits: ServiceLimits,
    ) -> None:
        self._ledger = ledger
        self._events = events
        self._versions = versions
        self._resolver = resolver
        self._store = store
        self._limits = limits

    async def list(
        self, model: str, caller: Caller, selection: Selection, *, cursor: str | None, limit: int
    ) -> Page[Version]:
        """The selected versions.

        With an order, only the newest 1,000 are looked at, and the page says whether there are others. Raises
        `ModelNotFoundError`, `InvalidCursorError`; `VersionNotFoundError` if `same_files_as` is not there.
        """
        caller.require(Action.MODEL_READ, model)
        head = existing(await self._ledger.head(model), model)
        scope = f"versions {model} {selection.name}"
        if selection.same_files_as:
            selection = replace(selection, later=await self.require(model, selection.same_files_as))
        if selection.order:
            page = await list_sorted(
                self._versions, head, selection, selection.order, scope=scope, cursor=cursor, limit=limit
            )
        else:
            is_included = (lambda version: selection.has(version.with_head(head))) if selection.is_filter else None
            page = await self._versions.list(model, is_included, scope=scope, cursor=cursor, limit=limit)
        versions = await gather_limited(self._with_sizes, page.items)
        return replace(page, items=[version.with_head(head) for version in versions])

    async def newest(self, model: str, caller: Caller, *, up_to: int | None = None) -> Sequence[Version]:
        """The newest 1,000 versions, or those with this number and lower ones, newest first.

        The sizes of those that were adopted may be unknown. Raises `ModelNotFoundError`.
        """
        caller.require(Action.MODEL_READ, model)
        return await self._newest(existing(await self._ledger.head(model), model), up_to)

    async def named(self, model: str, caller: Caller) -> Sequence[Version]:
        """The newest 1,000 versions, and any older one that is production or has an alias, newest first.

        Raises as `newest`.
        """
        caller.require(Action.MODEL_READ, model)
        return await self.named_of(existing(await self._ledger.head(model), model))

    async def named_of(self, head: Head, *, newest: int = MAX_NEWEST) -> Sequence[Version]:
        """As `named`, with as many of the newest, of a model that the caller may read."""
        found = await self._newest(head, None, limit=newest)
        numbers = {head.production_version, *head.aliases.values()} - {version.number for version in found}
        older = await self._versions.find_many(head.model, sorted(filter(None, numbers), reverse=True))
        return [*found, *(version.with_head(head) for version in older if version)]

    async def _newest(self, head: Head, up_to: int | None, *, limit: int = MAX_NEWEST) -> Sequence[Version]:
        found = []
        async with aclosing(self._versions.walk(head.model, up_to=up_to)) as newest_first:
            async for version in newest_first:
                found.append(version.with_head(head))
                if len(found) == limit:
                    break
        return found

    async def get(self, model: str, ref: Ref, caller: Caller, *, at: datetime | None = None) -> Version:
        """The version that answers to a ref; with `at`, the one that was production then, as it is now.

        Raises `ModelNotFoundError`, `VersionNotFoundError`, `ContentionError`; with `at`, `ProductionNotFoundError` if
        no version was production then, or it is deleted, and `InvalidRequestError` for any other ref.
        """
        caller.require(Action.MODEL_READ, model)
        if at is not None:
            return await self._get_production_at(model, ref, at, caller)
        _, version = await self._resolver.resolve(model, ref)
        return await self._with_sizes(version)

    async def compare(self, model: str, a: Ref, b: Ref, caller: Caller) -> Comparison:
        """Two versions side by side. Raises `ModelNotFoundError`, `VersionNotFoundError`, `ContentionError`."""
        return comparison.compare(await self.get(model, a, caller), await self.get(model, b, caller))

    async def edit(self, model: str, number: int, edit: Edit, caller: Caller) -> Version:
        """Change description, metrics and tags. Raises `VersionNotFoundError`, `MetadataTooLargeError`."""
        operation = caller.operation(Action.VERSION_EDIT, model)

        async def decide(head: Head | None) -> Decision[Version]:
            live = existing(head, model)
            return changes.edit_version(live, await self.require(model, number), edit, operation)

        return await self._ledger.apply(model, operation, decide, on_duplicate=lambda _: self.get_number(model, number))

    async def delete(self, model: str, number: int, caller: Caller) -> None:
        """Move a version to the trash. Raises `VersionNotFoundError`, `VersionInUseError`."""
        operation = caller.operation(Action.VERSION_DELETE, model)

        async def decide(head: Head | None) -> Decision[None]:
            live = existing(head, model)
            version = await self.require(model, number)
            latest = live.latest_version
            if number == latest:
                latest = await self._versions.newest_but(model, number)
            purge_after = operation.at + self._limits.trash_ttl
            return changes.delete_version(live, version, operation, purge_after=purge_after, new_latest=latest)

        async def on_duplicate(_: int | None) -> None:
            return None

        await self._ledger.apply(model, operation, decide, on_duplicate=on_duplicate)

    async def restore(self, model: str, number: int, caller: Caller) -> Version:
        """Take a version out of the trash; revives a deleted model.

        Raises `VersionNotFoundError`; `VersionNotDeletedError` if it is live; `ModelBeingDeletedError` while the
        deletion of the model is in progress.
        """
        operation = caller.operation(Action.VERSION_DELETE, model)

        async def decide(head: Head | None) -> Decision[Version]:
            if head is None:
                raise VersionNotFoundError(model, str(number))
            return changes.restore(head, await self._require_trashed(model, number), operation)

        return await self._ledger.apply(model, operation, decide, on_duplicate=lambda _: self.get_number(model, number))

    async def _require_trashed(self, model: str, number: int) -> TrashedVersion:
        """A version in the trash; looked for again if it is nowhere, for it may have moved between two reads.

        Raises `VersionNotDeletedError`, `VersionNotFoundError`.
        """
        for _ in range(2):
            if trashed := await self._versions.find_trashed(model, number):
                return trashed
            if live := await self._versions.find(model, number):
                raise VersionNotDeletedError(model, number, stage=live.stage)
        raise VersionNotFoundError(model, str(number))

    async def find_many(self, model: str, numbers: Sequence[int]) -> Sequence[Version | None]:
        """Live versions as stored, in the order of `numbers`; `None` for an absent one."""
        return await self._versions.find_many(model, numbers)

    async def require(self, model: str, number: int) -> Version:
        """A live version as stored. Raises `VersionNotFoundError`."""
        version = await self._versions.find(model, number)
        if version is None:
            raise VersionNotFoundError(model, str(number))
        return version

    async def get_number(self, model: str, number: int | None) -> Version:
        """The version with this number. Raises `ModelNotFoundError`, `VersionNotFoundError`."""
        _, version = await self._resolver.resolve(model, Ref(RefKind.NUMBER, str(number), number))
        return await self._with_sizes(version)

    async def _get_production_at(self, model: str, ref: Ref, at: datetime, caller: Caller) -> Version:
        caller.require(Action.EVENT_READ, model)
        if ref.kind is not RefKind.PRODUCTION:
            message = "what a ref named at an earlier time is only known of 'production'"
            raise InvalidRequestError([{"location": "query.at", "message": message}])
        head = existing(await self._ledger.head(model), model)
        number = await self._find_production_at(head, at)
        version = await self._versions.find(model, number) if number else None
        if version is None:
            raise ProductionNotFoundError(model, at.isoformat().replace("+00:00", "Z"), number)
        return (await self._with_sizes(version)).with_head(head)

    async def _find_production_at(self, head: Head, at: datetime) -> int | None:
        generation = await self._events.generation_at(head.model, at, latest=head.generation)
        since: list[Event] = []
        async with aclosing(self._events.walk_back(head.model, after=generation + 1)) as events:
            async for event in events:
                since.append(event)
                if promotes(event):
                    break
        return production_after(since)

    async def _with_sizes(self, version: Version) -> Version:
        """The version with the sizes that its item lacks (it was adopted), as the store has them."""

        async def with_size(artifact: Artifact) -> Artifact:
            if artifact.size is not None or self._store.key_of(version.s3_path) != artifact.key:
                return artifact
            stored = await self._store.stat(artifact.key)
            return replace(artifact, size=stored.size) if stored else artifact

        if version.size is not None:
            return version
        return replace(version, artifacts=tuple(await gather_limited(with_size, version.artifacts)))
