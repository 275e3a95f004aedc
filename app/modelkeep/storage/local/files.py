"""The `ObjectStore` on a folder. Its URLs are those of the routes in `file_routes.py`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final, Literal, Self
from urllib.parse import quote, unquote

from modelkeep.domain.values import Digest, PresignedUrl
from modelkeep.kit.durable_files import BLOCK
from modelkeep.storage.local.file_uploads import PutReceiver, SignedPut
from modelkeep.storage.local.folder import Folder, check_key
from modelkeep.storage.local.folder_multiparts import Multiparts
from modelkeep.storage.local.signing import Signer, load_secret
from modelkeep.storage.local.threads import in_batches, in_thread
from modelkeep.storage.objects import OCTET_STREAM, ObjectVersion, OpenMultipart, StoredObject, StoredPart

ROUTE: Final = "/local-store/"
"""The prefix of the path of every URL of this store."""


class FileStore:
    """Objects as files. If the process is killed at any point, an object is whole or does not exist.

    A folder has one version of an object: `version_id` is ignored.
    """

    def __init__(self, folder: Folder, secret: bytes, *, public_url: str) -> None:
        self._folder = folder
        self._multiparts = Multiparts(folder)
        self._receiver = PutReceiver(folder, self._multiparts)
        self._signer = Signer(secret)
        self._base_url = public_url.rstrip("/") + ROUTE
        self._base_uri = f"{folder.objects.as_uri()}/"

    @classmethod
    async def open(cls, path: Path, *, public_url: str) -> Self:
        """Open the data folder at `path`; create it if it does not exist. Raises `StoreUnavailableError`."""
        folder = await in_thread(Folder, path)
        secret = await in_thread(load_secret, folder.root / "secret", staging=folder.incoming)
        return cls(folder, secret, public_url=public_url)

    async def reach(self) -> None:
        """Returns if the folder exists. Raises `StoreUnavailableError` otherwise."""
        await in_thread(self._folder.objects.stat)

    def uri(self, key: str) -> str:
        """The address of the file, `file://…`."""
        return self._folder.path_of(key).as_uri()

    def key_of(self, uri: str) -> str | None:
        """The key of an address in this folder; `None` for any other address."""
        if not uri.startswith(self._base_uri):
            return None
        try:
            return self._folder.key_at(unquote(uri.removeprefix(self._base_uri), errors="strict"))
        except ValueError:
            return None

    async def presign_put(self, key: str, *, size: int, sha256: Digest, ttl: timedelta) -> PresignedUrl:
        """A URL for one PUT of exactly these bytes, at a key that has no object yet."""
        put = SignedPut(key=key, size=size, sha256=sha256, content_type=OCTET_STREAM)
        return self._presign_put(put, ttl)

    async def presign_part(
        self, key: str, multipart_id: str, number: int, *, size: int, sha256: Digest, ttl: timedelta
    ) -> PresignedUrl:
        """A URL for PUTs of exactly these bytes as one part."""
        put = SignedPut(key=key, size=size, sha256=sha256, multipart_id=multipart_id, number=number)
        return self._presign_put(put, ttl)

    async def presign_get(self, key: str, *, version_id: str | None, filename: str, ttl: timedelta) -> PresignedUrl:
        """A URL for GET, with or without `Range`; a browser saves the bytes as `filename`."""
        del version_id
        return self._presign("GET", key, {"filename": filename}, {}, ttl)

    def _presign_put(self, put: SignedPut, ttl: timedelta) -> PresignedUrl:
        return self._presign("PUT", put.key, put.parameters, put.headers, ttl)

    def _presign(
        self,
        method: Literal["GET", "PUT"],
        key: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        ttl: timedelta,
    ) -> PresignedUrl:
        expires_at = (datetime.now(UTC) + ttl).replace(microsecond=0)
        query = self._signer.sign(method, check_key(key), parameters, expires_at=expires_at)
        url = f"{self._base_url}{quote(key)}?{query}"
        return PresignedUrl(method=method, url=url, headers=headers, expires_at=expires_at)

    def check(self, method: str, key: str, query: str) -> Mapping[str, str]:
        """The signed parameters of a URL of this store. Raises `SignatureMismatchError` and `UrlExpiredError`."""
        return self._signer.check(method, key, query, now=datetime.now(UTC))

    async def receive(self, put: SignedPut, chunks: AsyncIterable[bytes]) -> None:
        """Store the bytes that a URL allows, or nothing.

        Raises `ObjectExistsError` and `MultipartGoneError`, before a byte is read if possible, and `BodyMismatchError`.
        """
        await self._receiver.receive(put, chunks)

    async def stat(self, key: str, *, version_id: str | None = None) -> StoredObject | None:
        """The size and digest of an object; `None` if there is none."""
        del version_id
        return await in_thread(self._folder.stat, key)

    async def begin(self, key: str) -> str:
        """Open a multipart object and return its id."""
        return await in_thread(self._multiparts.begin, key)

    async def list_parts(self, key: str, multipart_id: str) -> Sequence[StoredPart]:
        """The parts that were uploaded, by number. Raises `MultipartGoneError`."""
        return await in_thread(self._multiparts.list_parts, key, multipart_id)

    async def complete(self, key: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """Create the object from exactly these parts, and compute its SHA-256.

        Raises `MultipartGoneError` and `MultipartRefusedError`. It can be repeated if it was killed at any point.
        """
        await in_thread(self._multiparts.complete, key, multipart_id, parts)

    async def abort(self, key: str, multipart_id: str) -> None:
        """Remove a multipart object and its parts. Does nothing if there is none."""
        await in_thread(self._multiparts.abort, key, multipart_id)

    async def delete(self, key: str, *, version_id: str | None = None) -> None:
        """Remove an object. Does nothing if there is none."""
        del version_id
        await in_thread(self._folder.remove, key)

    async def put(self, key: str, blocks: AsyncIterable[bytes], *, size: int, sha256: Digest) -> None:
        """Store exactly these bytes or nothing. Raises `BodyMismatchError` and `ObjectExistsError`."""
        await self._receiver.receive(SignedPut(key=key, size=size, sha256=sha256), blocks)

    def read(self, key: str, *, version_id: str | None = None) -> AsyncGenerator[bytes, None]:
        """Read a whole object in blocks of 1 MiB. Raises `ObjectGoneError`."""
        del version_id
        return self.read_slice(key, range(2**63 - 1))

    async def read_slice(self, key: str, positions: range) -> AsyncGenerator[bytes, None]:
        """Read these positions of an object in blocks of 1 MiB. Raises `ObjectGoneError`."""
        opening = asyncio.ensure_future(in_thread(self._folder.open, key))
        try:
            file = await asyncio.shield(opening)
            await in_thread(file.seek, positions.start)
            left = len(positions)
            while block := await in_thread(file.read, min(BLOCK, left)):
                left -= len(block)
                yield block
        finally:
            if opening.done():
                _close(opening)
            else:
                opening.add_done_callback(_close)

    async def list_versions(self, prefix: str) -> AsyncIterator[ObjectVersion]:
        """Every object whose key starts with `prefix`, each in its one version."""
        async for found in self.list_objects(prefix):
            yield ObjectVersion(
                key=found.key, version_id=None, is_current=True, is_marker=False, modified_at=found.modified_at
            )

    async def has_objects(self, prefix: str) -> bool:
        """Whether there is an object whose key starts with `prefix`."""
        return await in_thread(lambda: any(True for _ in self._folder.list_objects(prefix)))

    def list_objects(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Every object whose key starts with `prefix`."""
        return in_batches(self._folder.list_objects(prefix))

    def list_multiparts(self, prefix: str) -> AsyncIterator[OpenMultipart]:
        """Every open multipart object whose key starts with `prefix`."""
        return in_batches(self._multiparts.list_open(prefix))

    async def clear_incoming(self, *, older_than: timedelta) -> int:
        """Remove the files and folders of uploads that were interrupted. Returns how many it removed."""
        before = datetime.now(UTC) - older_than
        files = await in_thread(self._folder.clear, before=before)
        return files + await in_thread(self._multiparts.clear, before=before)


def _close(opening: asyncio.Future[BinaryIO]) -> None:
    """Close the file that a thread has opened, even if its reader was cancelled meanwhile."""
    if opening.exception() is None:
        opening.result().close()
