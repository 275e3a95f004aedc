"""The `ObjectStore` on a folder; its URLs point at the routes of `file_routes.py`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final, Literal, Self
from urllib.parse import quote, unquote

from modelkeep.domain.values import Digest, PresignedUrl
from modelkeep.kit.durable_files import BLOCK
from modelkeep.storage.local.file_uploads import SignedPut, Uploads
from modelkeep.storage.local.folder import Folder, check_key
from modelkeep.storage.local.folder_multiparts import Multiparts
from modelkeep.storage.local.signing import Signer, load_secret
from modelkeep.storage.local.threads import in_batches, in_thread
from modelkeep.storage.objects import OpenMultipart, StoredObject, StoredPart

ROUTE: Final = "/local-store/"
"""What the path of every URL of this store starts with."""


class FileStore:
    """Objects as files. Whatever happens to the process, an object is there whole or not at all.

    A folder has no versions of one object: `version_id` means nothing here.
    """

    def __init__(self, folder: Folder, secret: bytes, *, public_url: str) -> None:
        self._folder = folder
        self._multiparts = Multiparts(folder)
        self._uploads = Uploads(folder, self._multiparts)
        self._signer = Signer(secret)
        self._base_url = public_url.rstrip("/") + ROUTE
        self._base_uri = f"{folder.objects.as_uri()}/"

    @classmethod
    async def open(cls, path: Path, *, public_url: str) -> Self:
        """Open the data folder at `path`, made if it is missing. Raises `StoreUnavailable`."""
        folder = await in_thread(Folder, path)
        secret = await in_thread(load_secret, folder.root / "secret", drafts=folder.incoming)
        return cls(folder, secret, public_url=public_url)

    async def reach(self) -> None:
        """Look for the folder. Raises `StoreUnavailable` if it is gone."""
        await in_thread(self._folder.objects.stat)

    def uri(self, key: str) -> str:
        """Name the file as a `file://` URI."""
        return self._folder.path_of(key).as_uri()

    def key_of(self, uri: str) -> str | None:
        """Return the key of a file in this folder; `None` for anything else."""
        if not uri.startswith(self._base_uri):
            return None
        try:
            return check_key(unquote(uri.removeprefix(self._base_uri), errors="strict"))
        except ValueError:
            return None

    async def presign_put(self, key: str, *, size: int, sha256: Digest, ttl: timedelta) -> PresignedUrl:
        """Allow one PUT of exactly these bytes, where no object is yet."""
        return self._presign_delivery(SignedPut(key=key, size=size, sha256=sha256), ttl)

    async def presign_part(
        self, key: str, multipart_id: str, number: int, *, size: int, sha256: Digest, ttl: timedelta
    ) -> PresignedUrl:
        """Allow PUTs of exactly these bytes as one part."""
        delivery = SignedPut(key=key, size=size, sha256=sha256, multipart_id=multipart_id, number=number)
        return self._presign_delivery(delivery, ttl)

    async def presign_get(self, key: str, *, version_id: str | None, filename: str, ttl: timedelta) -> PresignedUrl:
        """Allow reading, `Range` included; a browser saves it as `filename`."""
        del version_id
        return self._presign("GET", key, {"filename": filename}, {}, ttl)

    def _presign_delivery(self, delivery: SignedPut, ttl: timedelta) -> PresignedUrl:
        return self._presign("PUT", delivery.key, delivery.parameters, delivery.headers, ttl)

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
        """Return what a URL of this store allows. Raises `SignatureMismatchError` and `UrlExpiredError`."""
        return self._signer.check(method, key, query, now=datetime.now(UTC))

    async def receive(self, delivery: SignedPut, chunks: AsyncIterable[bytes]) -> None:
        """Store what a URL admits, or nothing.

        Raises `ObjectExistsError` and `MultipartGone`, if possible before a byte is read, and `BodyMismatchError`.
        """
        await self._uploads.receive(delivery, chunks)

    async def stat(self, key: str, *, version_id: str | None = None) -> StoredObject | None:
        """Describe an object; `None` if there is none."""
        del version_id
        return await in_thread(self._folder.describe, key)

    async def begin(self, key: str) -> str:
        """Open a multipart object and return its id."""
        return await in_thread(self._multiparts.begin, key)

    async def list_parts(self, key: str, multipart_id: str) -> Sequence[StoredPart]:
        """Say which parts have arrived, by number. Raises `MultipartGone`."""
        return await in_thread(self._multiparts.list_parts, key, multipart_id)

    async def complete(self, key: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """Make the object of exactly these parts, and learn its SHA-256 on the way.

        Raises `MultipartGone` and `MultipartRefused`. Killed at any point, it can be repeated.
        """
        await in_thread(self._multiparts.complete, key, multipart_id, parts)

    async def abort(self, key: str, multipart_id: str) -> None:
        """Drop a multipart object and its parts; nothing to drop is fine."""
        await in_thread(self._multiparts.abort, key, multipart_id)

    async def delete(self, key: str, *, version_id: str | None = None) -> None:
        """Remove an object; nothing to remove is fine."""
        del version_id
        await in_thread(self._folder.remove, key)

    async def put(self, key: str, blocks: AsyncIterable[bytes], *, size: int, sha256: Digest) -> None:
        """Store exactly these bytes or nothing. Raises `BodyMismatchError` and `ObjectExistsError`."""
        await self._uploads.receive(SignedPut(key=key, size=size, sha256=sha256), blocks)

    def read(self, key: str, *, version_id: str | None = None) -> AsyncGenerator[bytes, None]:
        """Read an object through, in blocks of 1 MiB. Raises `ObjectGone`."""
        del version_id
        return self.read_slice(key, range(2**63 - 1))

    async def read_slice(self, key: str, positions: range) -> AsyncGenerator[bytes, None]:
        """Read these positions of an object, in blocks of 1 MiB. Raises `ObjectGone`."""
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

    def list_objects(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Find every object whose key starts with `prefix`."""
        return in_batches(self._folder.list_objects(prefix))

    def list_multiparts(self, prefix: str) -> AsyncIterator[OpenMultipart]:
        """Find every open multipart object whose key starts with `prefix`."""
        return in_batches(self._multiparts.list_open(prefix))

    async def clear_incoming(self, *, older_than: timedelta) -> int:
        """Remove what uploads that were cut short have left behind; return how many there were."""
        before = datetime.now(UTC) - older_than
        drafts = await in_thread(self._folder.clear, before=before)
        return drafts + await in_thread(self._multiparts.clear, before=before)


def _close(opening: asyncio.Future[BinaryIO]) -> None:
    """Close what a thread has opened, for a reader who may have left meanwhile."""
    if opening.exception() is None:
        opening.result().close()
