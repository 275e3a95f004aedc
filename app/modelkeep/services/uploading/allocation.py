"""Allocates the objects of a registration: a key for each artifact, a multipart object for each large one.

A number under whose keys there are objects already is skipped: a table that was restored to an earlier moment does not
know of the versions that were registered since, and their objects are still there.
"""

import contextlib
from functools import partial

from modelkeep.domain.artifacts import object_key, version_prefix
from modelkeep.domain.errors import UnavailableError
from modelkeep.domain.uploads import Declared, PendingArtifact, Registration, needs_multipart, plan_parts
from modelkeep.kit.concurrency import gather_limited
from modelkeep.storage.objects import ObjectStore


class ObjectAllocation:
    """Allocates the objects of a registration; again for the next number if another caller takes the first."""

    def __init__(self, store: ObjectStore, model: str, registration: Registration, *, threshold: int) -> None:
        self._store = store
        self._model = model
        self._registration = registration
        self._threshold = threshold
        self._next = 0
        self._number = 0
        self._artifacts: tuple[PendingArtifact, ...] = ()

    async def from_number(self, number: int) -> tuple[int, tuple[PendingArtifact, ...]]:
        """A number from `number` on whose keys are free, and the artifacts under it, multipart objects open.

        Repeated, the same ones; what was allocated from another number is released. Raises `UnavailableError`.
        """
        if number != self._next:
            await self.release()
            free = await self._free_number(number)
            allocated = await gather_limited(partial(self._allocate, free), self._registration.artifacts)
            self._next, self._number, self._artifacts = number, free, tuple(allocated)
        return self._number, self._artifacts

    async def release(self) -> None:
        """Abort the multipart objects that were opened; `sweep` removes later what the store cannot abort now."""
        opened, self._artifacts, self._next = self._artifacts, (), 0
        with contextlib.suppress(UnavailableError):
            await gather_limited(self._abort, opened)

    async def _free_number(self, number: int) -> int:
        """A number from `number` on without objects, and the one before it has some: by exponential search.

        So of n numbers that are taken in a row, few more than 2 log n are looked at.
        """
        taken, free = number - 1, number
        while await self._is_taken(free):
            taken, free = free, 2 * free - number + 1
        while free - taken > 1:
            middle = (taken + free) // 2
            taken, free = (middle, free) if await self._is_taken(middle) else (taken, middle)
        return free

    async def _is_taken(self, number: int) -> bool:
        return await self._store.has_objects(version_prefix(self._model, number))

    async def _allocate(self, number: int, declared: Declared) -> PendingArtifact:
        key = object_key(self._model, number, declared.path)
        parts = None
        if needs_multipart(declared, threshold=self._threshold, requested=self._registration.multipart):
            parts = plan_parts(await self._store.begin(key), declared.size)
        return PendingArtifact(
            path=declared.path,
            size=declared.size,
            sha256=declared.sha256,
            key=key,
            executable=declared.executable,
            multipart=parts,
        )

    async def _abort(self, artifact: PendingArtifact) -> None:
        if artifact.multipart:
            await self._store.abort(artifact.key, artifact.multipart.id)
