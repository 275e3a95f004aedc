"""Remembers which files downloads have put into a folder, by SHA-256. `disk_layout` describes the path."""

from pathlib import Path

from modelkeep.client.disk_layout import file_marker_path
from modelkeep.client.marks import Mark, read_marker, to_text
from modelkeep.kit import durable_files


class FileMarker:
    """The marker in `dest` of the only files of a model's versions. Methods block, and may raise `OSError`."""

    def __init__(self, dest: Path, model: str) -> None:
        self.path = file_marker_path(dest, model)

    def sha256_of(self, file: str) -> str | None:
        """The digest of the bytes that a download has put under this name; `None` if none has."""
        return self._files().get(file)

    def note(self, file: str, mark: Mark, *, staging: Path) -> None:
        """Add a file, in one step; `staging` is a folder on the same file system. Marks of other files are dropped."""
        staged = staging / self.path.name
        staged.write_text(to_text({"files": self._files() | {file: mark.sha256}}, {file: mark}))
        durable_files.sync(staged)
        staged.replace(self.path)

    def _files(self) -> dict[str, str]:
        files = read_marker(self.path).get("files")
        return files if isinstance(files, dict) else {}
