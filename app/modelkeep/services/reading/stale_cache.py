"""Stale-if-error (RFC 5861): the last known good answers, served with their age while the table cannot be read."""

import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from cachetools import LRUCache

from modelkeep.domain.downloads import Resolved
from modelkeep.domain.errors import ModelNotFoundError, UnavailableError, VersionNotFoundError
from modelkeep.domain.values import Ref, RefKind

CACHE_BYTES: Final = 32 * 1024 * 1024
"""Approximate memory for last known good answers; the least recently used are dropped first."""

_ANY_REF: Final = ""


class _LastKnownGood(NamedTuple):
    at: float
    resolved: Resolved


class StaleCache:
    """Stores what each ref resolved to last, and serves it for `max_age` seconds after that; with 0, stores nothing.

    An answer is stored under its ref and under its commit. What is known to be gone is evicted at once.
    """

    def __init__(self, max_age: float, on_stale: Callable[[], None] = lambda: None) -> None:
        self._max_age = max_age
        self._on_stale = on_stale
        self._answers: LRUCache[tuple[str, str], _LastKnownGood] = LRUCache(
            CACHE_BYTES, lambda answer: answer.resolved.version.weight
        )

    async def get(self, model: str, ref: Ref, resolve: Callable[[str, Ref], Awaitable[Resolved]]) -> Resolved:
        """What `resolve` returns; if it raises `UnavailableError`, the last known good answer, with its age.

        `on_stale()` is called for each answer that is stale. Raises what `resolve` raises; `UnavailableError` if there
        is no answer that is young enough.
        """
        try:
            resolved = await resolve(model, ref)
        except (ModelNotFoundError, VersionNotFoundError) as error:
            self._evict(model, None if isinstance(error, ModelNotFoundError) else ref.text)
            raise
        except UnavailableError:
            answer = self._last_known_good(model, ref.text)
            if answer is None:
                raise
            self._on_stale()
            return answer.resolved._replace(stale_seconds=int(time.monotonic() - answer.at))
        self._store_last_known_good(ref.text, resolved)
        return resolved

    def has_answer(self, model: str) -> bool:
        """Whether an answer for some ref of the model can be served now."""
        return self._last_known_good(model, _ANY_REF) is not None

    def last_production(self, model: str) -> int | None:
        """The version that `production` resolved to last, however long ago."""
        answer = self._answers.get((model, RefKind.PRODUCTION))
        return answer.resolved.version.number if answer else None

    def _store_last_known_good(self, text: str, resolved: Resolved) -> None:
        model = resolved.version.model
        before = self._answers.get((model, text))
        if self._max_age and not (before and before.resolved is resolved):
            answer = _LastKnownGood(time.monotonic(), resolved)
            for key in (text, resolved.version.commit, _ANY_REF):
                self._answers[model, key] = answer

    def _last_known_good(self, model: str, text: str) -> _LastKnownGood | None:
        """The last answer, unless it is too old."""
        answer = self._answers.get((model, text))
        return answer if answer and time.monotonic() - answer.at < self._max_age else None

    def _evict(self, model: str, text: str | None) -> None:
        """Drop the answer to one ref; with `None`, to every ref of the model."""
        if text is None and (model, _ANY_REF) in self._answers:
            texts = [key[1] for key in self._answers if key[0] == model]
        else:
            texts = [text or _ANY_REF]
        for each in texts:
            self._answers.pop((model, each), None)
