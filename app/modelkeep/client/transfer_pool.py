"""What an upload and a download share: threads that move bytes, and the retries of one transfer."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final, ParamSpec, Self, TypeVar

from modelkeep.client.errors import UnreachableError
from modelkeep.client.presigned_transport import AttemptFailedError, PresignedTransport, Report
from modelkeep.client.retries import MAX_ATTEMPTS, retry_delay
from modelkeep.schemas.base import PresignedUrlResponse

P = ParamSpec("P")
T = TypeVar("T")

_EXPIRY_MARGIN: Final = timedelta(seconds=30)


class TransferPool:
    """Threads and connections of one upload or download; all of them end with the `async with` block."""

    def __init__(self, *, jobs: int, report: Report) -> None:
        self.jobs = jobs
        self.report = report
        self.transport = PresignedTransport(connections=jobs)
        self.hash_executor = ThreadPoolExecutor(jobs, thread_name_prefix="hash")
        self._executor = ThreadPoolExecutor(jobs, thread_name_prefix="transfer")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        self.transport.cancel()
        self._executor.shutdown()
        self.hash_executor.shutdown()
        self.transport.close()

    async def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call in one of the threads. Cancelled, it cancels all transfers and returns when its own thread has ended."""
        running = asyncio.get_running_loop().run_in_executor(self._executor, lambda: call(*args, **kwargs))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self.transport.cancel()
            await asyncio.gather(running, return_exceptions=True)
            raise


class RetryState:
    """Counts the consecutive failures of one transfer, and waits after each."""

    def __init__(self, artifact: str) -> None:
        self._artifact = artifact
        self._failures = 0

    def reset(self) -> None:
        """Count from zero again, because bytes have arrived since the last failure."""
        self._failures = 0

    async def wait_after(self, failure: AttemptFailedError) -> None:
        """Wait before the next attempt. Raises `UnreachableError` after too many consecutive failures."""
        self._failures += 1
        if self._failures == MAX_ATTEMPTS:
            raise UnreachableError(f"storage, for '{self._artifact}'", str(failure)) from failure
        await asyncio.sleep(retry_delay(self._failures, failure.retry_after))


def is_expiring(signed: PresignedUrlResponse) -> bool:
    """Whether a URL may expire before a request with it arrives."""
    return signed.expires_at - datetime.now(UTC) < _EXPIRY_MARGIN
