"""Bytes to and from storage, by presigned URLs alone: one attempt per call, in the caller's thread.

It blocks on purpose: reading a file, hashing and sending release the interpreter lock, so that threads overlap. It has
no credentials of the registry.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from modelkeep.client.errors import LocalFileError, TransferRefusedError
from modelkeep.client.http_transports import BlockingTransport
from modelkeep.client.retries import TRANSIENT_STATUSES, reason_of, retry_after
from modelkeep.schemas.base import PresignedUrlResponse

BLOCK: Final = 1024 * 1024

STALL_TIMEOUT_SECONDS: Final = 30.0
"""A connection on which no byte moves for so long is closed."""

_CONNECT_TIMEOUT_SECONDS: Final = 10.0
_MAX_ERROR_BODY_BYTES: Final = 4096
_ERROR_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>|\"code\":\s?\"(\w{1,64})\"")
_TRANSIENT_CODES: Final = frozenset({"RequestTimeout", "OperationAborted", "ConditionalRequestConflict"})
_CONTENT_MISMATCH_CODES: Final = frozenset(
    {"BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest", "IncompleteBody", "body_mismatch"}
)
_EXPIRED_CODES: Final = frozenset({"ExpiredToken", "TokenRefreshRequired"})
"""S3 answers these with 400: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html."""

_UPLOAD_GONE_CODES: Final = frozenset({"NoSuchUpload", "multipart_not_found"})
_STRONG_ETAG: Final = re.compile(r'"[!#-~]{1,200}"\Z')

_URL_LOGGERS: Final = ("httpx", "httpcore.http11")
"""These log the URLs of requests and redirects."""

_URL_QUERY: Final = re.compile(r"\?[^\s'\"]*=[^\s'\"]*")

Report = Callable[[str, int], None]
"""Called with an artifact's path and how many of its bytes have just moved; negative if they must move again."""


class AttemptFailedError(Exception):
    """This attempt failed, and another may succeed, after `retry_after` seconds at least."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class UrlRefusedError(AttemptFailedError):
    """The URL has expired, or the credentials that signed it: get a new one."""


class ObjectExistsError(Exception):
    """The object is there already; nothing is left to send."""


class MultipartUploadGoneError(Exception):
    """The multipart upload has been completed or aborted."""


class ContentMismatchError(Exception):
    """Storage received other bytes than those that the URL is signed for."""


class ObjectChangedError(Exception):
    """The object at the URL is not the one that the transfer began with."""


class RangeNotSupportedError(Exception):
    """This storage ignores `Range` and sends the whole object."""


class TransferCancelledError(Exception):
    """The transfer was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRange:
    """`size` bytes of a file from position `start`."""

    path: Path
    start: int
    size: int

    def blocks(self) -> Iterator[bytes]:
        """Read the bytes in blocks, in order; fewer if the file ends. Raises `LocalFileError`."""
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.start)
                left = self.size
                while left and (block := file.read(min(BLOCK, left))):
                    left -= len(block)
                    yield block
        except OSError as error:
            raise LocalFileError(self.path, f"cannot be read: {error.strerror}.") from error


class PresignedTransport:
    """Sends and fetches. Many threads may use it at once; `cancel` makes them raise `TransferCancelledError` soon."""

    def __init__(self, *, connections: int) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=connections)
        timeout = httpx.Timeout(STALL_TIMEOUT_SECONDS, connect=_CONNECT_TIMEOUT_SECONDS, pool=None)
        headers = {"accept-encoding": "identity"}
        transport = BlockingTransport(limits=limits)
        self._http = httpx.Client(headers=headers, timeout=timeout, follow_redirects=False, transport=transport)
        self._cancelled = threading.Event()
        for logger in _URL_LOGGERS:
            logging.getLogger(logger).addFilter(_redact_query)

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def cancel(self) -> None:
        """Cancel every transfer that is under way, and every later one."""
        self._cancelled.set()

    def put(self, artifact: str, signed: PresignedUrlResponse, source: FileRange, report: Report) -> None:
        """Send a range of a file, once.

        Raises `AttemptFailedError`, `UrlRefusedError`, `ObjectExistsError`, `MultipartUploadGoneError`,
        `ContentMismatchError`, `TransferRefusedError`, `LocalFileError`.
        """
        moved = 0

        def content() -> Iterator[bytes]:
            nonlocal moved
            for block in source.blocks():
                self._check_cancelled()
                yield block
                moved += len(block)
                report(artifact, len(block))
            if moved != source.size:
                raise ContentMismatchError

        done = False
        try:
            with _translate_errors(), self._stream(signed, signed.headers, content()) as response:
                body = self._read_error_body(response)
                if not response.is_success:
                    raise _error_of(artifact, response, body)
            done = True
        finally:
            if not done:
                report(artifact, -moved)

    def get(
        self, artifact: str, signed: PresignedUrlResponse, positions: range, size: int, etag: str | None
    ) -> Iterator[tuple[str | None, bytes]]:
        """Fetch a range of an object of `size` bytes, in chunks, each with the object's strong ETag or `None`.

        Raises `AttemptFailedError`, `UrlRefusedError`, `ObjectChangedError`, `RangeNotSupportedError`,
        `TransferRefusedError`.
        """
        headers = dict(signed.headers)
        if positions != range(size):
            headers["range"] = f"bytes={positions.start}-{positions.stop - 1}"
        if etag is not None:
            if not _STRONG_ETAG.match(etag):
                raise ObjectChangedError
            headers["if-match"] = etag
        with _translate_errors(), self._stream(signed, headers) as response:
            if not response.is_success:
                raise _error_of(artifact, response, self._read_error_body(response))
            if "range" in headers and not _begins_at(positions.start, response):
                raise RangeNotSupportedError
            if int(response.headers.get("content-length", len(positions))) != len(positions):
                raise ObjectChangedError
            found = response.headers.get("etag", "")
            for chunk in response.iter_raw():
                self._check_cancelled()
                yield found if _STRONG_ETAG.match(found) else None, chunk

    def _stream(
        self, signed: PresignedUrlResponse, headers: Mapping[str, str], content: Iterator[bytes] | None = None
    ) -> AbstractContextManager[httpx.Response]:
        return self._http.stream(signed.method, signed.url, headers=headers, content=content)

    def _read_error_body(self, response: httpx.Response) -> str:
        """The first bytes of a response's body, which holds an error code, if any."""
        body = bytearray()
        for chunk in response.iter_raw():
            self._check_cancelled()
            body += chunk
            if len(body) >= _MAX_ERROR_BODY_BYTES:
                break
        return body[:_MAX_ERROR_BODY_BYTES].decode("utf-8", "replace")

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise TransferCancelledError


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as failure:
        raise AttemptFailedError(reason_of(failure)) from failure


def _begins_at(start: int, response: httpx.Response) -> bool:
    content_range = str(response.headers.get("content-range", ""))
    return response.status_code == httpx.codes.PARTIAL_CONTENT and content_range.startswith(f"bytes {start}-")


def _error_of(artifact: str, response: httpx.Response, body: str) -> Exception:
    status = response.status_code
    found = _ERROR_CODE.search(body)
    code = (found[1] or found[2]) if found else response.reason_phrase
    if status in TRANSIENT_STATUSES or code in _TRANSIENT_CODES:
        return AttemptFailedError(f"storage answered {status} {code}", retry_after(response))
    if status == httpx.codes.FORBIDDEN or code in _EXPIRED_CODES:
        return UrlRefusedError(f"storage answered {status} {code}")
    if status == httpx.codes.PRECONDITION_FAILED:
        return ObjectExistsError() if response.request.method == "PUT" else ObjectChangedError()
    if code in _UPLOAD_GONE_CODES:
        return MultipartUploadGoneError()
    if code in _CONTENT_MISMATCH_CODES:
        return ContentMismatchError()
    return TransferRefusedError(artifact, status, code)


def _redact_query(record: logging.LogRecord) -> bool:
    """Remove the query, which holds the signature, from URLs that httpx and httpcore log, for every handler."""
    record.msg = _URL_QUERY.sub("", str(record.msg))
    if isinstance(record.args, tuple):
        record.args = tuple(arg.copy_with(query=None) if isinstance(arg, httpx.URL) else arg for arg in record.args)
    return True
