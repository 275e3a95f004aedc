"""What the client keeps on disk: every path and every format.

A download, all of it below DEST, because DEST may be a mount point: nothing can be renamed over it, or into it from
another file system.

DEST/model.pt                       the only file of a version without empty folders
DEST/.modelkeep.MODEL.json          marker of such files: {"files": {"model.pt": "<sha256>"}, "marks": {…}} on one line.
                                    A file with another SHA-256 is replaced only if it is that of a registered version,
                                    or by force
DEST/MODEL/…                        the files of any other version
DEST/MODEL/.modelkeep.json          marker: {"model": "fraud", "version": 6, "commit": "<40 hex>", "marks": {…}} on one
                                    line. A folder without it, or with the marker of another model, is replaced by force
                                    only
"marks" in both                     {"<path>": [size, mtime in ns, inode, "<sha256>"]} of verified files, so that one of
                                    which the first three are as noted need not be read again; see `marks`
DEST/.MODEL.lock                    locked by flock(2) during a download, then removed
DEST/.MODEL.partial/                what has arrived; removed when the download is complete, or when the disk is full
    <key>                           a whole, verified file. <key> is the SHA-256 of its path, size and SHA-256 in
                                    three lines
    <key>.partial                   a file on its way, with holes where nothing has arrived
    <key>.partial.blocks            journal of that file: the object's ETag, padded to 256 bytes, then one byte for each
                                    MiB, which is 1 once its bytes are in the file
    <key>.cached                    a file that came out of the cache and is not verified yet
    <key>.present                   a copy of a file that lies at the destination, not verified yet
    <key>.kept                      another name of a marked file of the destination; made anew by each download
    <key>.own                       a copy of a file that is a link into the cache, to be made executable
    tree/ and replaced/             the folder that is about to appear, and the one that it replaces

The cache, which all processes of a machine may share:

CACHE_DIR/                          made with mode 0755. Passed by unless it belongs to the user or to root, and nobody
                                    else may write to it; so is each file
CACHE_DIR/<sha256>                  a whole file, read-only, verified each time that it is used
CACHE_DIR/<sha256>.partial          a copy on its way in
CACHE_DIR/<sha256>.lock             locked while one process fetches the file, then removed

State that outlives a process, below $XDG_STATE_HOME/modelkeep or ~/.local/state/modelkeep:

uploads/<digest>                    symbolic link whose target is the Idempotency-Key of a registration that is not
                                    complete. <digest> is the SHA-256 of the registry's address, the model and the
                                    request in three lines. Removed when it is complete, or after 7 days by another
archives/<digest>/NAME.zip          a folder that is registered as one archive, while it is. <digest> is the SHA-256 of
                                    the folder's path. Where this cannot be made or locked: in a temporary folder
archives/<digest>.lock              locked meanwhile
"""

import errno
import os
import tempfile
from pathlib import Path
from typing import Final

MARKER_FILE: Final = ".modelkeep.json"
"""In a downloaded folder; never registered itself."""

FILE_MARKER_PREFIX: Final = ".modelkeep."
"""Begins the names of markers beside files."""

IGNORE_FILE: Final = ".modelkeepignore"
"""In a folder that is registered: patterns of what is left out."""

_DISK_FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def file_marker_path(dest: Path, model: str) -> Path:
    """The marker of the only files of a model's versions."""
    return dest / f"{FILE_MARKER_PREFIX}{model}.json"


def partial_path(file: Path) -> Path:
    """Where a file is while it arrives."""
    return file.with_name(f"{file.name}.partial")


def kept_path(file: Path) -> Path:
    """Another name of what lies at the destination, while a download puts it together with what arrives."""
    return file.with_name(f"{file.name}.kept")


def journal_path(partial: Path) -> Path:
    """The journal of a partial file."""
    return partial.with_name(f"{partial.name}.blocks")


def lock_path(file: Path) -> Path:
    """The lock file of a file in the cache."""
    return file.with_name(f"{file.name}.lock")


def state_folder() -> Path:
    """The folder for state that outlives a process. A user without a home, as in a container, has the temporary one.

    Source: https://specifications.freedesktop.org/basedir-spec/latest/
    """
    try:
        home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError:
        home = Path(tempfile.gettempdir())
    return home / "modelkeep"


def is_disk_full(error: OSError) -> bool:
    """Whether a disk or a quota is exhausted."""
    return error.errno in _DISK_FULL_ERRNOS
