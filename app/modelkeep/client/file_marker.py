"""Remembers which files downloads have put into a folder, by SHA-256. `disk_layout` describes the path."""

import json
from pathlib import Path

from modelkeep.client.disk_layout import file_marker_path
from modelkeep.kit import durable_files


class FileMarker:
    """The marker in `dest` of the only files of a model's versions. Methods block, and may raise `OSError`."""

    def __init__(self, dest: Path, model: str) -> None:
        self._path = file_marker_path(dest, model)

    def sha256_of(self, file: str) -> str | None:
        """The digest of the bytes that a download has put under this name; `None` if none has."""
        return self._read().get(file)

    def note(self, file: str, sha256: str, *, staging: Path) -> None:
        """Add a file, in one step; `staging` is a folder on the same file system."""
        staged = staging / self._path.name
        staged.write_text(f"{json.dumps({'files': self._read() | {file: sha256}})}\n")
        durable_files.sync(staged)
        staged.replace(self._path)

    def _read(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._path.read_text())["files"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {}
