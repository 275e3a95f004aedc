"""What uploads and downloads share: threads that move bytes, and the patience to try again."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final, ParamSpec, Self, TypeVar

from modelkeep.client.errors import UnreachableError
from modelkeep.client.presigned_transport import AttemptFailedError, PresignedTransport, Report
from modelkeep.client.retries import ATTEMPTS, pause
from modelkeep.schemas.base import PresignedUrlResponse

P = ParamSpec("P")
T = TypeVar("T")

_EXPIRING: Final = timedelta(seconds=30)


class TransferPool:
    """Threads and connections for one upload or download; all end with the block."""

    def __init__(self, *, jobs: int, report: Report) -> None:
        self.jobs = jobs
        self.report = report
        self.storage = PresignedTransport(connections=jobs)
        self.beside = ThreadPoolExecutor(jobs, thread_name_prefix="hash")
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="transfer")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        self.storage.stop()
        self._pool.shutdown()
        self.beside.shutdown()
        self.storage.close()

    async def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call in one of the threads. Cancelled, all threads are told to stop, and this one has when it returns."""
        running = asyncio.get_running_loop().run_in_executor(self._pool, lambda: call(*args, **kwargs))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self.storage.stop()
            await asyncio.gather(running, return_exceptions=True)
            raise


class RetryState:
    """Counts the failures in a row of one transfer, and waits after each."""

    def __init__(self, artifact: str) -> None:
        self._artifact = artifact
        self._failures = 0

    def reset(self) -> None:
        """Something arrived since the last failure."""
        self._failures = 0

    async def after(self, failure: AttemptFailedError) -> None:
        """Wait before the next attempt. Raises `UnreachableError` once too many in a row have failed."""
        self._failures += 1
        if self._failures == ATTEMPTS:
            raise UnreachableError(f"storage, for '{self._artifact}'", str(failure)) from failure
        await asyncio.sleep(pause(self._failures, failure.retry_after))


def is_expiring(signed: PresignedUrlResponse) -> bool:
    """Whether a URL may expire before a request with it arrives."""
    return signed.expires_at - datetime.now(UTC) < _EXPIRING
