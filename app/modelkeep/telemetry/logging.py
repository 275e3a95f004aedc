"""Structured logs: one line per event on standard error, JSON or text, without a secret or a signed URL."""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor

from modelkeep.telemetry.redaction import redacted
from modelkeep.telemetry.text_lines import text_line

LogFormat = Literal["json", "text"]

NOISY_LOGGERS = (
    "httpx",
    "httpcore",
    "botocore",
    "aiobotocore",
    "aioboto3",
    "boto3",
    "aiohttp",
    "asyncio",
    "opentelemetry",
    "urllib3",
)
"""Loggers of libraries that log whole URLs, signatures included, or nothing that an operator needs."""

_SHARED: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
]
_PROCESSORS: Final[list[Processor]] = [*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
"""One list for the life of the process: a logger keeps the list that it was first used with."""


def configure(level: str, form: LogFormat = "json") -> None:
    """Configure logging for the whole process, so that our own lines and those of libraries have one form."""
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    as_text = form == "text"
    handler = LineHandler(sys.stderr, text_line if as_text else json.dumps)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info if as_text else _EXCEPTIONS_AS_JSON,
                _render_as_text if as_text else _render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_request(fields: Mapping[str, Any]) -> None:
    """Write the line of a request, in the form of all lines.

    There is one for each request, so it bypasses structlog's processors, which take ten times as long.
    """
    root = logging.getLogger()
    if not root.isEnabledFor(logging.INFO):
        return
    when = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    base = {"level": "info", "logger": "modelkeep.requests", "time": when}
    line = {"event": "http_request", **fields, **structlog.contextvars.get_contextvars(), **base}
    for handler in root.handlers:
        if isinstance(handler, LineHandler):
            handler.write(redacted(handler.render_request(line)))


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines to standard error, of structlog and of libraries. `render_request` is for those of requests."""

    def __init__(self, stream: TextIO, render_request: Callable[[Mapping[str, Any]], str]) -> None:
        super().__init__(stream)
        self.render_request = render_request

    def write(self, line: str) -> None:
        """Write a whole line. A line that cannot be written is lost: logging must not fail a request."""
        with self.lock or nullcontext(), suppress(OSError, ValueError):
            self.stream.write(line + self.terminator)


_EXCEPTIONS_AS_JSON: Final = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
_to_json = structlog.processors.JSONRenderer()


def _render(logger: logging.Logger, method: str, line: EventDict) -> str:
    return redacted(str(_to_json(logger, method, line)))


def _render_as_text(_: logging.Logger, __: str, line: EventDict) -> str:
    return redacted(text_line(line))
