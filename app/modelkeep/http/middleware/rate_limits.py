"""Rate limits: requests of a principal, and failed logins of an address. Each worker process counts for itself."""

import math
import time
from functools import cached_property
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Final

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from modelkeep.domain.errors import TooManyRequestsError

REQUESTS_SECONDS: Final = 10
FAILURES_SECONDS: Final = 60
IPV6_PREFIX_LENGTH: Final = 64
"""Bits of an IPv6 address that a provider assigns to one customer, who chooses the rest."""


class RateLimits:
    """Fixed windows in memory."""

    def __init__(self, *, requests: int, failures: int) -> None:
        self._requests = RateLimitItemPerSecond(requests, REQUESTS_SECONDS)
        self._failures = RateLimitItemPerSecond(failures, FAILURES_SECONDS, namespace="FAILURES")

    @cached_property
    def _windows(self) -> FixedWindowRateLimiter:
        """Made with the first request, as it needs an event loop; the blocking kind starts a thread every 10 ms."""
        return FixedWindowRateLimiter(MemoryStorage())

    async def count_request(self, principal: str) -> None:
        """Count a request. Raises `TooManyRequestsError` if it is above the limit."""
        if not await self._windows.hit(self._requests, principal):
            raise await self._limit_error("requests", self._requests, principal)

    async def count_failure(self, address: str) -> None:
        """Count a failed login of this address."""
        await self._windows.hit(self._failures, _client_network(address))

    async def check_failures(self, address: str) -> None:
        """Raise `TooManyRequestsError` if this address has failed too often to try again now."""
        if not await self._windows.test(self._failures, _client_network(address)):
            raise await self._limit_error("failed logins from your address", self._failures, _client_network(address))

    async def _limit_error(self, what: str, limit: RateLimitItem, key: str) -> TooManyRequestsError:
        window = await self._windows.get_window_stats(limit, key)
        return TooManyRequestsError(what, max(1, math.ceil(window.reset_time - time.time())))


def _client_network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return address
    return str(parsed.ipv4_mapped or ip_network((int(parsed), IPV6_PREFIX_LENGTH), strict=False))
