"""Remembers the Idempotency-Key of a registration until it is complete, so that the same call resumes it after a crash.

The key is the target of a symbolic link, which is made in one step: it exists with its content or not at all, and of
two processes one makes it. `disk_layout` describes the path.
"""

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import uuid4

from modelkeep.client.disk_layout import state_folder

_MAX_AGE_SECONDS: Final = 7 * 24 * 3600
"""Longer than an upload or an Idempotency-Key lives."""


class PendingRegistration:
    """The key of the registration with this identity.

    Where no file can be written, it is a new one each time; `remark` is called with a sentence on that.
    """

    def __init__(self, *identity: str, remark: Callable[[str], None]) -> None:
        self._remark = remark
        self._path = state_folder() / "uploads" / hashlib.sha256("\n".join(identity).encode()).hexdigest()

    def key(self) -> str:
        """The key under which the registration was begun, or a new one, which is stored if that is possible."""
        key = uuid4().hex
        try:
            return self._stored() or self._store(key)
        except OSError as error:
            folder = self._path.parent
            self._remark(
                f"'{folder}' cannot be used: {error.strerror}. If this registration is interrupted, it starts anew."
            )
            return key

    def clear(self) -> None:
        """Forget the key, because the registration is complete or its upload is gone. Old keys are removed as well."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            for other in self._path.parent.iterdir():
                if other.lstat().st_mtime < time.time() - _MAX_AGE_SECONDS:
                    other.unlink(missing_ok=True)

    def _stored(self) -> str | None:
        try:
            return str(self._path.readlink())
        except FileNotFoundError:
            return None

    def _store(self, key: str) -> str:
        """Store the key. If another process has stored one, that one is returned and used by both."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self._path.symlink_to(key)
        return str(self._path.readlink())
