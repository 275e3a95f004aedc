"""The URLs of an upload, each requested when it is needed, and again before it expires."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from modelkeep.client.local_files import HashedFile
from modelkeep.client.registry_transport import RegistryTransport
from modelkeep.client.transfer_pool import is_expiring
from modelkeep.schemas.base import PresignedUrlResponse
from modelkeep.schemas.uploads import DeclaredPart, PartsResponse, SignParts, UploadResponse

_PARTS_PER_REQUEST: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadUnit:
    """What is uploaded by one URL: an artifact, or one of its parts."""

    path: str
    part: int | None = None


class UploadUrlCache:
    """The URLs of one upload, of which `upload` is the latest answer."""

    def __init__(self, transport: RegistryTransport, upload: UploadResponse) -> None:
        self._transport = transport
        self._path = ("models", upload.model, "versions", upload.version, "upload")
        self._urls: dict[UploadUnit, PresignedUrlResponse] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._store(upload)

    async def get(self, unit: UploadUnit, hashed: HashedFile) -> PresignedUrlResponse | None:
        """A URL that does not expire soon; `None` if the unit has arrived, says the registry."""
        signed = self._urls.get(unit)
        if signed is None or is_expiring(signed):
            async with self._locks[unit.path if unit.part else ""]:
                if self._urls.get(unit) is signed:
                    await self._fetch(unit, hashed)
        return self._urls.get(unit)

    def discard(self, unit: UploadUnit, refused: PresignedUrlResponse) -> None:
        """Never return this URL again, which storage has refused."""
        if self._urls.get(unit) is refused:
            del self._urls[unit]

    async def _fetch(self, unit: UploadUnit, hashed: HashedFile) -> None:
        if unit.part is None:
            self._urls = {other: url for other, url in self._urls.items() if other.part}
            self._store(await self._transport.get(UploadResponse, *self._path))
            return
        numbers = range(unit.part, min(unit.part + _PARTS_PER_REQUEST, len(hashed.parts) + 1))
        parts = [DeclaredPart(number=number, sha256=hashed.parts[number - 1]) for number in numbers]
        body = SignParts(path=unit.path, parts=parts)
        answer = await self._transport.change(PartsResponse, "POST", *self._path, "parts", body=body)
        self._urls |= {UploadUnit(path=unit.path, part=part.number): part for part in answer.parts}

    def _store(self, upload: UploadResponse) -> None:
        self._urls |= {UploadUnit(path=each.path): each.upload for each in upload.artifacts if each.upload}
