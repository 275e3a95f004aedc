"""Bounded concurrency: many calls, a limited number of them at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")


async def gather_limited(function: Callable[[A], Awaitable[R]], items: Collection[A], *, limit: int = 32) -> list[R]:
    """Call `function` for each item, at most `limit` calls at a time. Returns the results in the order of the items.

    The first exception is raised once the calls under way have been cancelled and have ended; no other call begins.
    """
    if len(items) == 1:
        return [await function(item) for item in items]
    results: dict[int, R] = {}
    waiting = iter(enumerate(items))

    async def work() -> None:
        for index, item in waiting:
            results[index] = await function(item)

    workers = [asyncio.create_task(work()) for _ in range(min(limit, len(items)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [results[index] for index in range(len(items))]
