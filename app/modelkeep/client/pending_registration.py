"""Remembers the Idempotency-Key of a registration until it is done, so that the same command goes on after a crash.

One symbolic link per registration below the user's state folder, named by a digest of what is registered where; the
key is what it points at. A link is there with its content or not at all, and only one of two can make it.
"""

import hashlib
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

_KEPT_SECONDS: Final = 7 * 24 * 3600
"""Longer than an upload or an Idempotency-Key lives."""


def state_folder() -> Path:
    """Where programs keep what should outlive them; in a container whose user has no home, the folder for drafts.

    Source: https://specifications.freedesktop.org/basedir-spec/latest/
    """
    try:
        home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    except RuntimeError:
        home = Path(tempfile.gettempdir())
    return home / "modelkeep"


class PendingRegistration:
    """The key of the registration that `what` tells from all others; always a new one if no folder can be written."""

    def __init__(self, *what: str) -> None:
        self._path = state_folder() / "uploads" / hashlib.sha256("\n".join(what).encode()).hexdigest()

    def key(self) -> str:
        """The key under which the registration was begun, or a new one, remembered if that is possible."""
        key = uuid4().hex
        with suppress(OSError):
            return self._kept() or self._keep(key)
        return key

    def forget(self) -> None:
        """The registration is done: the next one like it is another."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            for other in self._path.parent.iterdir():
                if other.lstat().st_mtime < time.time() - _KEPT_SECONDS:
                    other.unlink(missing_ok=True)

    def _kept(self) -> str | None:
        try:
            return str(self._path.readlink())
        except FileNotFoundError:
            return None

    def _keep(self, key: str) -> str:
        """Two processes that register the same at once end with the same key."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self._path.symlink_to(key)
        return str(self._path.readlink())
