"""How a transfer goes, told while it goes."""

from collections.abc import Mapping
from enum import StrEnum


class Step(StrEnum):
    """What is being done with the files."""

    HASHING = "hashing"
    UPLOADING = "uploading"
    DOWNLOADING = "downloading"


class Progress:
    """Does nothing: override what is of interest. `move` is called from several threads, about once per MiB."""

    def begin(self, step: Step, sizes: Mapping[str, int]) -> None:
        """A step begins, over files of so many bytes."""

    def move(self, path: str, size: int) -> None:
        """So many more bytes of a file are done; a negative number of them is to be done again."""
