"""Which version answers to a ref: the read that every starting container makes."""

import asyncio
import time
from collections.abc import Callable, Container
from typing import Final, NamedTuple

from cachetools import LRUCache

from modelkeep.domain.errors import ContentionError, ModelNotFoundError, UnavailableError, VersionNotFoundError
from modelkeep.domain.models import Head, Version, existing
from modelkeep.domain.values import Ref, RefKind
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.versions import Versions
from modelkeep.services.reading.head_poller import POLL_SECONDS, HeadPoller
from modelkeep.services.reading.single_flight import SingleFlight

MAX_ATTEMPTS: Final = 5

CACHE_BYTES: Final = 32 * 1024 * 1024
"""About so much memory for versions that were read before, and as much for answers that were given before."""

HEAD_TIMEOUT_SECONDS: Final = 2.0
"""How long one reading of a head may take where there is an answer in memory."""

_NO_ANSWER: Final = "The table does not answer. Check that the service can reach it."
_ANY_REF: Final = ""


class Resolved(NamedTuple):
    """What a ref came to by the head of this generation.

    Of the version, what never changes and its stage are true to that head. `stale_seconds` is the age of an answer from
    memory, given because the table could not be read.
    """

    generation: int
    version: Version
    stale_seconds: int | None = None


class _HeadRead(NamedTuple):
    """One reading of a head, and what `production` comes to by it, if that could be said without another one."""

    head: Head | None
    production: Resolved | None


class _Answered(NamedTuple):
    at: float
    resolved: Resolved


class Resolver:
    """Resolves refs by heads that were read after the question, one reading for all who ask at once.

    Versions never change but for stage and description, so production costs that one reading. For `stale_for` seconds
    an answer is remembered: while the table cannot be read, it is given again, and `on_stale` is told.
    """

    def __init__(
        self,
        ledger: Ledger,
        heads: Heads,
        versions: Versions,
        *,
        stale_for: float,
        on_stale: Callable[[], None] = lambda: None,
        is_ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._ledger = ledger
        self._heads = heads
        self._versions = versions
        self._stale_for = stale_for
        self._on_stale = on_stale
        self._reads = SingleFlight(self._see)
        self._watch = HeadPoller(self._head, is_ending)
        self._kept: LRUCache[tuple[str, int], Version] = LRUCache(CACHE_BYTES, _weight)
        self._answers: LRUCache[tuple[str, str], _Answered] = LRUCache(
            CACHE_BYTES, lambda answered: _weight(answered.resolved.version)
        )

    async def locate(self, model: str, ref: Ref) -> Resolved:
        """What is needed to download what answers to a ref; from memory, if the table cannot be read.

        Raises `ModelNotFoundError`, `VersionNotFoundError`, `ContentionError`, `UnavailableError`.
        """
        try:
            resolved = await self._locate(model, ref)
        except (ModelNotFoundError, VersionNotFoundError) as error:
            self._forget(model, None if isinstance(error, ModelNotFoundError) else ref.text)
            raise
        except UnavailableError:
            answered = self._recall(model, ref.text)
            if answered is None:
                raise
            self._on_stale()
            return answered.resolved._replace(stale_seconds=int(time.monotonic() - answered.at))
        self._remember(ref.text, resolved)
        return resolved

    async def another(
        self, model: str, ref: Ref, resolved: Resolved, *, known: Container[str], seconds: float
    ) -> Resolved:
        """Wait until a version whose commit is not `known` answers to the ref; at the end, return what did last.

        Where the head was seen to move and an answer comes from memory yet, it is asked for again a second later.
        Raises what `locate` raises.
        """
        until = asyncio.get_running_loop().time() + seconds
        while resolved.version.commit in known and await self._watch.moved(model, resolved.generation, until=until):
            resolved = await self.locate(model, ref)
            if resolved.stale_seconds is not None:
                await asyncio.sleep(min(POLL_SECONDS, max(0, until - asyncio.get_running_loop().time())))
        return resolved

    async def resolve(self, model: str, ref: Ref) -> tuple[Head, Version]:
        """The whole version that answers to a ref, and the head by which it does, as at one instant of this call.

        Raises `ModelNotFoundError`, `VersionNotFoundError`; `ContentionError` if the head moved at every look.
        """
        return await self._resolve(await self._existing(model), ref)

    async def _locate(self, model: str, ref: Ref) -> Resolved:
        seen = await self._reads.get(model)
        if seen.head and seen.production and _is_named(seen.production.version, seen.head, ref):
            return seen.production
        head, version = await self._resolve(existing(seen.head or await self._ledger.head(model), model), ref)
        self._keep(version)
        return Resolved(head.generation, version)

    async def _resolve(self, head: Head, ref: Ref) -> tuple[Head, Version]:
        """Look until head and version agree.

        A head that names nothing is an answer, and so is a version that agrees with the head read before it. All else
        (no version, one that tells another story, the newest in staging) holds if the head has not moved meanwhile.
        What the version says of itself may be newer than the head, never older.
        """
        for _ in range(MAX_ATTEMPTS):
            version = await self._find(head, ref)
            certain = version and version.is_consistent_with(head) and ref.kind is not RefKind.STAGING
            now = head if certain else await self._existing(head.model)
            if now.generation == head.generation:
                if version is None or (ref.kind is RefKind.COMMIT and version.commit != ref.text):
                    raise VersionNotFoundError(head.model, ref.text)
                return head, version.with_head(head)
            head = now
        raise ContentionError(head.model)

    async def _find(self, head: Head, ref: Ref) -> Version | None:
        """What lies where the ref points by this head. Raises `VersionNotFoundError` if it points nowhere."""
        if ref.kind is RefKind.STAGING:
            return await self._versions.newest_in_staging(head.model)
        number = _number(head, ref)
        if number is None:
            raise VersionNotFoundError(head.model, ref.text)
        return await self._versions.find(head.model, number)

    async def _existing(self, model: str) -> Head:
        return existing(await self._head(model), model)

    async def _head(self, model: str) -> Head | None:
        return (await self._reads.get(model)).head or await self._ledger.head(model)

    async def _see(self, model: str) -> _HeadRead:
        """Read the head, and say what `production` comes to by it if the version is kept. Raises `UnavailableError`."""
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_SECONDS if self._recall(model, _ANY_REF) else None):
                head, version = await self._look(model)
        except TimeoutError:
            raise UnavailableError(_NO_ANSWER) from None
        if head is None or head.deleted_at or head.production_version is None:
            return _HeadRead(head, None)
        if version and version.number == head.production_version and version.is_consistent_with(head):
            self._keep(version)
        else:
            version = self._kept.get((model, head.production_version))
        return _HeadRead(head, Resolved(head.generation, version.with_head(head)) if version else None)

    async def _look(self, model: str) -> tuple[Head | None, Version | None]:
        """Read the head, and in the same round trip the version that held production last, unless that one is kept."""
        last = self._answers.get((model, RefKind.PRODUCTION))
        number = last.resolved.version.number if last else None
        if number is None or (model, number) in self._kept:
            return await self._heads.find(model), None
        return await self._heads.find_with(model, number)

    def _keep(self, version: Version) -> None:
        """Keep what will not change any more; what was adopted, and not verified yet, will."""
        if version.is_verified:
            self._kept[version.model, version.number] = version

    def _remember(self, text: str, resolved: Resolved) -> None:
        model = resolved.version.model
        known = self._answers.get((model, text))
        if self._stale_for and not (known and known.resolved is resolved):
            answered = _Answered(time.monotonic(), resolved)
            for key in (text, resolved.version.commit, _ANY_REF):
                self._answers[model, key] = answered

    def _forget(self, model: str, text: str | None) -> None:
        """Give no answer again that is known to be none any more: to one ref, or to every ref of a model."""
        if text is None and (model, _ANY_REF) in self._answers:
            texts = [key[1] for key in self._answers if key[0] == model]
        else:
            texts = [text or _ANY_REF]
        for each in texts:
            self._answers.pop((model, each), None)

    def _recall(self, model: str, text: str) -> _Answered | None:
        """What was answered last, unless that is too long ago."""
        answered = self._answers.get((model, text))
        return answered if answered and time.monotonic() - answered.at < self._stale_for else None


def _is_named(version: Version, head: Head, ref: Ref) -> bool:
    """Whether the ref leads to this version by what the head says."""
    return version.number == _number(head, ref) and (ref.kind is not RefKind.COMMIT or ref.text == version.commit)


def _number(head: Head, ref: Ref) -> int | None:
    match ref.kind:
        case RefKind.LATEST:
            return head.latest_version
        case RefKind.PRODUCTION:
            return head.production_version
        case RefKind.ALIAS:
            return head.aliases.get(ref.text)
        case _:
            return ref.number


def _weight(version: Version) -> int:
    """About as many bytes as a version takes in memory."""
    return 4096 + 1024 * len(version.artifacts)
