"""Remembers the Idempotency-Key of a registration until it is done, so that the same command goes on after a crash.

One file per registration below the user's state folder, named by a digest of what is registered where.
"""

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

_KEPT_SECONDS: Final = 7 * 24 * 3600
"""Longer than an upload or an Idempotency-Key lives."""


def state_folder() -> Path:
    """Where programs keep what should outlive them: https://specifications.freedesktop.org/basedir-spec/latest/."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "model-registry"


class Unfinished:
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
                if other.stat().st_mtime < time.time() - _KEPT_SECONDS:
                    other.unlink(missing_ok=True)

    def _kept(self) -> str | None:
        try:
            return self._path.read_text("ascii")
        except FileNotFoundError:
            return None

    def _keep(self, key: str) -> str:
        """Two processes that register the same at once end with the same key."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{key}")
        draft.write_text(key, "ascii")
        try:
            os.link(draft, self._path)
        except FileExistsError:
            return self._path.read_text("ascii")
        finally:
            draft.unlink()
        return key
