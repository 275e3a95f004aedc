"""Rate limits: requests of a principal, and failed logins of an address. Each worker process counts for itself.

`limits`, the usual library, goes by the wall clock, which may be set back by an hour in the middle of a window.
"""

import math
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Final

from cachetools import LRUCache

from modelkeep.domain.errors import TooManyRequestsError

REQUESTS_SECONDS: Final = 10
FAILURES_SECONDS: Final = 60
MAX_WINDOWS: Final = 10_000
"""Principals, and addresses, that are counted at a time; above that, those are forgotten that were quiet longest."""

IPV6_PREFIX_LENGTH: Final = 64
"""Bits of an IPv6 address that a provider assigns to one customer, who chooses the rest."""


@dataclass(slots=True)
class _Window:
    ends_at: float
    count: int = 0


class FixedWindows:
    """Fixed window counters, by the monotonic clock: the first count of a key opens a window of `seconds`."""

    def __init__(self, what: str, limit: int, seconds: float) -> None:
        self._what = what
        self._limit = limit
        self._seconds = seconds
        self._windows: LRUCache[str, _Window] = LRUCache(MAX_WINDOWS)

    def count(self, key: str) -> None:
        """Count one. Raises `TooManyRequestsError` if it is above the limit."""
        now, window = time.monotonic(), self._windows.get(key)
        if window is None or window.ends_at <= now:
            window = self._windows[key] = _Window(now + self._seconds)
        window.count += 1
        if window.count > self._limit:
            raise TooManyRequestsError(self._what, max(1, math.ceil(window.ends_at - now)))


class RateLimits:
    """The limits of one process."""

    def __init__(self, *, requests: int, failures: int) -> None:
        self._requests = FixedWindows("requests", requests, REQUESTS_SECONDS)
        self._failures = FixedWindows("failed logins from your address", failures, FAILURES_SECONDS)

    def count_request(self, principal: str) -> None:
        """Count a request. Raises `TooManyRequestsError` if it is above the limit."""
        self._requests.count(principal)

    def count_failure(self, address: str) -> None:
        """Count a failed login of this address. Raises `TooManyRequestsError` if it is above the limit."""
        self._failures.count(_client_network(address))


def _client_network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return address
    return str(parsed.ipv4_mapped or ip_network((int(parsed), IPV6_PREFIX_LENGTH), strict=False))
