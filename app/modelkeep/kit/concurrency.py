"""Many calls of storage, some at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

A = TypeVar("A")
R = TypeVar("R")

AT_ONCE: Final = 32


async def gather_limited(call: Callable[[A], Awaitable[R]], arguments: Iterable[A]) -> list[R]:
    """Call for each argument, 32 at a time; answers in their order. The first exception cancels what is left."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(argument: A) -> R:
        async with gate:
            return await call(argument)

    tasks = [asyncio.ensure_future(one(argument)) for argument in arguments]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
