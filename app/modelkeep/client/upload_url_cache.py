"""The URLs of an upload, each asked for when it is needed, and again before it expires."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from modelkeep.client.local_files import HashedFile
from modelkeep.client.registry_transport import RegistryTransport
from modelkeep.client.transfer_pool import is_expiring
from modelkeep.schemas.base import PresignedUrlResponse
from modelkeep.schemas.uploads import DeclaredPart, PartsResponse, SignParts, UploadResponse

_PARTS_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadUnit:
    """What one URL is for: an artifact, or one of its parts."""

    path: str
    part: int | None = None


class UploadUrlCache:
    """Hands out URLs of one upload, whose answer came last as `upload`."""

    def __init__(self, service: RegistryTransport, upload: UploadResponse) -> None:
        self._service = service
        self._where = ("models", upload.model, "versions", upload.version, "upload")
        self._urls: dict[UploadUnit, PresignedUrlResponse] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._keep(upload)

    async def of(self, piece: UploadUnit, hashed: HashedFile) -> PresignedUrlResponse | None:
        """A URL that does not expire soon; `None` if the registry says that the piece has arrived."""
        signed = self._urls.get(piece)
        if signed is None or is_expiring(signed):
            async with self._locks[piece.path if piece.part else ""]:
                if self._urls.get(piece) is signed:
                    await self._ask(piece, hashed)
        return self._urls.get(piece)

    def drop(self, piece: UploadUnit, refused: PresignedUrlResponse) -> None:
        """Never hand this URL out again."""
        if self._urls.get(piece) is refused:
            del self._urls[piece]

    async def _ask(self, piece: UploadUnit, hashed: HashedFile) -> None:
        if piece.part is None:
            self._urls = {known: url for known, url in self._urls.items() if known.part}
            self._keep(await self._service.get(UploadResponse, *self._where))
            return
        numbers = range(piece.part, min(piece.part + _PARTS_AT_ONCE, len(hashed.parts) + 1))
        parts = [DeclaredPart(number=number, sha256=hashed.parts[number - 1]) for number in numbers]
        body = SignParts(path=piece.path, parts=parts)
        answer = await self._service.change(PartsResponse, "POST", *self._where, "parts", body=body)
        self._urls |= {UploadUnit(path=piece.path, part=part.number): part for part in answer.parts}

    def _keep(self, upload: UploadResponse) -> None:
        self._urls |= {UploadUnit(path=each.path): each.upload for each in upload.artifacts if each.upload}
