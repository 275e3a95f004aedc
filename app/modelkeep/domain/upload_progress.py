"""How much of an upload has arrived."""

from dataclasses import dataclass

from modelkeep.domain.uploads import Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadProgress:
    """An upload, how many of its artifacts have arrived whole, and how many bytes of all of them are there."""

    upload: Upload
    arrived_count: int
    arrived_size: int

    @property
    def size(self) -> int:
        """Bytes of all artifacts."""
        return sum(artifact.size for artifact in self.upload.artifacts)
