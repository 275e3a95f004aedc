"""What Prometheus scrapes. Labels have few values: routes instead of paths; no model, no principal."""

import time
from functools import cache
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, write_to_textfile
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from modelkeep.domain.changes import Change, CreateItem
from modelkeep.domain.events import EventType
from modelkeep.domain.models import Version
from modelkeep.storage.instrumentation import OperationTiming

__all__ = ["CONTENT_TYPE_LATEST", "Metrics", "SweepMetrics"]

_BACKENDS: Final = ("table", "store")
_OPERATION_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The counters of one app; each worker process has its own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        labels = ["method", "route", "status", "code"]
        self._requests = Counter(
            "modelkeep_http_requests", "Requests by route, status and code of the problem.", labels, registry=registry
        )
        self._request_durations = Histogram(
            "modelkeep_http_request_duration_seconds",
            "Seconds from request to last byte.",
            ["route"],
            registry=registry,
        )
        self._authentications = Counter(
            "modelkeep_authentications",
            "Checks of credentials that were not cached, by result.",
            ["result"],
            registry=registry,
        )
        self._operations = Histogram(
            "modelkeep_storage_operation_duration_seconds",
            "Seconds of operations of the table and the object store, by result.",
            ["backend", "operation", "result"],
            buckets=_OPERATION_BUCKETS,
            registry=registry,
        )
        self._retries = Counter(
            "modelkeep_storage_retries", "Requests that the AWS SDK sent again.", ["backend"], registry=registry
        )
        self._changes = Counter(
            "modelkeep_changes", "Changes that this process wrote, by type of event.", ["type"], registry=registry
        )
        self._stale_responses = Counter(
            "modelkeep_stale_responses",
            "Downloads answered from memory while the table could not be read.",
            registry=registry,
        )
        self._stalled_responses = Counter(
            "modelkeep_stalled_responses",
            "Connections that were ended because the client did not read.",
            registry=registry,
        )
        self._registered_bytes = Counter(
            "modelkeep_registered_bytes", "Bytes of completed versions.", registry=registry
        )
        self._requests_of = cache(self._requests.labels)
        self._durations_of = cache(self._request_durations.labels)
        self._operations_of = cache(self._operations.labels)
        """Cached, because finding a child by its labels takes several times as long as counting."""
        for backend in _BACKENDS:
            self._retries.labels(backend)
        for kind in EventType:
            self._changes.labels(kind)

    def count_request(self, method: str, route: str, status: int, code: str, seconds: float) -> None:
        """Count one request; `code` is that of the problem it was answered with, and "" without one."""
        self._requests_of(method, route, str(status), code).inc()
        self._durations_of(route).observe(seconds)

    def count_authentication(self, result: str) -> None:
        """Count one check of credentials that were not cached: `success`, or the code of the problem."""
        self._authentications.labels(result).inc()

    def count_operation(self, operation: OperationTiming) -> None:
        """Count one operation of the table or the object store."""
        self._operations_of(operation.backend, operation.operation, operation.result).observe(operation.seconds)

    def count_retry(self, backend: str) -> None:
        """Count one request that the AWS SDK sends again; `backend` is "table" or "store"."""
        self._retries.labels(backend).inc()

    def count_change(self, change: Change[object]) -> None:
        """Count a change that has been written, and the bytes of a version that it completed."""
        for event in change.events:
            self._changes.labels(event.type).inc()
            if event.type is EventType.VERSION_COMPLETED:
                self._registered_bytes.inc(sum(_size(item_change) for item_change in change.item_changes))

    def count_stale(self) -> None:
        """Count a download that was answered from memory."""
        self._stale_responses.inc()

    def count_stalled_response(self) -> None:
        """Count a connection that is ended because its client does not read."""
        self._stalled_responses.inc()

    def render(self) -> bytes:
        """The metrics in Prometheus's text format."""
        return generate_latest(self._registry)


class SweepMetrics:
    """What one sweep did, for a file: a sweep is a process that has ended before Prometheus could scrape it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._changes = Gauge(
            "modelkeep_sweep_changes", "Changes of the last sweep, by type of event.", ["type"], registry=self._registry
        )
        self._last_success = Gauge(
            "modelkeep_sweep_last_success_timestamp_seconds",
            "When the last sweep ended successfully.",
            registry=self._registry,
        )
        for kind in (EventType.UPLOAD_EXPIRED, EventType.VERSION_PURGED):
            self._changes.labels(kind)

    def count_change(self, change: Change[object]) -> None:
        """Count a change that has been written."""
        for event in change.events:
            self._changes.labels(event.type).inc()

    def write(self, path: Path) -> None:
        """Write the metrics for node_exporter's textfile collector, replacing the file atomically. Raises `OSError`."""
        self._last_success.set(time.time())
        write_to_textfile(str(path), self._registry)


def _size(move: object) -> int:
    return move.subject.size or 0 if isinstance(move, CreateItem) and isinstance(move.subject, Version) else 0
