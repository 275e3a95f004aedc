"""Resolves refs: which version answers, by one consistent read of the model's head."""

import asyncio
from operator import attrgetter
from typing import Final, NamedTuple

from cachetools import LRUCache

from modelkeep.domain.downloads import Resolved
from modelkeep.domain.errors import ContentionError, UnavailableError, VersionNotFoundError
from modelkeep.domain.models import Head, Version, existing
from modelkeep.domain.values import Ref, RefKind
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.versions import Versions
from modelkeep.services.reading.single_flight import SingleFlight
from modelkeep.services.reading.stale_cache import StaleCache

MAX_ATTEMPTS: Final = 20
"""Reads of head and version that may disagree before a reader gives up: a burst of promotions overtakes several."""

CACHE_BYTES: Final = 32 * 1024 * 1024
"""Approximate memory for versions that were read before."""

HEAD_TIMEOUT_SECONDS: Final = 2.0
"""Timeout of reading a head when the stale cache has an answer for the model."""

_NO_ANSWER: Final = "The table does not answer. Check that the service can reach it."


class _HeadRead(NamedTuple):
    """One read of a head, and what `production` resolves to by it, if its version was at hand."""

    head: Head | None
    production: Resolved | None


class Resolver:
    """Resolves refs by a head that was read after the call began; concurrent calls share the read (single-flight).

    The immutable part of versions is cached, so `production` costs that one read.
    """

    def __init__(self, ledger: Ledger, heads: Heads, versions: Versions, stale_cache: StaleCache) -> None:
        self._ledger = ledger
        self._heads = heads
        self._versions = versions
        self._stale_cache = stale_cache
        self._head_reads = SingleFlight(self._read_head)
        self._versions_cache: LRUCache[tuple[str, int], Version] = LRUCache(CACHE_BYTES, attrgetter("weight"))

    async def resolve(self, model: str, ref: Ref) -> tuple[Head, Version]:
        """The whole version that answers to a ref, and the head by which it does, as at one instant of this call.

        Raises `ModelNotFoundError`, `VersionNotFoundError`, `UnavailableError`; `ContentionError` if the head moved
        during every attempt.
        """
        return await self._resolve_by(existing(await self.find_head(model), model), ref)

    async def resolve_for_download(self, model: str, ref: Ref) -> Resolved:
        """What a download needs of the version that answers to a ref; description, metrics and tags may be older.

        Raises what `resolve` raises.
        """
        read = await self._head_reads.load(model)
        if read.head and read.production and _is_named(read.production.version, read.head, ref):
            return read.production
        head = existing(read.head or await self._ledger.head(model), model)
        head, version = await self._resolve_by(head, ref)
        self._cache_version(version)
        return Resolved(head.generation, version)

    async def find_head(self, model: str) -> Head | None:
        """The head, read after the call began; `None` if the model never existed. Raises `UnavailableError`."""
        return (await self._head_reads.load(model)).head or await self._ledger.head(model)

    async def _resolve_by(self, head: Head, ref: Ref) -> tuple[Head, Version]:
        """Read the version, and the head again where needed, until both agree.

        One read of the head is enough if it names no version, or one that agrees with it. Any other result (no version,
        one that disagrees, the newest in staging) holds if the head has not moved since. The version's item may be
        newer than the head, never older.
        """
        for _ in range(MAX_ATTEMPTS):
            version = await self._find(head, ref)
            certain = version and version.is_consistent_with(head) and ref.kind is not RefKind.STAGING
            now = head if certain else existing(await self.find_head(head.model), head.model)
            if now.generation == head.generation:
                if version is None or (ref.kind is RefKind.COMMIT and version.commit != ref.text):
                    raise VersionNotFoundError(head.model, ref.text)
                return head, version.with_head(head)
            head = now
        raise ContentionError(head.model)

    async def _find(self, head: Head, ref: Ref) -> Version | None:
        """The version that the ref names by this head, if it exists. Raises `VersionNotFoundError` if it names none."""
        if ref.kind is RefKind.STAGING:
            return await self._versions.newest_in_staging(head.model)
        number = _number(head, ref)
        if number is None:
            raise VersionNotFoundError(head.model, ref.text)
        return await self._versions.find(head.model, number)

    async def _read_head(self, model: str) -> _HeadRead:
        """Read the head, and resolve `production` by it if the version is cached. Raises `UnavailableError`."""
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_SECONDS if self._stale_cache.has_answer(model) else None):
                head, version = await self._fetch(model)
        except TimeoutError:
            raise UnavailableError(_NO_ANSWER) from None
        if head is None or head.deleted_at or head.production_version is None:
            return _HeadRead(head, None)
        if version and version.number == head.production_version and version.is_consistent_with(head):
            self._cache_version(version)
        else:
            version = self._versions_cache.get((model, head.production_version))
        return _HeadRead(head, Resolved(head.generation, version.with_head(head)) if version else None)

    async def _fetch(self, model: str) -> tuple[Head | None, Version | None]:
        """Read the head, and in the same round trip the last known production version, unless that one is cached."""
        number = self._stale_cache.last_production(model)
        if number is None or (model, number) in self._versions_cache:
            return await self._heads.find(model), None
        return await self._heads.find_with(model, number)

    def _cache_version(self, version: Version) -> None:
        """Cache a version; not one that was adopted and is not verified yet, because its artifacts will change."""
        if version.is_verified:
            self._versions_cache[version.model, version.number] = version


def _is_named(version: Version, head: Head, ref: Ref) -> bool:
    """Whether the ref names this version by the head."""
    return version.number == _number(head, ref) and (ref.kind is not RefKind.COMMIT or ref.text == version.commit)


def _number(head: Head, ref: Ref) -> int | None:
    match ref.kind:
        case RefKind.LATEST:
            return head.latest_version
        case RefKind.PRODUCTION:
            return head.production_version
        case RefKind.ALIAS:
            alias = head.alias_like(ref.text)
            return head.aliases[alias] if alias else None
        case _:
            return ref.number
