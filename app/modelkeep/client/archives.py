"""A folder as one zip archive. The same files make the same bytes, so that an interrupted upload can be resumed."""

import errno
import hashlib
import os
import shutil
import stat
import tempfile
import unicodedata
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from modelkeep.client.disk_layout import state_folder
from modelkeep.client.errors import LocalFileError
from modelkeep.client.local_files import LocalTree, opened
from modelkeep.client.transfer_pool import TransferPool
from modelkeep.domain.artifact_paths import check_new_artifact_path
from modelkeep.kit.file_locks import async_locked

_BLOCK: Final = 1024 * 1024
_MIN_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest date of the zip format, for every file."""

_FILE_MODE: Final = 0o644 << 16
_PROGRAM_MODE: Final = 0o755 << 16
_FOLDER_MODE: Final = (stat.S_IFDIR | 0o755) << 16 | 0x10
"""With the mark of a folder for readers that know no modes."""


@asynccontextmanager
async def zipped(
    model: str, source: Path, tree: LocalTree, transfers: TransferPool, remark: Callable[[str], None]
) -> AsyncIterator[Path]:
    """Write the `tree` of the folder `source` into an archive, which is removed when the block ends.

    It has the name of the folder, or of the model where that is no artifact path. The files are stored, not
    compressed: weights hardly shrink. Raises `LocalFileError` and `ChangedFileError`.
    """
    resolved = await transfers.in_thread(source.resolve)
    folder = state_folder() / "archives" / hashlib.sha256(os.fsencode(resolved)).hexdigest()
    try:
        async with _folder_of_its_own(folder, sum(file.size for file in tree.files), transfers, remark) as folder:
            archive = folder / _name(resolved, model)
            await transfers.in_thread(_write, archive, tree)
            yield archive
    except OSError as error:
        raise LocalFileError(
            folder, f"cannot hold the archive: {error.strerror}. Set TMPDIR to a folder that can."
        ) from error


@asynccontextmanager
async def _folder_of_its_own(
    folder: Path, size: int, transfers: TransferPool, remark: Callable[[str], None]
) -> AsyncIterator[Path]:
    """Make the folder, and remove it when the block ends; a temporary one if it cannot be made, locked and filled."""
    async with AsyncExitStack() as stack:
        try:
            await transfers.in_thread(folder.parent.mkdir, parents=True, exist_ok=True)
            await stack.enter_async_context(async_locked(folder.with_suffix(".lock")))
            await transfers.in_thread(folder.mkdir, exist_ok=True)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            await transfers.in_thread(_check_room, folder, size)
        except OSError as error:
            place = tempfile.gettempdir()
            remark(f"'{folder.parent}' cannot be used: {error.strerror}. The archive is made in '{place}'.")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelkeep-")))
        yield folder


def _check_room(folder: Path, size: int) -> None:
    """Raise `OSError` if files of so many bytes cannot be written there."""
    with tempfile.TemporaryFile(dir=folder):
        if shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _name(folder: Path, model: str) -> str:
    try:
        return check_new_artifact_path(f"{unicodedata.normalize('NFC', folder.name) or model}.zip")
    except ValueError:
        return f"{model}.zip"


def _write(archive: Path, tree: LocalTree) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as bundle:
        for file in tree.files:
            entry = zipfile.ZipInfo(file.path, _MIN_DATE)
            entry.external_attr = _PROGRAM_MODE if file.executable else _FILE_MODE
            entry.file_size = file.size
            with opened(file) as content, bundle.open(entry, "w") as target:
                shutil.copyfileobj(content, target, _BLOCK)
        for folder in tree.empty_folders:
            entry = zipfile.ZipInfo(f"{folder}/", _MIN_DATE)
            entry.external_attr = _FOLDER_MODE
            bundle.writestr(entry, b"")
