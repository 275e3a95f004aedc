"""Lists, reads, creates, edits and deletes models."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from modelkeep.domain import changes
from modelkeep.domain.access.actions import Action
from modelkeep.domain.changes import Decision, Edit, Unchanged
from modelkeep.domain.errors import ModelNotFoundError, TemporaryError
from modelkeep.domain.limits import ServiceLimits
from modelkeep.domain.models import Head, Version, existing
from modelkeep.domain.uploads import Upload
from modelkeep.kit.concurrency import gather_limited
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.pages import Page
from modelkeep.repositories.versions import Versions
from modelkeep.services.access.caller import Caller
from modelkeep.services.uploading.cleanup import abort_multiparts
from modelkeep.storage.objects import ObjectStore


class ModelService:
    """Models as a whole."""

    def __init__(
        self, ledger: Ledger, heads: Heads, versions: Versions, store: ObjectStore, limits: ServiceLimits
    ) -> None:
        self._ledger = ledger
        self._heads = heads
        self._versions = versions
        self._store = store
        self._limits = limits

    async def list(self, caller: Caller, *, prefix: str, cursor: str | None, limit: int) -> Page[Head]:
        """The models that the caller may read, by name; one that was created a moment ago may be missing.

        Raises `InvalidCursorError`.
        """
        return await self._heads.list(caller.read_filter(), prefix=prefix, cursor=cursor, limit=limit)

    async def list_with_production(
        self, caller: Caller, *, prefix: str = "", containing: str = "", cursor: str | None, limit: int
    ) -> Page[tuple[Head, Version | None]]:
        """The models as `list` has them whose names contain a text in any case, each with its production version.

        A page may be short, or empty, although the list continues. Raises `InvalidCursorError`.
        """
        may_read, text = caller.read_filter(), containing.casefold()
        page = await self._heads.list(
            lambda name: text in name.casefold() and may_read(name), prefix=prefix, cursor=cursor, limit=limit
        )
        named = [(head.model, head.production_version) for head in page.items if head.production_version]
        found = {version.model: version for version in await self._versions.find_each(named) if version}
        listed = [(head, found.get(head.model)) for head in page.items]
        return Page([(head, version and version.with_head(head)) for head, version in listed], page.next_cursor)

    async def get(self, model: str, caller: Caller) -> Head:
        """The model's head. Raises `ModelNotFoundError`."""
        caller.require(Action.MODEL_READ, model)
        return existing(await self._ledger.head(model), model)

    async def create(
        self, model: str, caller: Caller, *, description: str, tags: Mapping[str, str]
    ) -> tuple[Head, bool]:
        """Make a model without versions, as registering its first version does; one that is there stays as it is.

        Returns the head, and whether it is new; a repeat under the same key finds it there. Raises
        `ModelBeingDeletedError`, `MetadataTooLargeError`.
        """
        caller.require(Action.MODEL_READ, model)
        operation = caller.operation(Action.VERSION_UPLOAD, model)

        async def decide(head: Head | None) -> Decision[tuple[Head, bool]]:
            return changes.create_model(model, head, operation, description=description, tags=tags)

        async def on_duplicate(_: int | None) -> tuple[Head, bool]:
            return existing(await self._ledger.head(model), model), False

        return await self._ledger.apply(model, operation, decide, on_duplicate=on_duplicate)

    async def edit(self, model: str, edit: Edit, caller: Caller) -> Head:
        """Change description and tags. Raises `ModelNotFoundError`, `MetadataTooLargeError`."""
        operation = caller.operation(Action.MODEL_WRITE, model)

        async def decide(head: Head | None) -> Decision[Head]:
            return changes.edit_model(existing(head, model), edit, operation)

        async def on_duplicate(_: int | None) -> Head:
            return existing(await self._ledger.head(model), model)

        return await self._ledger.apply(model, operation, decide, on_duplicate=on_duplicate)

    async def delete(self, model: str, caller: Caller) -> None:
        """Delete a model that has no production version and no alias; its versions go to the trash.

        The model is gone with the first step. Many versions take several steps; if these are interrupted, a repeat or
        `modelkeep sweep` continues. Raises `ModelNotFoundError`, `ModelNotEmptyError`.
        """
        caller.require(Action.VERSION_DELETE, model)
        if await self._delete_step(model, caller, begun=False):
            with suppress(TemporaryError):
                await self.finish_deleting(model, replace(caller, idempotency=None))

    async def finish_deleting(self, model: str, caller: Caller) -> None:
        """Continue a deletion that is in progress until it is finished. Idempotent."""
        while await self._delete_step(model, caller, begun=True):
            pass

    async def _delete_step(self, model: str, caller: Caller, *, begun: bool) -> bool:
        """Take one step; return whether more are needed. With `begun`, only continue a deletion in progress."""
        operation = caller.operation(Action.MODEL_WRITE, model)

        async def decide(head: Head | None) -> Decision[tuple[tuple[Upload, ...], bool]]:
            if begun and not (head and head.deletion_in_progress):
                return Unchanged(result=((), False))
            if head is None or (head.deleted_at and not head.deletion_in_progress):
                raise ModelNotFoundError(model)
            versions, more_versions = await self._versions.take(model, changes.MAX_SUBJECTS)
            uploads, more_uploads = await self._versions.take_uploads(model, changes.MAX_SUBJECTS - len(versions))
            return changes.delete_model(
                head,
                versions,
                uploads,
                operation,
                purge_after=operation.at + self._limits.trash_ttl,
                more=more_versions or more_uploads,
            )

        async def on_duplicate(_: int | None) -> tuple[tuple[Upload, ...], bool]:
            head = await self._heads.find(model)
            return (), head is not None and head.deletion_in_progress

        uploads, more = await self._ledger.apply(model, operation, decide, on_duplicate=on_duplicate)
        await gather_limited(lambda upload: abort_multiparts(self._store, upload), uploads)
        return more
