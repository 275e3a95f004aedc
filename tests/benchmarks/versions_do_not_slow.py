"""Do promote and resolve take the same time with 10 and with 10,000 versions? At most 1.3 times is promised.

    uv run python -m tests.benchmarks.versions_do_not_slow [local] [ministack] [dynamodb-local]

Both models lie in one table and are measured in turn, in one run, through the whole app in this process. Printed are
the medians of all calls in milliseconds, and the median over the rounds of the ratio large : small.
"""

import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

from app.domain.artifacts import Artifact, commit_of, object_key
from app.domain.models import Head, Version
from app.domain.values import Digest, Stage
from app.lifespan import open_storage
from app.repositories.items import head_to_item
from app.repositories.version_items import version_to_item
from app.settings import Settings
from app.storage.table import Absent, Put, Table
from tests.support import servers
from tests.support.api import Api, serving
from tests.support.backends import aws_environment, environment, local_environment, prepare

SIZES = {"small": 10, "large": 10_000}
ROUNDS = 9
CALLS = 30
NOW = datetime.now(UTC)


def version(model: str, number: int) -> Version:
    path = "model.pt"
    manifest = (Artifact(path=path, size=1, sha256=Digest("0" * 64), key=object_key(model, number, path)),)
    return Version(
        model=model,
        number=number,
        commit=commit_of(model, number, manifest),
        stage=Stage.STAGING,
        s3_path=f"s3://benchmark/{manifest[0].key}",
        framework="pytorch",
        metrics={"accuracy": Decimal("0.967")},
        description="",
        tags={},
        artifacts=manifest,
        created_at=NOW,
        created_by="benchmark",
        stage_changed_at=NOW,
        stage_changed_by="benchmark",
    )


async def fill(table: Table, model: str, size: int) -> None:
    for first in range(1, size + 1, 100):
        numbers = range(first, min(first + 100, size + 1))
        writes = [Put(version_to_item(version(model, number)), Absent()) for number in numbers]
        await table.transact(writes, token=str(uuid4()))
    head = Head(model=model, generation=1, next_version=size + 1, latest_version=size, created_at=NOW, updated_at=NOW)
    await table.transact([Put(head_to_item(head, str(uuid4())), Absent())], token=str(uuid4()))


async def timed(call: Callable[[int], Awaitable[object]]) -> list[float]:
    times = []
    for number in range(CALLS):
        began = time.perf_counter()
        await call(number)
        times.append((time.perf_counter() - began) * 1000)
    return times


async def measure(api: Api, what: str, call: Callable[[str, int], Awaitable[object]]) -> str:
    times: dict[str, list[float]] = {model: [] for model in SIZES}
    ratios = []
    for _ in range(ROUNDS):
        medians = {}
        for model in SIZES:
            found = await timed(lambda number, model=model: call(model, number))  # type: ignore[misc]
            times[model] += found
            medians[model] = statistics.median(found)
        ratios.append(medians["large"] / medians["small"])
    small, large = (statistics.median(times[model]) for model in SIZES)
    return f"{what:<9} {small:>10.2f} {large:>10.2f} {statistics.median(ratios):>8.2f}"


async def run(settings: Settings) -> list[str]:
    async with open_storage(settings) as (table, _):
        for model, size in SIZES.items():
            await fill(table, model, size)
    async with serving(settings) as api:
        for model in SIZES:
            await api.promote(model, 1)
        return [
            await measure(api, "promote", lambda model, number: api.promote(model, 2 + number % 2)),
            await measure(api, "resolve", lambda model, _: api.download(model)),
        ]


@asynccontextmanager
async def backend(name: str, folder: Path) -> AsyncIterator[Settings]:
    async with AsyncExitStack() as stack:
        if name == "local":
            variables = local_environment(folder / "data")
        else:
            variables = aws_environment(stack.enter_context(servers.ministack(folder)))
        if name == "dynamodb-local":
            server = stack.enter_context(servers.dynamodb_local(folder))
            variables |= {"AWS_ENDPOINT_URL_DYNAMODB": server.endpoint}
        settings = stack.enter_context(environment(variables))
        await prepare(settings)
        yield settings


async def main(names: list[str]) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(f"{'backend':<15} {'':<9} {'10: ms':>10} {'10,000: ms':>10} {'ratio':>8}")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            async with backend(name, Path(folder)) as settings:
                for row in await run(settings):
                    print(f"{name:<15} {row}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["local", "ministack", "dynamodb-local"]))
