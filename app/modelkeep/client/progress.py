"""Progress of a transfer, reported while it runs."""

import logging
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

_LOGGER: Final = logging.getLogger("modelkeep.client")


class Step(StrEnum):
    """What is done with the files."""

    HASHING = "hashing"
    UPLOADING = "uploading"
    DOWNLOADING = "downloading"


class Progress:
    """Receives progress and ignores it, and logs remarks: override what you need.

    `advance` is called from several threads, about once per MiB; `remark` from any.
    """

    def begin(self, step: Step, sizes: Mapping[str, int]) -> None:
        """A step begins. `sizes` are the sizes of its files in bytes, by path."""

    def advance(self, path: str, size: int) -> None:
        """`size` more bytes of a file are done; a negative number must be done again."""

    def remark(self, sentence: str) -> None:
        """What is no failure, but may surprise: files are left out, a cache is not used, an upload is resumed.

        By default a warning of the logger `modelkeep.client`.
        """
        _LOGGER.warning(sentence)
