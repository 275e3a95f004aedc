"""Checks of this machine: the folders that the client uses, and room on the disk. Nothing is left behind."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from modelkeep.client.cache_folder import CacheFolder, UntrustedError
from modelkeep.client.diagnosis.checks import FaultError, NotCheckedError
from modelkeep.client.disk_layout import state_folder
from modelkeep.kit.text import format_size

_LEAST_FREE: Final = 100 * 1024 * 1024


def check_cache(environment: Mapping[str, str]) -> str:
    """Whether downloads can use the folder that `MODELKEEP_CACHE_DIR` names."""
    named = environment.get("MODELKEEP_CACHE_DIR")
    if not named:
        return "none; MODELKEEP_CACHE_DIR may name a folder of downloaded files that processes share"
    folder = Path(named)
    try:
        if folder.exists():
            CacheFolder(folder).__exit__()
        _require_writable(folder)
    except (OSError, UntrustedError) as error:
        reason = str(error) if isinstance(error, UntrustedError) else f"cannot be used: {error.strerror}"
        raise FaultError(
            "cache_unusable",
            f"'{folder}' {reason}. Downloads pass it by. Mend it, or let MODELKEEP_CACHE_DIR name another folder.",
        ) from error
    return f"'{folder}' can be used{_unless_there(folder)}"


def check_state() -> str:
    """Whether a registration that is interrupted can be resumed."""
    folder = state_folder()
    try:
        _require_writable(folder)
    except OSError as error:
        raise FaultError(
            "state_unusable",
            f"'{folder}' cannot be used: {error.strerror}. A registration that is interrupted starts anew. Mend it, or"
            " let XDG_STATE_HOME name a folder that can be written to.",
        ) from error
    return f"'{folder}' can be used{_unless_there(folder)}"


def check_disk() -> str:
    """Whether there is room where a download goes if it is not told otherwise."""
    folder = Path.cwd()
    try:
        _require_writable(folder)
    except OSError as error:
        raise NotCheckedError(
            f"'{folder}' cannot be written to: {error.strerror}. Give `download` a place with --dest."
        ) from error
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        raise FaultError(
            "disk_full", f"Only {format_size(free)} are free in '{folder}'. Make room, or download elsewhere (--dest)."
        )
    return f"{format_size(free)} are free in '{folder}'"


def _require_writable(folder: Path) -> None:
    """Make a file without a name in the folder, or in the one that it would be made in. Raises `OSError`."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    with tempfile.TemporaryFile(dir=existing):
        pass


def _unless_there(folder: Path) -> str:
    return "" if folder.exists() else "; it is made when it is needed"
