"""What Prometheus is told. Labels have few values: routes, not paths; no model, no principal."""

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
_CALL_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The counters of one app; each worker process has its own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        labels = ["method", "route", "status", "code"]
        self._requests = Counter(
            "registry_requests", "Requests by route, status and code of the problem.", labels, registry=registry
        )
        self._seconds = Histogram(
            "registry_request_seconds", "Seconds from request to last byte.", ["route"], registry=registry
        )
        self._logins = Counter("registry_logins", "Logins by result.", ["result"], registry=registry)
        self._calls = Histogram(
            "registry_backend_call_seconds",
            "Seconds of calls of the table and the object store, by result.",
            ["backend", "operation", "result"],
            buckets=_CALL_SECONDS,
            registry=registry,
        )
        self._retries = Counter(
            "registry_backend_retries", "Requests that the AWS SDK sent again.", ["backend"], registry=registry
        )
        self._changes = Counter(
            "registry_changes", "Changes that this process wrote, by type of event.", ["type"], registry=registry
        )
        self._stale = Counter(
            "registry_stale_answers", "Answers from memory, while the table could not be read.", registry=registry
        )
        self._bytes = Counter("registry_registered_bytes", "Bytes of completed versions.", registry=registry)
        self._request = cache(self._requests.labels)
        self._duration = cache(self._seconds.labels)
        self._call = cache(self._calls.labels)
        """To find the counter of these labels takes several times as long as to count."""
        for backend in _BACKENDS:
            self._retries.labels(backend)
        for kind in EventType:
            self._changes.labels(kind)

    def count(self, method: str, route: str, status: int, code: str, seconds: float) -> None:
        """Note one request; `code` is of the problem that it came to, if it came to one."""
        self._request(method, route, str(status), code).inc()
        self._duration(route).observe(seconds)

    def count_login(self, result: str) -> None:
        """Note one look at credentials that were not known already: `success`, or the code of the problem."""
        self._logins.labels(result).inc()

    def count_call(self, call: OperationTiming) -> None:
        """Note one call of the table or the object store."""
        self._call(call.backend, call.operation, call.result).observe(call.seconds)

    def count_retry(self, backend: str) -> None:
        """Note that the AWS SDK sends a request again."""
        self._retries.labels(backend).inc()

    def count_change(self, change: Change[object]) -> None:
        """Note a change that took effect."""
        for event in change.events:
            self._changes.labels(event.type).inc()
            if event.type is EventType.VERSION_COMPLETED:
                self._bytes.inc(sum(_size(move) for move in change.moves))

    def count_stale(self) -> None:
        """Note an answer from memory."""
        self._stale.inc()

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)


class SweepMetrics:
    """What one sweep did. It is another process than the service, and has ended before anybody could ask it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._changes = Gauge(
            "registry_sweep_changes", "Changes of the last sweep, by type of event.", ["type"], registry=self._registry
        )
        self._ended = Gauge(
            "registry_sweep_ended_timestamp_seconds", "When the last sweep came to its end.", registry=self._registry
        )
        for kind in (EventType.UPLOAD_EXPIRED, EventType.VERSION_PURGED):
            self._changes.labels(kind)

    def count_change(self, change: Change[object]) -> None:
        """Note a change that took effect."""
        for event in change.events:
            self._changes.labels(event.type).inc()

    def write(self, path: Path) -> None:
        """Put the text into a file for a collector of such, in place of the one there. Raises `OSError`."""
        self._ended.set(time.time())
        write_to_textfile(str(path), self._registry)


def _size(move: object) -> int:
    return move.subject.size or 0 if isinstance(move, CreateItem) and isinstance(move.subject, Version) else 0
