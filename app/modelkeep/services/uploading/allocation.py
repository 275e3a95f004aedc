"""Where the artifacts of a registration go: keys, and multipart objects for the large ones."""

import contextlib

from modelkeep.domain.artifacts import object_key
from modelkeep.domain.errors import UnavailableError
from modelkeep.domain.uploads import Declared, PendingArtifact, Registration, needs_multipart, plan_parts
from modelkeep.kit.concurrency import gather_limited
from modelkeep.storage.objects import ObjectStore


class ObjectAllocation:
    """Places a registration at a version number, again if another caller takes that number first."""

    def __init__(self, store: ObjectStore, model: str, registration: Registration, *, threshold: int) -> None:
        self._store = store
        self._model = model
        self._registration = registration
        self._threshold = threshold
        self._number = 0
        self._artifacts: tuple[PendingArtifact, ...] = ()

    async def at(self, number: int) -> tuple[PendingArtifact, ...]:
        """Give each artifact its key under this number, and open multipart objects; the same for the same number."""
        if number != self._number:
            await self.give_up()
            placed = await gather_limited(lambda declared: self._place(number, declared), self._registration.artifacts)
            self._number, self._artifacts = number, tuple(placed)
        return self._artifacts

    async def give_up(self) -> None:
        """Drop the multipart objects that were opened; what storage will not drop now, `sweep` finds later."""
        opened, self._artifacts, self._number = self._artifacts, (), 0
        with contextlib.suppress(UnavailableError):
            await gather_limited(self._abort, opened)

    async def _place(self, number: int, declared: Declared) -> PendingArtifact:
        key = object_key(self._model, number, declared.path)
        parts = None
        if needs_multipart(declared, threshold=self._threshold, requested=self._registration.multipart):
            parts = plan_parts(await self._store.begin(key), declared.size)
        return PendingArtifact(path=declared.path, size=declared.size, sha256=declared.sha256, key=key, multipart=parts)

    async def _abort(self, artifact: PendingArtifact) -> None:
        if artifact.multipart:
            await self._store.abort(artifact.key, artifact.multipart.id)
