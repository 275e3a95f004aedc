"""Bytes to and from storage, by presigned URLs alone: one attempt at a time, in the thread of the caller.

Blocking on purpose: reading a file, hashing, and sending all release the interpreter, so that threads overlap them.
Nothing of the registry's credentials is known here.
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
from modelkeep.client.retries import TRANSIENT, reason_of, retry_after
from modelkeep.schemas.base import PresignedUrlResponse

BLOCK: Final = 1024 * 1024

STALL_SECONDS: Final = 30.0
"""A connection on which no byte comes or goes for so long is given up."""

_CONNECT_SECONDS: Final = 10.0
_SAID_BYTES: Final = 4096
_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>|\"code\":\s?\"(\w{1,64})\"")
_TRANSIENT_CODES: Final = frozenset({"RequestTimeout", "OperationAborted", "ConditionalRequestConflict"})
_OTHER_BYTES: Final = frozenset(
    {"BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest", "IncompleteBody", "body_mismatch"}
)
_EXPIRED: Final = frozenset({"ExpiredToken", "TokenRefreshRequired"})
"""Which S3 answers with 400: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html."""

_GONE: Final = frozenset({"NoSuchUpload", "multipart_not_found"})
_STRONG_ETAG: Final = re.compile(r'"[!#-~]{1,200}"\Z')

_LOGGERS: Final = ("httpx", "httpcore.http11")
"""Those that tell of URLs: where requests go, and where redirects point."""

_QUERY: Final = re.compile(r"\?[^\s'\"]*=[^\s'\"]*")

Report = Callable[[str, int], None]
"""Told of each move: an artifact's path, and how many more of its bytes have moved (negative: they move again)."""


class AttemptFailedError(Exception):
    """This attempt came to nothing, and another may not; wait `retry_after` seconds at least."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class UrlRefusedError(AttemptFailedError):
    """The URL has expired, or its signer's credentials have: get a new one."""


class ObjectExistsError(Exception):
    """The object stands; nothing is left to send."""


class PartsGoneError(Exception):
    """The multipart object is complete or was given up."""


class ContentMismatchError(Exception):
    """Storage received bytes that the URL does not admit."""


class ObjectChangedError(Exception):
    """There are other bytes at the URL than those that the transfer began with."""


class RangeNotSupportedError(Exception):
    """This storage sends the whole object whatever is asked for."""


class TransferCancelledError(Exception):
    """The transfer was called off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRange:
    """Some bytes of a file: `size` of them from `start`."""

    path: Path
    start: int
    size: int

    def blocks(self) -> Iterator[bytes]:
        """Read them, in order. Raises `LocalFileError`; ends early if the file does."""
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
    """Sends and fetches. Safe for use by many threads; `stop` makes all of them raise `TransferCancelledError` soon."""

    def __init__(self, *, connections: int) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=connections)
        timeout = httpx.Timeout(connect=_CONNECT_SECONDS, read=STALL_SECONDS, write=STALL_SECONDS, pool=None)
        headers = {"accept-encoding": "identity"}
        self._http = httpx.Client(headers=headers, timeout=timeout, limits=limits, follow_redirects=False)
        self._stopped = threading.Event()
        for logger in _LOGGERS:
            logging.getLogger(logger).addFilter(_without_query)

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def stop(self) -> None:
        """Call everything off that is under way."""
        self._stopped.set()

    def put(self, artifact: str, signed: PresignedUrlResponse, piece: FileRange, report: Report) -> None:
        """Send a piece of a file, once.

        Raises `AttemptFailedError`, `UrlRefusedError`, `ObjectExistsError`, `PartsGoneError`, `ContentMismatchError`,
        `TransferRefusedError`, `LocalFileError`.
        """
        moved = 0

        def sending() -> Iterator[bytes]:
            nonlocal moved
            for block in piece.blocks():
                self._check_stopped()
                yield block
                moved += len(block)
                report(artifact, len(block))
            if moved != piece.size:
                raise ContentMismatchError

        done = False
        try:
            with _one_attempt(), self._stream(signed, signed.headers, sending()) as response:
                said = self._beginning(response)
                if not response.is_success:
                    raise _failure(artifact, response, said)
            done = True
        finally:
            if not done:
                report(artifact, -moved)

    def get(
        self, artifact: str, signed: PresignedUrlResponse, positions: range, size: int, etag: str | None
    ) -> Iterator[tuple[str | None, bytes]]:
        """Fetch positions of an object of `size` bytes: its ETag, if it has a strong one, with each chunk.

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
        with _one_attempt(), self._stream(signed, headers) as response:
            if not response.is_success:
                raise _failure(artifact, response, self._beginning(response))
            if "range" in headers and not _begins_at(positions.start, response):
                raise RangeNotSupportedError
            if int(response.headers.get("content-length", len(positions))) != len(positions):
                raise ObjectChangedError
            found = response.headers.get("etag", "")
            for chunk in response.iter_raw():
                self._check_stopped()
                yield found if _STRONG_ETAG.match(found) else None, chunk

    def _stream(
        self, signed: PresignedUrlResponse, headers: Mapping[str, str], content: Iterator[bytes] | None = None
    ) -> AbstractContextManager[httpx.Response]:
        return self._http.stream(signed.method, signed.url, headers=headers, content=content)

    def _beginning(self, response: httpx.Response) -> str:
        """What storage says in the body of an answer, which nobody reads to its end if it is long."""
        said = bytearray()
        for chunk in response.iter_raw():
            self._check_stopped()
            said += chunk
            if len(said) >= _SAID_BYTES:
                break
        return said[:_SAID_BYTES].decode("utf-8", "replace")

    def _check_stopped(self) -> None:
        if self._stopped.is_set():
            raise TransferCancelledError


@contextmanager
def _one_attempt() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as failure:
        raise AttemptFailedError(reason_of(failure)) from failure


def _begins_at(start: int, response: httpx.Response) -> bool:
    said = str(response.headers.get("content-range", ""))
    return response.status_code == httpx.codes.PARTIAL_CONTENT and said.startswith(f"bytes {start}-")


def _failure(artifact: str, response: httpx.Response, said: str) -> Exception:
    status = response.status_code
    found = _CODE.search(said)
    code = (found[1] or found[2]) if found else response.reason_phrase
    if status in TRANSIENT or code in _TRANSIENT_CODES:
        return AttemptFailedError(f"storage answered {status} {code}", retry_after(response))
    if status == httpx.codes.FORBIDDEN or code in _EXPIRED:
        return UrlRefusedError(f"storage answered {status} {code}")
    if status == httpx.codes.PRECONDITION_FAILED:
        return ObjectExistsError() if response.request.method == "PUT" else ObjectChangedError()
    if code in _GONE:
        return PartsGoneError()
    if code in _OTHER_BYTES:
        return ContentMismatchError()
    return TransferRefusedError(artifact, status, code)


def _without_query(record: logging.LogRecord) -> bool:
    """Cut the signature off the URLs that httpx and httpcore log, for every handler there is."""
    record.msg = _QUERY.sub("", str(record.msg))
    if isinstance(record.args, tuple):
        record.args = tuple(arg.copy_with(query=None) if isinstance(arg, httpx.URL) else arg for arg in record.args)
    return True
