"""Promoting: against the bare transaction; and whether versions that are kept slow anything down."""

import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from itertools import cycle
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import aioboto3

from tests.benchmarks.load import Connection, Tally, request
from tests.benchmarks.speed.results import Line, Reach, median_ratio
from tests.benchmarks.speed.site import Backend, Running, Site, side_by_side
from tests.support.api import serving as in_process
from tests.support.backends import environment
from tests.support.faults.proxy import Proxy

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

MODEL = "promoted-often"
Transaction = Sequence[Any]


async def promote(site: Site, backend: Backend) -> AsyncIterator[Line]:
    """Each promotion against the same items written bare.

    A number of promotions is recorded on the wire between the app and DynamoDB, and replayed through aioboto3 on a
    second table that was the same before them: every condition is asked and holds, every item has its size.
    """
    ours, twin = await _alike(backend, f"promote-{uuid4().hex[:8]}"), f"bare-{uuid4().hex[:8]}"
    await backend.beside(twin).prepare()
    with environment(ours.variables):
        async with aioboto3.Session().client("dynamodb") as client:
            await _copy(client, ours.variables["MODELKEEP_TABLE"], twin)
            count = (site.scale.rounds + 1) * site.scale.calls
            recorded = await _record(ours, count)
            connection = await Connection.open(ours.service().port)
            promotion, replaying = _promotions(ours.service(), connection, MODEL), deque(recorded)
            sides = await side_by_side(
                site.scale.rounds,
                lambda: _repeated(site, promotion),
                lambda: _repeated(site, lambda: _replay(client, replaying.popleft(), twin)),
            )
            connection.close()
    times = [[tally.p50 for tally in side] for side in sides]
    size = len(json.dumps(recorded[0]))
    detail = f"ours {_typical(sides[0])}; bare {_typical(sides[1])}, {len(recorded[0])} items, {size:,} bytes of JSON"
    yield Line("promote over a bare TransactWriteItems", backend.name, median_ratio(*times), Reach("<=", 1.5), detail)


async def versions(site: Site, backend: Backend) -> AsyncIterator[Line]:
    """The same call on a model with many versions and on one with few, in one table."""
    few, many = site.scale.versions
    for count in (few, many):
        await backend.fill(_with(count), versions=count)
    connection = await Connection.open(backend.service().port)
    for what, calls in _calls(backend.service(), connection).items():
        over, under = partial(_repeated, site, calls(_with(many))), partial(_repeated, site, calls(_with(few)))
        sides = await side_by_side(site.scale.rounds, over, under)
        times = [[tally.p50 for tally in side] for side in sides]
        detail = f"{many:,} versions {_typical(sides[0])}; {few} versions {_typical(sides[1])}"
        ratio = f"{what}: {many:,} versions over {few}"
        yield Line(ratio, backend.name, median_ratio(*times), Reach("<=", 1.2), detail)
    connection.close()


Call = Callable[[], Awaitable[int]]


def _calls(service: Running, connection: Connection) -> dict[str, Callable[[str], Call]]:
    def reading(path: str) -> Callable[[str], Call]:
        return lambda model: lambda: _asked(connection, request(service.port, f"/v1/models/{model}/versions{path}"))

    return {
        "promote": lambda model: _promotions(service, connection, model),
        "resolve": reading("/production/download"),
        "list the first page": reading("?limit=10"),
    }


def _promotions(service: Running, connection: Connection, model: str) -> Call:
    """Promote the second version and the first in turn."""
    numbers = cycle((2, 1))
    return lambda: _asked(connection, service.promoting(model, next(numbers)))


async def _asked(connection: Connection, asked: bytes) -> int:
    answer = await connection.ask(asked)
    assert answer.status == 200, answer
    return answer.status


async def _repeated(site: Site, call: Call) -> Tally:
    tally, first = Tally(), time.perf_counter()
    for _ in range(site.scale.calls):
        began = time.perf_counter()
        tally.note(await call(), time.perf_counter() - began)
    tally.elapsed = time.perf_counter() - first
    return tally


def _typical(tallies: Sequence[Tally]) -> str:
    return f"{median(tally.p50 for tally in tallies):.2f} ms"


def _with(count: int) -> str:
    return f"of-{count}-versions"


async def _alike(backend: Backend, table: str) -> Backend:
    """A table with nothing in it but the model."""
    alike = await backend.beside(table).prepare()
    await alike.fill(MODEL, versions=10)
    return alike


async def _copy(client: "DynamoDBClient", source: str, target: str) -> None:
    pages = client.get_paginator("scan").paginate(TableName=source, ConsistentRead=True)
    async for page in pages:
        for item in page["Items"]:
            await client.put_item(TableName=target, Item=item)


async def _record(backend: Backend, count: int) -> list[Transaction]:
    """Promote so many times through the app, and return what it sent to be written, each time one transaction."""
    variables = backend.variables
    endpoint = variables.get("AWS_ENDPOINT_URL_DYNAMODB", variables["AWS_ENDPOINT_URL"])
    with Proxy().running() as proxy:
        proxy.behind = urlsplit(endpoint).port or 80
        quiet = {"AWS_ENDPOINT_URL_DYNAMODB": proxy.url, "MODELKEEP_LOG_LEVEL": "WARNING"}
        with environment(variables | quiet) as settings:
            async with in_process(settings) as api:
                proxy.reset()
                for number in range(count):
                    await api.promote(MODEL, 2 - number % 2)
        sent = proxy.asked("POST", "/")
    bodies = [each.body for each in sent if each.headers.get("x-amz-target", "").endswith(".TransactWriteItems")]
    assert len(bodies) == count, f"{len(bodies)} transactions for {count} promotions"
    return [json.loads(body)["TransactItems"] for body in bodies]


async def _replay(client: "DynamoDBClient", transaction: Transaction, table: str) -> int:
    moved: Any = [{action: {**member, "TableName": table} for action, member in write.items()} for write in transaction]
    answer = await client.transact_write_items(TransactItems=moved, ClientRequestToken=str(uuid4()))
    return answer["ResponseMetadata"]["HTTPStatusCode"]
