"""Allocates the objects of a registration: a key for each artifact, a multipart object for each large one."""

import contextlib
from functools import partial

from modelkeep.domain.artifacts import object_key
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
        self._number = 0
        self._artifacts: tuple[PendingArtifact, ...] = ()

    async def for_version(self, number: int) -> tuple[PendingArtifact, ...]:
        """The artifacts with their keys under this number, multipart objects open; repeated, the same ones.

        Releases what was allocated for another number. Raises `UnavailableError`.
        """
        if number != self._number:
            await self.release()
            allocated = await gather_limited(partial(self._allocate, number), self._registration.artifacts)
            self._number, self._artifacts = number, tuple(allocated)
        return self._artifacts

    async def release(self) -> None:
        """Abort the multipart objects that were opened; `sweep` removes later what the store cannot abort now."""
        opened, self._artifacts, self._number = self._artifacts, (), 0
        with contextlib.suppress(UnavailableError):
            await gather_limited(self._abort, opened)

    async def _allocate(self, number: int, declared: Declared) -> PendingArtifact:
        key = object_key(self._model, number, declared.path)
        parts = None
        if needs_multipart(declared, threshold=self._threshold, requested=self._registration.multipart):
            parts = plan_parts(await self._store.begin(key), declared.size)
        return PendingArtifact(path=declared.path, size=declared.size, sha256=declared.sha256, key=key, multipart=parts)

    async def _abort(self, artifact: PendingArtifact) -> None:
        if artifact.multipart:
            await self._store.abort(artifact.key, artifact.multipart.id)
