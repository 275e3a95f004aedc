"""Sends what is missing of an upload: files and parts in parallel, each until it has arrived."""

from collections.abc import Iterator, Mapping

from modelkeep.client.errors import ChangedFileError, NotARegistryError
from modelkeep.client.local_files import HashedFile, is_unchanged
from modelkeep.client.presigned_transport import (
    AttemptFailedError,
    ContentMismatchError,
    FileRange,
    MultipartUploadGoneError,
    ObjectExistsError,
    UrlRefusedError,
)
from modelkeep.client.registry_transport import RegistryTransport
from modelkeep.client.transfer_pool import RetryState, TransferPool
from modelkeep.client.upload_url_cache import UploadUnit, UploadUrlCache
from modelkeep.kit.concurrency import gather_limited
from modelkeep.schemas.base import PresignedUrlResponse
from modelkeep.schemas.uploads import UploadArtifactResponse, UploadResponse


class Uploader:
    """One upload of `files`, by artifact path."""

    def __init__(self, transport: RegistryTransport, transfers: TransferPool, files: Mapping[str, HashedFile]) -> None:
        self._transport = transport
        self._transfers = transfers
        self._files = files

    async def send(self, upload: UploadResponse) -> None:
        """Send what is missing.

        Raises `ChangedFileError`, `LocalFileError`, `TransferRefusedError`, `UnreachableError`, and the registry's.
        """
        for artifact in upload.artifacts:
            if artifact.multipart and artifact.multipart.part_count != len(self._files[artifact.path].parts):
                raise NotARegistryError(self._transport.url, f"it cuts '{artifact.path}' into parts that do not add up")
        urls = UploadUrlCache(self._transport, upload)
        units = [unit for artifact in upload.artifacts for unit in _missing_units(artifact)]
        await gather_limited(lambda unit: self._upload(unit, urls), units, limit=self._transfers.jobs)

    async def _upload(self, unit: UploadUnit, urls: UploadUrlCache) -> None:
        hashed = self._files[unit.path]
        retries = RetryState(unit.path)
        while signed := await urls.get(unit, hashed):
            try:
                await self._transfers.in_thread(self._put, unit, signed)
            except (ObjectExistsError, MultipartUploadGoneError):
                return
            except ContentMismatchError as failure:
                if not is_unchanged(hashed.file):
                    raise ChangedFileError(unit.path) from failure
                await retries.wait_after(AttemptFailedError("bytes were altered on their way"))
            except UrlRefusedError as failure:
                urls.discard(unit, signed)
                await retries.wait_after(failure)
            except AttemptFailedError as failure:
                await retries.wait_after(failure)
            else:
                if not is_unchanged(hashed.file):
                    raise ChangedFileError(unit.path)
                return

    def _put(self, unit: UploadUnit, signed: PresignedUrlResponse) -> None:
        self._transfers.transport.put(
            unit.path, signed, _file_range(unit, self._files[unit.path]), self._transfers.report
        )


def _missing_units(artifact: UploadArtifactResponse) -> Iterator[UploadUnit]:
    if artifact.state == "arrived":
        return
    if artifact.multipart is None:
        yield UploadUnit(path=artifact.path)
        return
    done = set(artifact.multipart.parts_done)
    for number in range(1, artifact.multipart.part_count + 1):
        if number not in done:
            yield UploadUnit(path=artifact.path, part=number)


def _file_range(unit: UploadUnit, hashed: HashedFile) -> FileRange:
    start = (unit.part - 1) * hashed.part_size if unit.part else 0
    size = min(hashed.part_size, hashed.file.size - start) if unit.part else hashed.file.size
    return FileRange(path=hashed.file.source, start=start, size=size)
