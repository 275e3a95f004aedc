"""Being asked to stop: whoever sends requests here learns it before a connection is closed."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from modelkeep.domain.errors import UnavailableError


class GracefulShutdown:
    """Whether this process has been asked to stop.

    Between SIGTERM and what the server does then lie `notice` seconds. All is served in them, but the service is not
    ready, and each answer ends its connection: callers go elsewhere, and the server closes none that is in use.
    """

    def __init__(self, notice: float) -> None:
        self.is_draining = False
        self._notice = notice

    def check(self) -> None:
        """Raise `UnavailableError` once the process has been asked to stop."""
        if self.is_draining:
            raise UnavailableError("This process is being stopped. Ask another one.")

    @contextmanager
    def intercept_sigterm(self) -> Iterator[None]:
        """Stand between SIGTERM and the server's handler of it until the block ends; without one do nothing."""
        handler = signal.getsignal(signal.SIGTERM)
        if not callable(handler) or threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()

        def announce(number: int, frame: FrameType | None) -> None:
            self.is_draining = True
            loop.call_soon_threadsafe(loop.call_later, self._notice, handler, number, frame)

        signal.signal(signal.SIGTERM, announce)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, handler)
