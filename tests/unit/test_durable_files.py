"""What is flushed, and what happens where a file system cannot."""

import errno
import os
from pathlib import Path

import pytest

from modelkeep.kit import durable_files

UNSUPPORTED = [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF]


def refuse(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def fsync(_: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("error", UNSUPPORTED)
def test_a_folder_without_fsync_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    refuse(monkeypatch, error)
    durable_files.sync(tmp_path)


@pytest.mark.parametrize("error", UNSUPPORTED)
def test_a_file_without_fsync_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    (tmp_path / "file").touch()
    refuse(monkeypatch, error)
    with pytest.raises(OSError, match=os.strerror(error)):
        durable_files.sync(tmp_path / "file")


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_folder_that_could_not_be_flushed_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    refuse(monkeypatch, error)
    with pytest.raises(OSError, match=os.strerror(error)):
        durable_files.sync(tmp_path)
