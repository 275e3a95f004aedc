"""The seam for bytes: objects under keys, and the presigned URLs by which callers move them.

What every driver promises (verified by `tests/contract/test_objects.py`):

- A presigned URL works for one method on one key until `expires_at`, with exactly the `headers` returned with it.
- A PUT by URL stores the declared bytes or nothing: another length, other bytes or a second PUT are rejected.
- A part is stored only with the declared length and checksum; a multipart object appears whole, on completion.
- What the service itself puts is verified in the same way, and never replaces an object.
- The store knows the SHA-256 of an object without reading it; of a multipart object it may only know that of the
  SHA-256s of its parts.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol
from urllib.parse import quote

from modelkeep.domain.errors import UnavailableError
from modelkeep.domain.values import Digest, PresignedUrl

OCTET_STREAM: Final = "application/octet-stream"
"""The content type of every object: clients would store that of a form, or guess one by the name."""


def attachment(filename: str) -> str:
    """A Content-Disposition by which a browser saves the bytes under this name."""
    return f"attachment; filename*=UTF-8''{quote(filename, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object as the store describes it.

    `sha256` is the digest of the whole, if the store knows it; otherwise `parts_sha256` is the digest of the digests of
    a multipart object's parts (`digest_of_parts`), if it knows that. `version_id` identifies these bytes in a versioned
    bucket. `modified_at` is when the store received the object, or when the multipart object was begun.
    """

    key: str
    size: int
    sha256: Digest | None
    parts_sha256: Digest | None
    version_id: str | None
    modified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVersion:
    """One of what a key has in a versioned bucket: a version of its object, or a delete marker.

    Who names no version reads the current one, and finds nothing if that is a marker. Where the store has no versions,
    `version_id` is `None`.
    """

    key: str
    version_id: str | None
    is_current: bool
    is_marker: bool
    modified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """A part as the store describes it. `etag` is opaque."""

    number: int
    size: int
    sha256: Digest | None
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMultipart:
    """A multipart object that was neither completed nor aborted."""

    key: str
    multipart_id: str
    begun_at: datetime


class ObjectStoreError(Exception):
    """Base of the errors of a driver."""


class ObjectGoneError(ObjectStoreError):
    """There is no such object, or it was removed."""


class MultipartGoneError(ObjectStoreError):
    """The multipart object is of no use any more: it was completed, aborted or never begun, or cannot be completed."""


class MultipartRefusedError(ObjectStoreError):
    """The parts have changed since they were listed, or the key has an object; nothing was stored."""


class StoreUnavailableError(UnavailableError, ObjectStoreError):
    """The store cannot be used now. The message says what an operator should do."""


class ObjectStore(Protocol):
    """Bytes under keys. Every method but `uri`, `key_of` and the `presign_…` ones may raise `StoreUnavailableError`."""

    async def reach(self) -> None:
        """Return if the bucket or folder can be used."""
        ...

    def uri(self, key: str) -> str:
        """The address of an object, as readers of the public recipe expect it: `s3://bucket/key`."""
        ...

    def key_of(self, uri: str) -> str | None:
        """The key of an address in this store; `None` for any other address."""
        ...

    async def presign_put(self, key: str, *, size: int, sha256: Digest, ttl: timedelta) -> PresignedUrl:
        """A URL for one PUT of exactly these bytes, at a key that has no object yet."""
        ...

    async def presign_part(
        self, key: str, multipart_id: str, number: int, *, size: int, sha256: Digest, ttl: timedelta
    ) -> PresignedUrl:
        """A URL for PUTs of exactly these bytes as one part."""
        ...

    async def presign_get(self, key: str, *, version_id: str | None, filename: str, ttl: timedelta) -> PresignedUrl:
        """A URL for GET, with or without `Range`; a browser saves the bytes as `filename`."""
        ...

    async def stat(self, key: str, *, version_id: str | None = None) -> StoredObject | None:
        """The size, digest and version of an object; `None` if there is none."""
        ...

    async def begin(self, key: str) -> str:
        """Open a multipart object and return its id."""
        ...

    async def list_parts(self, key: str, multipart_id: str) -> Sequence[StoredPart]:
        """The parts that were uploaded, by number. Raises `MultipartGoneError`."""
        ...

    async def complete(self, key: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """Create the object from exactly these parts, at a key that has no object yet.

        Raises `MultipartGoneError` and `MultipartRefusedError`. A repeat after success changes nothing, and may succeed
        or raise either error: `stat` shows whether there is an object.
        """
        ...

    async def abort(self, key: str, multipart_id: str) -> None:
        """Remove a multipart object and its parts. Does nothing if there is none."""
        ...

    async def delete(self, key: str, *, version_id: str | None = None) -> None:
        """Remove one version of an object for good, or a marker: the current version, unless one is named.

        Does nothing if there is none. It leaves no delete marker.
        """
        ...

    async def put(self, key: str, blocks: AsyncIterable[bytes], *, size: int, sha256: Digest) -> None:
        """Store exactly these bytes, at a key that has no object yet, or nothing: for operators, in constant memory.

        Raises `BodyMismatchError` for other bytes; `ObjectExistsError` if the key has an object, which a retry of this
        call may have stored (see `stat`); and any exception of `blocks`.
        """
        ...

    def read(self, key: str, *, version_id: str | None = None) -> AsyncGenerator[bytes, None]:
        """Read a whole object in blocks of at most 1 MiB: for operators, not in requests.

        Raises `ObjectGoneError`.
        """
        ...

    async def has_objects(self, prefix: str) -> bool:
        """Whether there is an object whose key starts with `prefix`; one small request."""
        ...

    def list_objects(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Every object whose key starts with `prefix`, in no promised order; `sha256` and `parts` may be `None`."""
        ...

    def list_versions(self, prefix: str) -> AsyncIterator[ObjectVersion]:
        """Every version of every object whose key starts with `prefix`, and every delete marker."""
        ...

    def list_multiparts(self, prefix: str) -> AsyncIterator[OpenMultipart]:
        """Every open multipart object whose key starts with `prefix`."""
        ...
