"""Runs blocking file operations in threads, and converts their failures to messages for an operator."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import Final, ParamSpec, TypeVar

from modelkeep.storage.objects import StoreUnavailableError

_BATCH: Final = 256

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a thread. An `OSError` becomes `StoreUnavailableError`."""
    try:
        return await asyncio.to_thread(function, *args, **kwargs)
    except OSError as error:
        raise StoreUnavailableError(
            f"The data folder cannot be used: {error.strerror or error}. Check its permissions and free space."
        ) from error


async def in_batches(results: Iterator[T]) -> AsyncIterator[T]:
    """Iterate over a blocking iterator in a thread, 256 results at a time."""
    while batch := await in_thread(list, islice(results, _BATCH)):
        for result in batch:
            yield result
