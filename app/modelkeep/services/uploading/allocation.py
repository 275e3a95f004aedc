"""Allocates the objects of a registration: a key for each artifact, a multipart object for each large one.

What an earlier version of the model holds already has its object, which the new version names as well.

A number under whose keys there are objects already is skipped: a table that was restored to an earlier moment does not
know of the versions that were registered since, and their objects are still there.
"""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial

from modelkeep.domain.artifacts import Artifact, object_key, version_prefix
from modelkeep.domain.errors import UnavailableError
from modelkeep.domain.models import Version
from modelkeep.domain.uploads import Declared, PendingArtifact, Registration, Reused, needs_multipart, plan_parts
from modelkeep.domain.values import Digest
from modelkeep.kit.concurrency import gather_limited
from modelkeep.storage.objects import ObjectStore

Lendable = Mapping[Digest, tuple[int, Artifact]]
"""What an earlier version holds, and which, by digest."""


class ObjectAllocation:
    """Allocates the objects of a registration; again for the next number if another caller takes the first."""

    def __init__(self, store: ObjectStore, model: str, registration: Registration, *, threshold: int) -> None:
        self._store = store
        self._model = model
        self._registration = registration
        self._threshold = threshold
        self._wanted: tuple[int, Lendable] = 0, {}
        self._number = 0
        self._artifacts: tuple[PendingArtifact, ...] = ()

    async def from_number(self, number: int, lenders: Sequence[Version]) -> tuple[int, tuple[PendingArtifact, ...]]:
        """A number from `number` on whose keys are free, and the artifacts under it, multipart objects open.

        Bytes that a lender holds are taken from the first that does. Repeated for the same, the same ones; what was
        allocated otherwise is released. Raises `UnavailableError`.
        """
        wanted = number, _lendable(self._registration.artifacts, lenders)
        if wanted != self._wanted:
            await self.release()
            free = await free_number(self._store, self._model, number)
            allocated = await gather_limited(partial(self._allocate, free, wanted[1]), self._registration.artifacts)
            self._wanted, self._number, self._artifacts = wanted, free, tuple(allocated)
        return self._number, self._artifacts

    async def release(self) -> None:
        """Abort the multipart objects that were opened; `sweep` removes later what the store cannot abort now."""
        opened, self._artifacts, self._wanted = self._artifacts, (), (0, {})
        with contextlib.suppress(UnavailableError):
            await gather_limited(self._abort, opened)

    async def _allocate(self, number: int, lendable: Lendable, declared: Declared) -> PendingArtifact:
        key, parts, reused = object_key(self._model, number, declared.path), None, None
        if lent := lendable.get(declared.sha256):
            lender, artifact = lent
            key = artifact.key
            reused = Reused(version=lender, version_id=artifact.version_id, parts_sha256=artifact.parts_sha256)
        elif needs_multipart(declared, threshold=self._threshold, requested=self._registration.multipart):
            parts = plan_parts(await self._store.begin(key), declared.size)
        return PendingArtifact(
            path=declared.path,
            size=declared.size,
            sha256=declared.sha256,
            key=key,
            executable=declared.executable,
            multipart=parts,
            reused=reused,
        )

    async def _abort(self, artifact: PendingArtifact) -> None:
        if artifact.multipart:
            await self._store.abort(artifact.key, artifact.multipart.id)


async def free_number(store: ObjectStore, model: str, number: int) -> int:
    """A number of the model from `number` on without objects, and the one before it has some: by exponential search.

    So of n numbers that are taken in a row, few more than 2 log n are looked at.
    """

    async def is_taken(number: int) -> bool:
        return await store.has_objects(version_prefix(model, number))

    taken, free = number - 1, number
    while await is_taken(free):
        taken, free = free, 2 * free - number + 1
    while free - taken > 1:
        middle = (taken + free) // 2
        taken, free = (middle, free) if await is_taken(middle) else (taken, middle)
    return free


def _lendable(declared: Sequence[Declared], lenders: Sequence[Version]) -> Lendable:
    sizes = {each.sha256: each.size for each in declared}
    lendable: dict[Digest, tuple[int, Artifact]] = {}
    for version in lenders:
        for artifact in version.artifacts if version.is_verified else ():
            if artifact.sha256 and sizes.get(artifact.sha256) == artifact.size:
                lendable.setdefault(artifact.sha256, (version.number, artifact))
    return lendable
