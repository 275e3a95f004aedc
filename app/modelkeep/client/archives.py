"""A folder as one archive, made the same way from the same files every time: so a repeat can go on where it stopped."""

import hashlib
import shutil
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final

from modelkeep.client.errors import ChangedFileError, LocalFileError
from modelkeep.client.local_files import LocalFile, is_unchanged
from modelkeep.client.pending_registration import state_folder
from modelkeep.client.transfer_pool import TransferPool
from modelkeep.kit.file_locks import async_locked

_BLOCK: Final = 1024 * 1024
_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip file can tell."""

_READABLE: Final = 0o644 << 16


@asynccontextmanager
async def zipped(source: Path, files: Sequence[LocalFile], transfers: TransferPool) -> AsyncIterator[Path]:
    """Bundle files of the folder `source` into `<name of the folder>.zip`, which is gone when the block ends.

    Stored, not compressed: weights hardly shrink. Raises `LocalFileError` and `ChangedFileError`.
    """
    resolved = await transfers.in_thread(source.resolve)
    folder = state_folder() / "archives" / hashlib.sha256(str(resolved).encode()).hexdigest()
    try:
        await transfers.in_thread(folder.mkdir, parents=True, exist_ok=True)
        async with async_locked(folder.with_suffix(".lock")):
            archive = folder / f"{resolved.name}.zip"
            try:
                await transfers.in_thread(_write, archive, files)
                yield archive
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise LocalFileError(folder, f"cannot hold the archive: {error.strerror}.") from error


def _write(archive: Path, files: Sequence[LocalFile]) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as bundle:
        for file in files:
            entry = zipfile.ZipInfo(file.path, _LONG_AGO)
            entry.external_attr = _READABLE
            entry.file_size = file.size
            with _opened(file) as content, bundle.open(entry, "w") as target:
                shutil.copyfileobj(content, target, _BLOCK)
            if not is_unchanged(file):
                raise ChangedFileError(file.path)


def _opened(file: LocalFile) -> BinaryIO:
    try:
        return file.source.open("rb")
    except OSError as error:
        raise LocalFileError(file.source, f"cannot be read: {error.strerror}.") from error
