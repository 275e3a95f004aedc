"""A folder of files by digest that other processes, containers and users reach: its entries are addresses, not facts.

Every step is relative to the folder as it was opened and checked, and follows no link. A file counts only if it is
regular, belongs to the user of this process or to root, and nobody else may write to it. What it holds is not looked at
here: the caller verifies the file that was put at the destination.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Self

from modelkeep.client.disk_layout import partial_path
from modelkeep.kit.durable_files import copy_bytes

_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LINK_ERRNOS: Final = frozenset({errno.ELOOP, errno.EMLINK})
"""What open(2) fails with for a link that it must not follow: on Linux and macOS, on FreeBSD."""

_FOLDER_MODE: Final = 0o755
_FILE_MODE: Final = 0o444
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(Exception):
    """A folder or file must not be used; the message is the predicate of a sentence about it."""


class CacheFolder:
    """A folder, open until its `with` block ends; made if it is missing. Methods block, and raise `OSError`."""

    def __init__(self, path: Path) -> None:
        """Raises `UntrustedError` as well."""
        try:
            path.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
            self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
        except (FileExistsError, NotADirectoryError):
            raise UntrustedError("is no folder, or a link to one") from None
        try:
            _check_owner(self.descriptor, advice="; run chmod go-w on it, or name a folder in it")
        except BaseException:
            os.close(self.descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        os.close(self.descriptor)

    def copy_out(self, name: str, target: Path, *, as_link: bool) -> None:
        """Put a file at `target`, where nothing may be: as a hard link if that is wanted and possible, else as its own.

        The latter is a clone if the file system has them, else a copy; its bytes are flushed to disk.
        Raises `FileNotFoundError` if there is no such file, and `UntrustedError`.
        """
        with self._open(name) as cached:
            if as_link and self._link_out(name, cached, target):
                return
            with target.open("xb") as copy:
                copy_bytes(cached, copy)
                os.fsync(copy.fileno())

    def copy_in(self, source: Path, name: str, *, as_link: bool) -> None:
        """Put a file into the folder, in one step, in place of whatever has its name. A link makes it read-only."""
        draft = partial_path(Path(name))
        self._remove(draft)
        try:
            with source.open("rb") as file:
                if not (as_link and self._link_in(source, file, draft)):
                    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS
                    with open(os.open(draft, flags, _FILE_MODE, dir_fd=self.descriptor), "wb") as copy:  # noqa: PTH123
                        copy_bytes(file, copy)
            os.rename(draft, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        except BaseException:
            self._remove(draft)
            raise

    @contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO]:
        try:
            descriptor = os.open(name, os.O_RDONLY | _FLAGS, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno in _LINK_ERRNOS:
                raise UntrustedError("is a link") from None
            raise
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 -- a path would be another address
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UntrustedError("is no regular file")
            _check_owner(descriptor)
            yield file

    def _link_out(self, name: str, cached: BinaryIO, target: Path) -> bool:
        """Link the very file that was opened, or return `False` where the file system refuses."""
        try:
            os.link(name, target, src_dir_fd=self.descriptor, follow_symlinks=False)
        except OSError:
            return False
        if os.path.samestat(os.fstat(cached.fileno()), target.lstat()):
            return True
        target.unlink()
        return False

    def _link_in(self, source: Path, file: BinaryIO, draft: Path) -> bool:
        try:
            os.link(source, draft, dst_dir_fd=self.descriptor, follow_symlinks=False)
        except OSError:
            return False
        os.fchmod(file.fileno(), _FILE_MODE)
        return True

    def _remove(self, name: Path) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)


def _check_owner(descriptor: int, *, advice: str = "") -> None:
    status = os.fstat(descriptor)
    if status.st_uid not in {os.geteuid(), 0}:
        raise UntrustedError(f"belongs to user {status.st_uid}, who is neither you nor root")
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise UntrustedError(f"may be written to by others (mode {stat.S_IMODE(status.st_mode):04o}){advice}")
