"""Bytes to and from storage, by presigned URLs alone: one attempt at a time, in the thread of the caller.

Blocking on purpose: reading a file, hashing, and sending all release the interpreter, so that threads overlap them.
Nothing of the registry's credentials is known here.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from app.client.errors import LocalFileError, TransferRefusedError
from app.client.retries import TRANSIENT, reason_of, retry_after
from app.schemas.base import PresignedUrlResponse

BLOCK: Final = 1024 * 1024

STALL_SECONDS: Final = 30.0
"""A connection on which no byte comes or goes for so long is given up."""

_TIMEOUT: Final = httpx.Timeout(connect=10, read=STALL_SECONDS, write=STALL_SECONDS, pool=None)
_ERROR_BYTES: Final = 4096
_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>|\"code\":\s?\"(\w{1,64})\"")
_TRANSIENT_CODES: Final = frozenset({"RequestTimeout", "OperationAborted", "ConditionalRequestConflict"})
_OTHER_BYTES: Final = frozenset(
    {"BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest", "IncompleteBody", "body_mismatch"}
)
_GONE: Final = frozenset({"NoSuchUpload", "multipart_not_found"})

Report = Callable[[str, int], None]
"""Told of each move: an artifact's path, and how many more of its bytes have moved (negative: they move again)."""


class AttemptFailedError(Exception):
    """This attempt came to nothing, and another may not; wait `retry_after` seconds at least."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class UrlRefusedError(AttemptFailedError):
    """The URL has expired, or its signer's credentials have: get a new one."""


class AlreadyThereError(Exception):
    """The object stands; nothing is left to send."""


class PartsGoneError(Exception):
    """The multipart object is complete or was given up."""


class OtherBytesError(Exception):
    """Storage received bytes that the URL does not admit."""


class AnotherObjectError(Exception):
    """There are other bytes at the URL than those that the transfer began with."""


class NoRangesError(Exception):
    """This storage sends the whole object whatever is asked for."""


class StoppedError(Exception):
    """The transfer was called off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
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


class Storage:
    """Sends and fetches. Safe for use by many threads; `stop` makes all of them raise `StoppedError` soon."""

    def __init__(self, *, connections: int) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=connections)
        self._http = httpx.Client(timeout=_TIMEOUT, limits=limits, follow_redirects=False)
        self._stopped = threading.Event()
        logging.getLogger("httpx").addFilter(_without_query)

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def stop(self) -> None:
        """Call everything off that is under way."""
        self._stopped.set()

    def put(self, artifact: str, signed: PresignedUrlResponse, piece: Slice, report: Report) -> None:
        """Send a piece of a file, once.

        Raises `AttemptFailedError`, `UrlRefusedError`, `AlreadyThereError`, `PartsGoneError`, `OtherBytesError`,
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
                raise OtherBytesError

        done = False
        try:
            response = self._http.request(signed.method, signed.url, headers=signed.headers, content=sending())
            done = response.is_success
        except httpx.HTTPError as failure:
            raise AttemptFailedError(reason_of(failure)) from failure
        finally:
            if not done:
                report(artifact, -moved)
        if not done:
            raise _failure(artifact, response)

    def get(
        self, artifact: str, signed: PresignedUrlResponse, positions: range | None, etag: str | None
    ) -> Iterator[tuple[str | None, bytes]]:
        """Fetch positions of an object, or all of it: its ETag with each chunk, as they come.

        Raises `AttemptFailedError`, `UrlRefusedError`, `AnotherObjectError`, `NoRangesError`, `TransferRefusedError`.
        """
        headers = {**signed.headers, "accept-encoding": "identity"}
        if positions is not None:
            headers["range"] = f"bytes={positions.start}-{positions.stop - 1}"
        if etag is not None:
            headers["if-match"] = etag
        try:
            with self._http.stream(signed.method, signed.url, headers=headers) as response:
                if not response.is_success:
                    response.read()
                    raise _failure(artifact, response)
                if positions is not None and response.status_code != httpx.codes.PARTIAL_CONTENT:
                    raise NoRangesError
                found = response.headers.get("etag")
                for chunk in response.iter_raw():
                    self._check_stopped()
                    yield found, chunk
        except httpx.HTTPError as error:
            raise AttemptFailedError(reason_of(error)) from error

    def _check_stopped(self) -> None:
        if self._stopped.is_set():
            raise StoppedError


def _failure(artifact: str, response: httpx.Response) -> Exception:
    status = response.status_code
    said = _CODE.search(response.text[:_ERROR_BYTES])
    code = (said[1] or said[2]) if said else response.reason_phrase
    if status in TRANSIENT or code in _TRANSIENT_CODES:
        return AttemptFailedError(f"storage answered {status} {code}", retry_after(response))
    if status == httpx.codes.FORBIDDEN:
        return UrlRefusedError(f"storage answered {status} {code}")
    if status == httpx.codes.PRECONDITION_FAILED:
        return AlreadyThereError() if response.request.method == "PUT" else AnotherObjectError()
    if code in _GONE:
        return PartsGoneError()
    if code in _OTHER_BYTES:
        return OtherBytesError()
    return TransferRefusedError(artifact, status, code)


def _without_query(record: logging.LogRecord) -> bool:
    """Cut the signature off the URLs that httpx logs at INFO, for every handler there is."""
    if isinstance(record.args, tuple):
        record.args = tuple(arg.copy_with(query=None) if isinstance(arg, httpx.URL) else arg for arg in record.args)
    return True
