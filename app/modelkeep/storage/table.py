"""The seam for metadata: items under a partition and a sort key, written only by transactions.

What every driver promises (`tests/contract/test_table.py` holds it to this):

- `get`, `get_many` and `query` are consistent: they see every transaction that was acknowledged before they began.
- `transact` writes everything or nothing, and transactions are serialisable against each other and against `get`.
- An item is a mapping of attribute names to `str`, `int`, `Decimal`, `bool`, `None`, lists and mappings. It comes back
  as it was written, but numbers come back as `Decimal`. It carries its own key as `model_name` and `version`.
- An index holds the items that carry its attribute, and may lag behind.
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
"""Epoch seconds after which the item counts as gone (see `AbsentOrExpired`) and may be removed at any time."""

MAX_WRITES: Final = 100
"""Items in one transaction."""

MAX_ITEM_BYTES: Final = 400 * 1024
MAX_TRANSACTION_BYTES: Final = 4_000_000
"""Of all items put together."""

MAX_KEYS: Final = 100
"""Items in one `get_many`."""

Item = Mapping[str, Any]
T_co = TypeVar("T_co", covariant=True)


class ItemKey(NamedTuple):
    """Where an item lies."""

    partition: str
    sort: int


@dataclass(frozen=True, slots=True)
class Index:
    """A second way to find items: by the attribute `partition`, ordered by the attribute `sort`; keys only or all."""

    name: str
    partition: str
    sort: str


STAGE_INDEX: Final = Index("stage-index", PARTITION, "stage")
"""The public recipe's index; kept for its readers. The registry itself never decides by it."""

CATALOG_INDEX: Final = Index("catalog-index", "catalog", PARTITION)
"""Lists models without a scan. Keys only."""


@dataclass(frozen=True, slots=True)
class TablePage(Generic[T_co]):
    """Some results in order, and whether more follow."""

    items: Sequence[T_co]
    more: bool


@dataclass(frozen=True, slots=True)
class Absent:
    """No item is there."""


@dataclass(frozen=True, slots=True)
class Present:
    """An item is there."""


@dataclass(frozen=True, slots=True)
class Equals:
    """An item is there, and these attributes have these values."""

    attributes: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class AbsentOrExpired:
    """No item is there, or its `ttl` is not after `now`."""

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
    """Write nothing, and refuse the whole transaction unless the condition holds."""

    key: ItemKey
    condition: Condition


Write = Put | Delete | Check


class TableError(Exception):
    """The base of a driver's refusals."""


class ConditionFailedError(TableError):
    """Some conditions did not hold; nothing was written.

    `failed[i]` tells whether write `i` was refused, and then `items[i]` is what stood in its place (`None` if
    nothing did).
    """

    def __init__(self, failed: Sequence[bool], items: Sequence[Item | None]) -> None:
        super().__init__("a condition did not hold")
        self.failed = failed
        self.items = items


class TransactionConflictError(TableError):
    """Another writer or a limit of the table was in the way; this attempt wrote nothing, a later one may."""


class CommitStateUnknownError(TableError):
    """The reply was lost: the transaction may have happened, may happen yet, or may not.

    Sending the same writes again with the same token is safe: they take effect at most once.
    """


class TableUnavailableError(UnavailableError, TableError):
    """The table cannot be used, and nothing was written. The sentence says what an operator should do."""


class Table(Protocol):
    """Metadata items. See the module docstring for what holds of every driver."""

    async def get(self, key: ItemKey) -> Item | None:
        """Read one item, consistently. Raises `TableUnavailableError`."""
        ...

    async def get_many(self, keys: Sequence[ItemKey]) -> Sequence[Item | None]:
        """Read up to 100 items, each consistently but not at one instant; answers in the order asked.

        Raises `TableUnavailableError`.
        """
        ...

    async def query(
        self, partition: str, *, after: int | None = None, descending: bool = False, limit: int
    ) -> TablePage[Item]:
        """Read a partition in the order of its sort key, consistently, from beyond `after`.

        A page may be shorter than `limit` although more follow. Raises `TableUnavailableError`.
        """
        ...

    async def query_index(
        self, index: Index, partition: str, *, prefix: str = "", after: ItemKey | None = None, limit: int
    ) -> TablePage[ItemKey]:
        """List keys of an index partition whose sort attribute starts with `prefix`, in its order; may lag.

        `after` is the last key of the page before; where the sort attribute is no part of the key, it goes with a
        `prefix` that is the whole value. Raises `TableUnavailableError`.
        """
        ...

    async def scan(self, *, after: ItemKey | None = None, limit: int) -> TablePage[Item]:
        """Read everything, in no promised order, each item consistently: for operators, never in a request.

        `after` is the key of the last item of the page before. Raises `TableUnavailableError`.
        """
        ...

    async def transact(self, writes: Sequence[Write], *, request_token: str) -> None:
        """Apply all writes (1 to 100, each to another key) or none.

        `request_token` is the same for every resend of the same writes, and they take effect once. Raises
        `ConditionFailedError`, `TransactionConflictError`, `CommitStateUnknownError` or `TableUnavailableError`.
        """
        ...


def check_keys(keys: Sequence[ItemKey]) -> None:
    """Raise `ValueError` for more keys than one read may name: a fault of the calling code."""
    if len(keys) > MAX_KEYS:
        raise ValueError(f"a read names at most {MAX_KEYS} keys, not {len(keys)}")


def check_writes(writes: Sequence[Write]) -> None:
    """Raise `ValueError` for a transaction that no driver could take: a fault of the calling code."""
    if not 1 <= len(writes) <= MAX_WRITES:
        raise ValueError(f"a transaction has 1 to {MAX_WRITES} writes, not {len(writes)}")
    if len({write.key for write in writes}) != len(writes):
        raise ValueError("a transaction names each key once")
    _check_items([write.item for write in writes if isinstance(write, Put)])


def _check_items(items: Sequence[Item]) -> None:
    sizes = [item_size(item) for item in items]
    if max(sizes, default=0) > MAX_ITEM_BYTES:
        raise ValueError(f"an item has at most {MAX_ITEM_BYTES} bytes, not {max(sizes)}")
    if sum(sizes) > MAX_TRANSACTION_BYTES:
        raise ValueError(f"a transaction has at most {MAX_TRANSACTION_BYTES} bytes, not {sum(sizes)}")
    for item in items:
        for name in (PARTITION, STAGE_INDEX.sort, CATALOG_INDEX.partition):
            if name in item and not (isinstance(item[name], str) and item[name]):
                raise ValueError(f"{name} is a key, and so a text that is not empty")
