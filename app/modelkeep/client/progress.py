"""Progress of a transfer, reported while it runs."""

from collections.abc import Mapping
from enum import StrEnum


class Step(StrEnum):
    """What is done with the files."""

    HASHING = "hashing"
    UPLOADING = "uploading"
    DOWNLOADING = "downloading"


class Progress:
    """Receives progress and ignores it: override what you need.

    `advance` is called from several threads, about once per MiB.
    """

    def begin(self, step: Step, sizes: Mapping[str, int]) -> None:
        """A step begins. `sizes` are the sizes of its files in bytes, by path."""

    def advance(self, path: str, size: int) -> None:
        """`size` more bytes of a file are done; a negative number must be done again."""
