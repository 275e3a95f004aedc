"""The seam for metadata: items under a partition and a sort key, written only by transactions.

What every driver promises (verified by `tests/contract/test_table.py`):

- `get`, `get_many` and `query` are consistent: they see every transaction that was acknowledged before they began.
- `transact` writes everything or nothing, and transactions are serialisable against each other and against `get`.
- An item is a mapping of attribute names to `str`, `int`, `Decimal`, `bool`, `None`, lists and mappings. It is returned
  as it was written, but numbers as `Decimal`. It has its own key as the attributes `model_name` and `version`.
- An index contains the items that have its attribute, and may lag.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from modelkeep.domain.errors import UnavailableError
from modelkeep.storage.attributes import item_size

PARTITION: Final = "model_name"
SORT: Final = "version"
TTL: Final = "ttl"
"""Epoch seconds after which the item counts as absent (see `AbsentOrExpired`) and may be removed at any time."""

MAX_WRITES: Final = 100
"""Items in one transaction, as in DynamoDB; so are the limits that follow.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""

MAX_ITEM_BYTES: Final = 400 * 1024
MAX_TRANSACTION_BYTES: Final = 4_000_000
"""Of all items put together."""

MAX_KEYS: Final = 100
"""Items in one `get_many`."""

Item = Mapping[str, Any]
T_co = TypeVar("T_co", covariant=True)


class ItemKey(NamedTuple):
    """The key of an item."""

    partition: str
    sort: int


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index: items by the attribute `partition`, in the order of the attribute `sort`."""

    name: str
    partition: str
    sort: str


STAGE_INDEX: Final = Index("stage-index", PARTITION, "stage")
"""The public recipe's index, with whole items, for its readers. The registry itself never decides by it."""

CATALOG_INDEX: Final = Index("catalog-index", "catalog", PARTITION)
"""Lists models and tokens without a scan. Contains keys only."""


@dataclass(frozen=True, slots=True)
class TablePage(Generic[T_co]):
    """Some results in order, and whether there are more."""

    items: Sequence[T_co]
    more: bool


@dataclass(frozen=True, slots=True)
class Absent:
    """No item has the key."""


@dataclass(frozen=True, slots=True)
class Present:
    """An item has the key."""


@dataclass(frozen=True, slots=True)
class Equals:
    """An item has the key, and its attributes have these values."""

    attributes: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class AbsentOrExpired:
    """No item has the key, or the `ttl` of that item is not after `now`."""

    now: datetime

    @property
    def epoch_seconds(self) -> int:
        """The largest `ttl` that has expired."""
        return int(self.now.timestamp())


Condition = Absent | Present | Equals | AbsentOrExpired


@dataclass(frozen=True, slots=True)
class Put:
    """Write the whole item if the condition holds."""

    item: Item
    condition: Condition

    @property
    def key(self) -> ItemKey:
        """The item's own key."""
        return ItemKey(self.item[PARTITION], int(self.item[SORT]))


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the item if the condition holds."""

    key: ItemKey
    condition: Condition


@dataclass(frozen=True, slots=True)
class Check:
    """Write nothing, but fail the whole transaction unless the condition holds."""

    key: ItemKey
    condition: Condition


Write = Put | Delete | Check


class TableError(Exception):
    """Base of the errors of a driver."""


class ConditionFailedError(TableError):
    """Some conditions did not hold; nothing was written.

    `failed[i]` is whether the condition of write `i` did not hold, and then `items[i]` is the item that has the key,
    `None` if there is none.
    """

    def __init__(self, failed: Sequence[bool], items: Sequence[Item | None]) -> None:
        super().__init__("a condition did not hold")
        self.failed = failed
        self.items = items


class TransactionConflictError(TableError):
    """Another transaction or a throughput limit prevented this one. It wrote nothing; a later attempt may succeed."""


class CommitStateUnknownError(TableError):
    """The reply was lost: the transaction may have been applied, may be applied yet, or never.

    It is safe to send the same writes again under the same request token: they take effect at most once.
    """


class RequestRejectedError(TableError):
    """The table rejected a request as invalid: a bug of the caller. Of its writes none was applied, nor will be.

    That holds for a resend too: a table that had applied the writes would know their request token.
    """


class WritesTooLargeError(RequestRejectedError, ValueError):
    """An item, or the transaction, has more bytes than a table takes; nothing was written."""


class TableUnavailableError(UnavailableError, TableError):
    """The table cannot be used, and nothing was written. The message says what an operator should do."""


class Table(Protocol):
    """Metadata items. The module docstring has the promises of every driver."""

    async def get(self, key: ItemKey) -> Item | None:
        """Read one item, consistently. Raises `TableUnavailableError`."""
        ...

    async def get_many(self, keys: Sequence[ItemKey]) -> Sequence[Item | None]:
        """Read up to 100 items, each consistently but not at one instant; results in the order of `keys`.

        Raises `TableUnavailableError`.
        """
        ...

    async def query(
        self, partition: str, *, after: int | None = None, descending: bool = False, limit: int
    ) -> TablePage[Item]:
        """Read a partition in the order of its sort key, consistently, starting behind `after`.

        A page may be shorter than `limit` although there are more. Raises `TableUnavailableError`.
        """
        ...

    async def query_index(
        self, index: Index, partition: str, *, prefix: str = "", after: ItemKey | None = None, limit: int
    ) -> TablePage[ItemKey]:
        """List the keys of an index partition whose sort attribute starts with `prefix`, in its order; may lag.

        `after` is the last key of the page before. Where the sort attribute is not part of the key, `after` requires a
        `prefix` that is the attribute's whole value. Raises `TableUnavailableError`.
        """
        ...

    async def scan(self, *, after: ItemKey | None = None, limit: int) -> TablePage[Item]:
        """Read all items, in no promised order, each consistently: for operators, never in a request.

        `after` is the key of the last item of the page before. Raises `TableUnavailableError`.
        """
        ...

    async def transact(self, writes: Sequence[Write], *, request_token: str) -> None:
        """Apply all writes (1 to 100, each to another key) or none.

        Idempotent for ten minutes: every resend of the same writes has the same `request_token`, and they take effect
        once; other writes under it raise `ValueError`. Raises `ConditionFailedError`, `TransactionConflictError`,
        `CommitStateUnknownError` or `TableUnavailableError`; `WritesTooLargeError`, and `RequestRejectedError` for what
        the table does not accept otherwise.
        """
        ...


def check_keys(keys: Sequence[ItemKey]) -> None:
    """Raises `ValueError`, a bug of the caller, for more keys than one read may have."""
    if len(keys) > MAX_KEYS:
        raise ValueError(f"a read has at most {MAX_KEYS} keys, not {len(keys)}")


def check_writes(writes: Sequence[Write]) -> None:
    """Raises `ValueError`, a bug of the caller, for a transaction that DynamoDB would not accept.

    That is `WritesTooLargeError` for items that are too large, which may have come from other programs.
    """
    if not 1 <= len(writes) <= MAX_WRITES:
        raise ValueError(f"a transaction has 1 to {MAX_WRITES} writes, not {len(writes)}")
    if len({write.key for write in writes}) != len(writes):
        raise ValueError("a transaction writes each key at most once")
    _check_items([write.item for write in writes if isinstance(write, Put)])


def _check_items(items: Sequence[Item]) -> None:
    sizes = [item_size(item) for item in items]
    if max(sizes, default=0) > MAX_ITEM_BYTES:
        raise WritesTooLargeError(f"an item has at most {MAX_ITEM_BYTES} bytes, not {max(sizes)}")
    if sum(sizes) > MAX_TRANSACTION_BYTES:
        raise WritesTooLargeError(f"a transaction has at most {MAX_TRANSACTION_BYTES} bytes, not {sum(sizes)}")
    for item in items:
        for name in (PARTITION, STAGE_INDEX.sort, CATALOG_INDEX.partition):
            if name in item and not (isinstance(item[name], str) and item[name]):
                raise ValueError(f"{name} is a key and must be a non-empty text")
