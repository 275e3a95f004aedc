"""Sends what is missing of an upload: files and parts in parallel, each until it has arrived."""

from collections.abc import Iterator, Mapping

from modelkeep.client.errors import ChangedFileError, NotARegistryError
from modelkeep.client.local_files import HashedFile, is_unchanged
from modelkeep.client.presigned_transport import (
    AttemptFailedError,
    ContentMismatchError,
    FileRange,
    ObjectExistsError,
    PartsGoneError,
    UrlRefusedError,
)
from modelkeep.client.registry_transport import RegistryTransport
from modelkeep.client.transfer_pool import RetryState, TransferPool
from modelkeep.client.upload_url_cache import UploadUnit, UploadUrlCache
from modelkeep.kit.concurrency import gather_limited
from modelkeep.schemas.base import PresignedUrlResponse
from modelkeep.schemas.uploads import UploadArtifactResponse, UploadResponse


class Uploader:
    """One upload of these files."""

    def __init__(self, service: RegistryTransport, transfers: TransferPool, files: Mapping[str, HashedFile]) -> None:
        self._service = service
        self._transfers = transfers
        self._files = files

    async def send(self, upload: UploadResponse) -> None:
        """Send what is missing.

        Raises `ChangedFileError`, `LocalFileError`, `TransferRefusedError`, `UnreachableError`, and the registry's.
        """
        for artifact in upload.artifacts:
            if artifact.multipart and artifact.multipart.part_count != len(self._files[artifact.path].parts):
                raise NotARegistryError(self._service.url, f"it cuts '{artifact.path}' into parts that do not add up")
        urls = UploadUrlCache(self._service, upload)
        pieces = [piece for artifact in upload.artifacts for piece in _missing(artifact)]
        await gather_limited(lambda piece: self._send(piece, urls), pieces, limit=self._transfers.jobs)

    async def _send(self, piece: UploadUnit, urls: UploadUrlCache) -> None:
        hashed = self._files[piece.path]
        patience = RetryState(piece.path)
        while signed := await urls.of(piece, hashed):
            try:
                await self._transfers.in_thread(self._put, piece, signed)
            except (ObjectExistsError, PartsGoneError):
                return
            except ContentMismatchError as failure:
                if not is_unchanged(hashed.file):
                    raise ChangedFileError(piece.path) from failure
                await patience.after(AttemptFailedError("bytes were altered on their way"))
            except UrlRefusedError as failure:
                urls.drop(piece, signed)
                await patience.after(failure)
            except AttemptFailedError as failure:
                await patience.after(failure)
            else:
                if not is_unchanged(hashed.file):
                    raise ChangedFileError(piece.path)
                return

    def _put(self, piece: UploadUnit, signed: PresignedUrlResponse) -> None:
        self._transfers.storage.put(piece.path, signed, _slice(piece, self._files[piece.path]), self._transfers.report)


def _missing(artifact: UploadArtifactResponse) -> Iterator[UploadUnit]:
    if artifact.state == "arrived":
        return
    if artifact.multipart is None:
        yield UploadUnit(path=artifact.path)
        return
    done = set(artifact.multipart.parts_done)
    for number in range(1, artifact.multipart.part_count + 1):
        if number not in done:
            yield UploadUnit(path=artifact.path, part=number)


def _slice(piece: UploadUnit, hashed: HashedFile) -> FileRange:
    start = (piece.part - 1) * hashed.part_size if piece.part else 0
    size = min(hashed.part_size, hashed.file.size - start) if piece.part else hashed.file.size
    return FileRange(path=hashed.file.source, start=start, size=size)
