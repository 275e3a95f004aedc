"""SHA-256 of bytes that are too many to be in memory at once."""

import hashlib
from collections.abc import AsyncIterable
from pathlib import Path


def sha256_of_file(path: Path) -> str:
    """The digest of a file, in hexadecimal. Blocks. Raises `OSError`."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def sha256_of_blocks(blocks: AsyncIterable[bytes]) -> tuple[str, int]:
    """The digest of all blocks together, in hexadecimal, and how many bytes they are."""
    digest, size = hashlib.sha256(), 0
    async for block in blocks:
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size
