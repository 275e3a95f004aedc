"""Traces for a collector that speaks OTLP: one span for each request, and below it one for each call of the backend.

The SDK is an extra. The standard `OTEL_…` variables configure it; it is imported only if they name a collector.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from opentelemetry.trace import SpanKind, StatusCode, Tracer

from modelkeep.storage.instrumentation import OperationTiming

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
FLUSH_SECONDS: Final = 3.0
"""How long a process that stops waits for the collector to take its last spans."""

NOT_INSTALLED: Final = (
    f"{ENDPOINT} is set, and what sends traces is not installed. Install `modelkeep[otel]`, or unset it."
)

_SUCCESSFUL_RESULTS: Final = frozenset({"ok", "refused"})


class Tracing:
    """Makes spans, and sends them while the app runs. Raises `ValueError` with a sentence if the extra is missing."""

    def __init__(self) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk import resources, trace  # noqa: PLC0415 -- an extra
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        except ImportError:
            raise ValueError(NOT_INSTALLED) from None
        name = os.environ.get("OTEL_SERVICE_NAME", "modelkeep")
        resource = resources.Resource.create({resources.SERVICE_NAME: name})
        self._provider = trace.TracerProvider(resource=resource, shutdown_on_exit=False)
        self._new_exporter = OTLPSpanExporter
        self._new_processor = BatchSpanProcessor
        self.tracer: Tracer = self._provider.get_tracer("modelkeep")

    @asynccontextmanager
    async def exported(self) -> AsyncIterator[None]:
        """Send spans to the collector until the block ends, and at most `FLUSH_SECONDS` longer."""
        exporter = self._new_exporter()
        self._provider.add_span_processor(self._new_processor(exporter))
        try:
            yield
        finally:
            deadline = threading.Timer(FLUSH_SECONDS, exporter.shutdown)
            deadline.start()
            await asyncio.to_thread(self._provider.shutdown)
            deadline.cancel()

    def record_operation(self, operation: OperationTiming) -> None:
        """Make a span of a storage operation that ends now, as a child of the request's span."""
        ended = time.time_ns()
        span = self.tracer.start_span(
            f"{operation.backend}.{operation.operation}",
            kind=SpanKind.CLIENT,
            attributes={"modelkeep.result": operation.result},
            start_time=ended - int(operation.seconds * 1e9),
        )
        if operation.result not in _SUCCESSFUL_RESULTS:
            span.set_status(StatusCode.ERROR)
        span.end(ended)


def from_environment() -> Tracing | None:
    """Tracing as the standard variables ask for it; `None` if they name no collector. Raises `ValueError`."""
    return Tracing() if os.environ.get(ENDPOINT) else None
