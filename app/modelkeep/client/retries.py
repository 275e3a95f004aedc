"""Which failures of a request are retried, how often, and after how long."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from modelkeep.kit.backoff import full_jitter

TRANSIENT_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of storage, or of a proxy in front of it, after which the same request may succeed."""

MAX_ATTEMPTS: Final = 6
"""How many consecutive attempts are made."""

_BASE_SECONDS: Final = 0.5
_CAP_SECONDS: Final = 8.0
_MAX_RETRY_AFTER_SECONDS: Final = 60.0


def retry_delay(attempt: int, retry_after: float | None = None) -> float:
    """Seconds to wait after failed attempt `attempt`, from 1: `retry_after`, up to a limit, and full jitter."""
    jitter = full_jitter(attempt - 1, base=_BASE_SECONDS, cap=_CAP_SECONDS)
    return min(retry_after or 0.0, _MAX_RETRY_AFTER_SECONDS) + jitter


def retry_after(response: httpx.Response) -> float | None:
    """The `Retry-After` header in seconds, from a number or a date; `None` if there is no valid one."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value) if value.isdigit() else _seconds_until(value))
    except (ValueError, OverflowError):
        return None


def _seconds_until(date: str) -> float:
    return (parsedate_to_datetime(date).replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()


def reason_of(error: Exception) -> str:
    """The reason of an exception of httpx, as part of a sentence."""
    if isinstance(error, httpx.ConnectTimeout):
        return "connecting took too long"
    if isinstance(error, httpx.TimeoutException):
        return "no bytes came or went for too long"
    return (str(error) or type(error).__name__).strip().rstrip(".")
