"""Graceful shutdown: load balancers and clients learn of it before a connection is closed."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from modelkeep.domain.errors import UnavailableError


class GracefulShutdown:
    """Delays the server's reaction to SIGTERM by `delay` seconds, in which the process drains.

    While it drains, every request is served, but `/readyz` is 503 and each answer closes its connection: so callers go
    elsewhere, and the server does not close a connection that is in use.
    """

    def __init__(self, delay: float) -> None:
        self.is_draining = False
        self._delay = delay

    def check(self) -> None:
        """Raise `UnavailableError` once the process drains."""
        if self.is_draining:
            raise UnavailableError("This process is being stopped. Ask another one.")

    @contextmanager
    def intercept_sigterm(self) -> Iterator[None]:
        """Until the block ends, delay the handler that SIGTERM has; without one, do nothing."""
        handler = signal.getsignal(signal.SIGTERM)
        if not callable(handler) or threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()

        def drain(number: int, frame: FrameType | None) -> None:
            self.is_draining = True
            loop.call_soon_threadsafe(loop.call_later, self._delay, handler, number, frame)

        signal.signal(signal.SIGTERM, drain)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, handler)
