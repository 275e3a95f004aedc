"""When to try again, and after how long."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from modelkeep.kit.backoff import full_jitter

TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of storage, and of what stands before it, after which the same request may succeed."""

ATTEMPTS: Final = 6
"""How often in a row something may fail before it has failed."""

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 8.0
_LONGEST_OBEYED: Final = 60.0


def pause(attempt: int, retry_after: float | None = None) -> float:
    """Seconds to wait after failed attempt `attempt` (from 1): what was asked for, at least, and full jitter on top."""
    jitter = full_jitter(attempt - 1, base=_FIRST_PAUSE, cap=_LONGEST_PAUSE)
    return min(retry_after or 0.0, _LONGEST_OBEYED) + jitter


def retry_after(response: httpx.Response) -> float | None:
    """What a `Retry-After` header asks for, in seconds; `None` if there is none that can be read."""
    given = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(given) if given.isdigit() else _until(given))
    except (ValueError, OverflowError):
        return None


def _until(moment: str) -> float:
    return (parsedate_to_datetime(moment).replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()


def reason_of(error: Exception) -> str:
    """What an exception of httpx says, in words that fit into a sentence."""
    if isinstance(error, httpx.ConnectTimeout):
        return "connecting took too long"
    if isinstance(error, httpx.TimeoutException):
        return "no bytes came or went for too long"
    return (str(error) or type(error).__name__).strip().rstrip(".")
