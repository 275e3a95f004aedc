"""The `Table` on DynamoDB: consistent reads, and one `TransactWriteItems` for each transaction."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from modelkeep.kit.backoff import full_jitter
from modelkeep.storage.attributes import Typed, decode, encode
from modelkeep.storage.aws.dynamodb_failures import read_failure, write_failure
from modelkeep.storage.aws.errors import FAILURES, Resource, explain
from modelkeep.storage.aws.session import CONFIG, Session
from modelkeep.storage.table import (
    PARTITION,
    SORT,
    TTL,
    Absent,
    AbsentOrExpired,
    Check,
    Condition,
    Delete,
    Equals,
    Index,
    Item,
    ItemKey,
    Present,
    Put,
    TablePage,
    TableUnavailableError,
    Write,
    check_keys,
    check_writes,
)

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

T = TypeVar("T")

Term = tuple[str, str, str | int]
"""A comparison with two placeholders, and the attribute and value that they stand for."""

_BATCH_ATTEMPTS: Final = 8
_BACKOFF_BASE_SECONDS: Final = 0.05
_BACKOFF_CAP_SECONDS: Final = 0.4


@asynccontextmanager
async def open_client(
    session: Session, name: str, *, endpoint_url: str | None = None
) -> "AsyncIterator[DynamoDBClient]":
    """Open the client for the table `name`. Raises `TableUnavailableError` if AWS is not configured."""
    async with AsyncExitStack() as stack:
        try:
            opening = session.client("dynamodb", config=CONFIG, endpoint_url=endpoint_url)
            client = await stack.enter_async_context(opening)
        except (*FAILURES, ValueError) as error:
            raise TableUnavailableError(explain(error, Resource("table", name, endpoint=endpoint_url))) from error
        yield client


class DynamoDbTable:
    """Items in a DynamoDB table whose keys are `model_name` and `version`."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name
        self._resource = Resource("table", name, client.meta.region_name, client.meta.endpoint_url)

    @classmethod
    @asynccontextmanager
    async def open(cls, session: Session, name: str, *, endpoint_url: str | None = None) -> AsyncIterator[Self]:
        """Open a client for the table, which need not exist yet. Raises `TableUnavailableError`."""
        async with open_client(session, name, endpoint_url=endpoint_url) as client:
            yield cls(client, name)

    async def get(self, key: ItemKey) -> Item | None:
        """Read one item, consistently. Raises `TableUnavailableError`."""
        with self._reading():
            answer = await self._client.get_item(TableName=self._name, Key=_key(key), ConsistentRead=True)
        return decode(answer["Item"]) if "Item" in answer else None

    async def get_many(self, keys: Sequence[ItemKey]) -> Sequence[Item | None]:
        """Read up to 100 items, and again those that DynamoDB left unprocessed. Raises `TableUnavailableError`."""
        check_keys(keys)
        found: dict[ItemKey, Item] = {}
        unread: Sequence[Any] = [_key(key) for key in dict.fromkeys(keys)]
        for attempt in range(_BATCH_ATTEMPTS if unread else 0):
            if attempt:
                await asyncio.sleep(full_jitter(attempt - 1, base=_BACKOFF_BASE_SECONDS, cap=_BACKOFF_CAP_SECONDS))
            items, unread = await self._batch(unread)
            found.update((_key_of(item), item) for item in items)
            if not unread:
                break
        if unread:
            raise TableUnavailableError(f"Reads of {self._resource} are limited at present. Try again later.")
        return [found.get(key) for key in keys]

    async def query(
        self, partition: str, *, after: int | None = None, descending: bool = False, limit: int
    ) -> TablePage[Item]:
        """Read a partition in the order of its sort key. Raises `TableUnavailableError`."""
        terms: list[Term] = [("{} = {}", PARTITION, partition)]
        if after is not None:
            terms.append(("{} < {}" if descending else "{} > {}", SORT, after))
        with self._reading():
            answer = await self._client.query(
                TableName=self._name,
                ConsistentRead=True,
                ScanIndexForward=not descending,
                Limit=limit + 1,
                **_where(terms),
            )
        return _page([decode(item) for item in answer["Items"]], answer, limit)

    async def query_index(
        self, index: Index, partition: str, *, prefix: str = "", after: ItemKey | None = None, limit: int
    ) -> TablePage[ItemKey]:
        """List the keys of an index partition, eventually consistent. Raises `TableUnavailableError`."""
        terms: list[Term] = [("{} = {}", index.partition, partition)]
        if prefix:
            terms.append(("begins_with({}, {})", index.sort, prefix))
        request = _where(terms)
        if after is not None:
            request["ExclusiveStartKey"] = _index_key(index, partition, prefix, after)
        with self._reading():
            answer = await self._client.query(TableName=self._name, IndexName=index.name, Limit=limit + 1, **request)
        return _page([_key_of(decode(item)) for item in answer["Items"]], answer, limit)

    async def scan(self, *, after: ItemKey | None = None, limit: int) -> TablePage[Item]:
        """Read all items, page by page. Raises `TableUnavailableError`."""
        start: Any = {} if after is None else {"ExclusiveStartKey": _key(after)}
        with self._reading():
            answer = await self._client.scan(TableName=self._name, ConsistentRead=True, Limit=limit + 1, **start)
        return _page([decode(item) for item in answer["Items"]], answer, limit)

    async def transact(self, writes: Sequence[Write], *, request_token: str) -> None:
        """Apply all writes or none, once for each request token; see `Table.transact`."""
        check_writes(writes)
        request: Any = [self._to_request(write) for write in writes]
        try:
            await self._client.transact_write_items(TransactItems=request, ClientRequestToken=request_token)
        except FAILURES as error:
            raise write_failure(error, self._resource) from error

    async def _batch(self, keys: Sequence[Any]) -> tuple[Sequence[Item], Sequence[Any]]:
        request: Any = {self._name: {"Keys": keys, "ConsistentRead": True}}
        with self._reading():
            answer = await self._client.batch_get_item(RequestItems=request)
        unprocessed = answer["UnprocessedKeys"]
        unread = unprocessed[self._name]["Keys"] if self._name in unprocessed else []
        return [decode(item) for item in answer["Responses"].get(self._name, [])], unread

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise read_failure(error, self._resource) from error

    def _to_request(self, write: Write) -> dict[str, Any]:
        common = {"TableName": self._name, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        common |= _condition(write.condition)
        match write:
            case Put(item=item):
                return {"Put": {"Item": encode(item), **common}}
            case Delete(key=key):
                return {"Delete": {"Key": _key(key), **common}}
            case Check(key=key):
                return {"ConditionCheck": {"Key": _key(key), **common}}


def _key(key: ItemKey) -> dict[str, Typed]:
    return encode({PARTITION: key.partition, SORT: key.sort})


def _key_of(item: Item) -> ItemKey:
    return ItemKey(item[PARTITION], int(item[SORT]))


def _index_key(index: Index, partition: str, prefix: str, after: ItemKey) -> dict[str, Typed]:
    return encode({index.sort: prefix, index.partition: partition}) | _key(after)


def _page(results: Sequence[T], answer: Mapping[str, Any], limit: int) -> TablePage[T]:
    return TablePage(results[:limit], more=len(results) > limit or "LastEvaluatedKey" in answer)


def _where(terms: Sequence[Term]) -> Any:
    expressions = [template.format(f"#k{n}", f":k{n}") for n, (template, _, _) in enumerate(terms)]
    return {
        "KeyConditionExpression": " AND ".join(expressions),
        "ExpressionAttributeNames": {f"#k{n}": name for n, (_, name, _) in enumerate(terms)},
        "ExpressionAttributeValues": encode({f":k{n}": value for n, (_, _, value) in enumerate(terms)}),
    }


def _condition(condition: Condition) -> dict[str, Any]:
    match condition:
        case Absent():
            return {"ConditionExpression": f"attribute_not_exists({PARTITION})"}
        case AbsentOrExpired():
            return {
                "ConditionExpression": f"attribute_not_exists({PARTITION}) OR #ttl <= :now",
                "ExpressionAttributeNames": {"#ttl": TTL},
                "ExpressionAttributeValues": encode({":now": condition.epoch_seconds}),
            }
        case Equals(attributes=attributes) if attributes:
            return _equals(attributes)
        case Present() | Equals():
            return {"ConditionExpression": f"attribute_exists({PARTITION})"}


def _equals(attributes: Mapping[str, str | int]) -> dict[str, Any]:
    expressions = [f"attribute_exists({PARTITION})", *(f"#a{n} = :a{n}" for n in range(len(attributes)))]
    return {
        "ConditionExpression": " AND ".join(expressions),
        "ExpressionAttributeNames": {f"#a{n}": name for n, name in enumerate(attributes)},
        "ExpressionAttributeValues": encode({f":a{n}": value for n, value in enumerate(attributes.values())}),
    }
