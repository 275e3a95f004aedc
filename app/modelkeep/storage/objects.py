"""The seam for bytes: objects under keys, and the presigned URLs by which callers move them.

What every driver promises (`tests/contract/test_objects.py` holds it to this):

- A presigned URL works for one method on one key until `expires_at`, with exactly the `headers` it came with.
- A PUT by URL stores the declared bytes or nothing: another length, other bytes or a second PUT are refused.
- A part is stored only with the declared length and checksum; a multipart object appears whole, on completion.
- What the service itself puts is held against the declared bytes in the same way, and never replaces an object.
- An object's SHA-256 is known to the store itself, without reading it; a multipart one may only know its parts'.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import quote

from modelkeep.domain.errors import UnavailableError
from modelkeep.domain.values import Digest, PresignedUrl


def attachment(filename: str) -> str:
    """Say, as a Content-Disposition, that a browser should save the bytes under this name."""
    return f"attachment; filename*=UTF-8''{quote(filename, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What the store itself says of an object.

    `sha256` is the digest of the whole, where the store knows it; `parts` is the number of parts of a multipart object
    whose store keeps only a checksum of checksums. `version_id` names these very bytes in a versioned bucket.
    """

    key: str
    size: int
    sha256: Digest | None
    parts: int | None
    version_id: str | None
    modified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """What the store itself says of a part. `etag` is its own opaque mark."""

    number: int
    size: int
    sha256: Digest | None
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMultipart:
    """A multipart object that is neither complete nor aborted."""

    key: str
    multipart_id: str
    begun_at: datetime


class ObjectStoreError(Exception):
    """The base of a driver's refusals."""


class ObjectGoneError(ObjectStoreError):
    """There is no such object, or no longer."""


class MultipartGoneError(ObjectStoreError):
    """No such multipart object is open: it was completed, aborted, or never begun."""


class MultipartRefusedError(ObjectStoreError):
    """The parts changed between listing and completing, or the key is taken; nothing was stored."""


class StoreUnavailableError(UnavailableError, ObjectStoreError):
    """The store cannot be used now. The sentence says what an operator should do."""


class ObjectStore(Protocol):
    """Bytes. Every method but the `presign_…` ones and `uri` may raise `StoreUnavailableError`."""

    async def reach(self) -> None:
        """Return if there is a bucket or folder that can be reached."""
        ...

    def uri(self, key: str) -> str:
        """The object's address for people and for readers of the public recipe: `s3://bucket/key`."""
        ...

    def key_of(self, uri: str) -> str | None:
        """The key of an address in this store; `None` for an address elsewhere."""
        ...

    async def presign_put(self, key: str, *, size: int, sha256: Digest, ttl: timedelta) -> PresignedUrl:
        """Allow one PUT of exactly these bytes, where no object is yet."""
        ...

    async def presign_part(
        self, key: str, multipart_id: str, number: int, *, size: int, sha256: Digest, ttl: timedelta
    ) -> PresignedUrl:
        """Allow PUTs of exactly these bytes as one part."""
        ...

    async def presign_get(self, key: str, *, version_id: str | None, filename: str, ttl: timedelta) -> PresignedUrl:
        """Allow reading, `Range` included; a browser saves it as `filename`."""
        ...

    async def stat(self, key: str, *, version_id: str | None = None) -> StoredObject | None:
        """Describe an object; `None` if there is none."""
        ...

    async def begin(self, key: str) -> str:
        """Open a multipart object and return its id."""
        ...

    async def list_parts(self, key: str, multipart_id: str) -> Sequence[StoredPart]:
        """The parts that have arrived, by number. Raises `MultipartGoneError`."""
        ...

    async def complete(self, key: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """Make the object out of exactly these parts, where no object is yet.

        Raises `MultipartGoneError` and `MultipartRefusedError`. A repeat after success changes nothing, and may succeed
        or raise either: `stat` says which it was.
        """
        ...

    async def abort(self, key: str, multipart_id: str) -> None:
        """Drop a multipart object and its parts; nothing to drop is fine."""
        ...

    async def delete(self, key: str, *, version_id: str | None = None) -> None:
        """Remove an object; nothing to remove is fine."""
        ...

    async def put(self, key: str, blocks: AsyncIterable[bytes], *, size: int, sha256: Digest) -> None:
        """Store exactly these bytes, where no object is yet, or nothing: for operators, in constant memory.

        Raises `BodyMismatchError` for other bytes, `ObjectExistsError` where the key is taken (a lost reply may have
        been this very call's: `head` tells), and whatever `blocks` raises.
        """
        ...

    def read(self, key: str, *, version_id: str | None = None) -> AsyncGenerator[bytes, None]:
        """Read an object whole, in chunks of at most 1 MiB: for operators, not in requests.

        Raises `ObjectGoneError`.
        """
        ...

    def list_objects(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Every object whose key starts with `prefix`, in no promised order; `sha256` and `parts` may be `None`."""
        ...

    def list_multiparts(self, prefix: str) -> AsyncIterator[OpenMultipart]:
        """Every open multipart object whose key starts with `prefix`."""
        ...
