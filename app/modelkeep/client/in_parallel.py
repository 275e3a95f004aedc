"""Many transfers at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

A = TypeVar("A")


async def in_parallel(call: Callable[[A], Awaitable[None]], arguments: Sequence[A], *, jobs: int) -> None:
    """Call for each argument, `jobs` at a time. The first exception ends all of them, and is raised."""
    if len(arguments) == 1:
        return await call(arguments[0])
    waiting = iter(arguments)

    async def work() -> None:
        for argument in waiting:
            await call(argument)

    workers = [asyncio.create_task(work()) for _ in range(min(jobs, len(arguments)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return None
