"""What `modelkeep.storage.table` promises of reads and transactions, on every driver."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from modelkeep.storage.table import (
    CATALOG_INDEX,
    STAGE_INDEX,
    Absent,
    AbsentOrExpired,
    Check,
    Condition,
    ConditionFailedError,
    Delete,
    Equals,
    Index,
    Item,
    ItemKey,
    Present,
    Put,
    Table,
    TablePage,
    Write,
)

pytestmark = pytest.mark.every_backend

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
HERE = ItemKey("model", 1)
ELSEWHERE = ItemKey("other", 1)


def item(key: ItemKey = HERE, **attributes: Any) -> Item:
    return {"model_name": key.partition, "version": key.sort, **attributes}


async def transact(table: Table, *writes: Write, request_token: str | None = None) -> None:
    await table.transact(writes, request_token=request_token or str(uuid.uuid4()))


async def add(table: Table, *items: Item) -> None:
    for start in range(0, len(items), 100):
        await transact(table, *(Put(item, Absent()) for item in items[start : start + 100]))


async def index_page(table: Table, expected: int, *query: Any, **options: Any) -> TablePage[ItemKey]:
    """Ask an index until it has caught up."""
    deadline = time.monotonic() + 10
    while True:
        page = await table.query_index(*query, **options)
        if len(page.items) == expected or time.monotonic() > deadline:
            return page
        await asyncio.sleep(0.05)


def sorts(page: TablePage[Item]) -> list[int]:
    return [int(found["version"]) for found in page.items]


# Reads


@pytest.mark.parametrize(
    "value",
    [
        "text",
        "",
        "ünï ☃ \U0001f600 \x00 \n \"'",
        7,
        -1,
        0,
        2**32 - 1,
        True,
        False,
        None,
        Decimal("0.1"),
        Decimal("0.9670000000000001"),
        Decimal("-1E-130"),
        Decimal("9.9999999999999999999999999999999999999E125"),
        Decimal(12345678901234567890123456789012345678),
        Decimal("1.2345678901234567890123456789012345678"),
        [],
        {},
        [1, "a", None, [True, {"deep": [{}]}]],
        {"accuracy": Decimal("0.967"), " ": "nothing", "a.b#c:d": {"e": []}},
    ],
    ids=repr,
)
async def test_a_value_comes_back_as_it_was_written(table: Table, value: Any) -> None:
    await add(table, item(value=value))
    found = await table.get(HERE)
    assert found == item(value=value)
    assert type(found["value"]) is (Decimal if type(value) is int else type(value))


async def test_an_item_carries_its_own_key(table: Table) -> None:
    await add(table, item())
    assert await table.get(HERE) == {"model_name": "model", "version": Decimal(1)}


async def test_nothing_is_read_where_nothing_is(table: Table) -> None:
    await add(table, item())
    assert await table.get(ItemKey("model", 2)) is None
    assert await table.get(ItemKey("absent", 1)) is None


async def test_an_acknowledged_write_is_seen_by_every_read(table: Table) -> None:
    for n in range(1, 20):
        await add(table, item(ItemKey("model", n)))
        assert await table.get(ItemKey("model", n)) is not None
        assert await table.get_many([ItemKey("model", n)]) != [None]
        assert sorts(await table.query("model", descending=True, limit=1)) == [n]


async def test_get_many_answers_in_the_order_asked_with_gaps(table: Table) -> None:
    await add(table, item(ItemKey("a", 1)), item(ItemKey("b", 2)))
    found = await table.get_many([ItemKey("b", 2), ItemKey("absent", 1), ItemKey("a", 1), ItemKey("b", 2)])
    assert [each and each["model_name"] for each in found] == ["b", None, "a", "b"]


async def test_get_many_reads_up_to_100_items_of_any_size(table: Table) -> None:
    keys = [ItemKey("model", n) for n in range(1, 101)]
    for key in keys[:50]:
        await add(table, item(key, text="x" * 390_000))
    await add(table, *(item(key) for key in keys[50:]))
    found = await table.get_many(list(reversed(keys)))
    assert [each and int(each["version"]) for each in found] == list(range(100, 0, -1))


async def test_get_many_of_nothing_is_nothing(table: Table) -> None:
    assert list(await table.get_many([])) == []


async def test_get_many_of_more_than_100_keys_is_a_fault(table: Table) -> None:
    with pytest.raises(ValueError, match="100"):
        await table.get_many([ItemKey("model", n) for n in range(101)])


async def test_a_partition_is_read_in_the_order_of_its_sort_key(table: Table) -> None:
    await add(table, *(item(ItemKey("model", n)) for n in (10, 9, 100, 1, 2**32 - 1)), item(ELSEWHERE))
    assert sorts(await table.query("model", limit=10)) == [1, 9, 10, 100, 2**32 - 1]
    assert sorts(await table.query("model", descending=True, limit=10)) == [2**32 - 1, 100, 10, 9, 1]


async def test_a_query_starts_beyond_after(table: Table) -> None:
    await add(table, *(item(ItemKey("model", n)) for n in (1, 2, 4, 5)))
    assert sorts(await table.query("model", after=2, limit=10)) == [4, 5]
    assert sorts(await table.query("model", after=3, limit=10)) == [4, 5]
    assert sorts(await table.query("model", after=4, descending=True, limit=10)) == [2, 1]
    assert sorts(await table.query("model", after=5, limit=10)) == []
    assert sorts(await table.query("model", after=0, limit=1)) == [1]


async def test_a_page_has_at_most_its_limit_and_knows_whether_more_follow(table: Table) -> None:
    await add(table, *(item(ItemKey("model", n)) for n in range(1, 6)))
    assert (await table.query("model", limit=4)).more
    assert sorts(await table.query("model", limit=4)) == [1, 2, 3, 4]
    assert not (await table.query("model", limit=5)).more
    assert not (await table.query("model", limit=6)).more
    assert not (await table.query("model", after=4, limit=1)).more
    assert await table.query("absent", limit=5) == TablePage([], more=False)


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_together_hold_everything_once(table: Table, descending: bool) -> None:
    await add(table, *(item(ItemKey("model", n), text="x" * 1000) for n in range(1, 251)))
    seen: list[int] = []
    page = await table.query("model", descending=descending, limit=60)
    while page.items:
        seen += sorts(page)
        page = await table.query("model", after=seen[-1], descending=descending, limit=60)
    assert seen == sorted(range(1, 251), reverse=descending)


async def test_pages_of_large_items_together_hold_everything_once(table: Table) -> None:
    for n in range(1, 9):
        await add(table, item(ItemKey("model", n), text="x" * 390_000))
    seen: list[int] = []
    while True:
        page = await table.query("model", after=seen[-1] if seen else None, limit=100)
        seen += sorts(page)
        if not page.more:
            break
    assert seen == list(range(1, 9))


async def test_a_scan_sees_everything_once(table: Table) -> None:
    keys = {ItemKey(f"model-{n % 7}", n) for n in range(1, 131)} | {ItemKey("$head#model-1", 0)}
    await add(table, *(item(key) for key in keys))
    seen: list[ItemKey] = []
    while True:
        page = await table.scan(after=seen[-1] if seen else None, limit=20)
        assert len(page.items) <= 20
        seen += [ItemKey(found["model_name"], int(found["version"])) for found in page.items]
        if not page.more:
            break
    assert len(seen) == 131
    assert set(seen) == keys


# Indexes


def heads(*names: str) -> Sequence[Item]:
    return [item(ItemKey(f"$head#{name}", 0), catalog="models", generation=1) for name in names]


async def test_an_index_lists_keys_in_the_order_of_its_sort_attribute(table: Table) -> None:
    await add(table, *heads("b", "a", "B", "ab", "a-b"))
    page = await index_page(table, 5, CATALOG_INDEX, "models", limit=10)
    assert page == TablePage([ItemKey(f"$head#{name}", 0) for name in ("B", "a", "a-b", "ab", "b")], more=False)


async def test_an_index_holds_only_the_items_that_carry_its_attribute(table: Table) -> None:
    await add(table, *heads("a"), item(ItemKey("$head#b", 0)), item(ItemKey("$head#c", 0), catalog="others"), item())
    assert (await index_page(table, 1, CATALOG_INDEX, "models", limit=10)).items == [ItemKey("$head#a", 0)]
    assert (await index_page(table, 1, CATALOG_INDEX, "others", limit=10)).items == [ItemKey("$head#c", 0)]
    assert (await index_page(table, 0, CATALOG_INDEX, "absent", limit=10)).items == []


async def test_an_index_is_searched_by_prefix(table: Table) -> None:
    await add(table, *heads("a", "ab", "abc", "abd", "ac", "b"))
    page = await index_page(table, 3, CATALOG_INDEX, "models", prefix="$head#ab", limit=10)
    assert page.items == [ItemKey("$head#ab", 0), ItemKey("$head#abc", 0), ItemKey("$head#abd", 0)]
    assert (await index_page(table, 0, CATALOG_INDEX, "models", prefix="$head#x", limit=10)).items == []


@pytest.mark.parametrize("prefix", ["", "$head#m"])
async def test_pages_of_an_index_together_hold_everything_once(table: Table, prefix: str) -> None:
    await add(table, *heads(*(f"m{n:03}" for n in range(250))))
    await index_page(table, 250, CATALOG_INDEX, "models", limit=300)
    seen: list[ItemKey] = []
    while True:
        after = seen[-1] if seen else None
        page = await table.query_index(CATALOG_INDEX, "models", prefix=prefix, after=after, limit=50)
        assert len(page.items) == 50
        seen += page.items
        if not page.more:
            break
    assert seen == [ItemKey(f"$head#m{n:03}", 0) for n in range(250)]


async def test_an_index_goes_on_after_a_key_that_is_gone(table: Table) -> None:
    await add(table, *heads("a", "b", "c"))
    await transact(table, Delete(ItemKey("$head#b", 0), Present()))
    await index_page(table, 2, CATALOG_INDEX, "models", limit=10)
    page = await table.query_index(CATALOG_INDEX, "models", after=ItemKey("$head#b", 0), limit=10)
    assert page.items == [ItemKey("$head#c", 0)]


async def test_the_stage_index_pages_within_one_stage(table: Table) -> None:
    staged = [item(ItemKey("model", n), stage="staging" if n % 2 else "archived") for n in range(1, 11)]
    await add(table, *staged)
    await index_page(table, 10, STAGE_INDEX, "model", limit=20)
    seen: list[ItemKey] = []
    while True:
        after = seen[-1] if seen else None
        page = await table.query_index(STAGE_INDEX, "model", prefix="staging", after=after, limit=2)
        seen += page.items
        if not page.more:
            break
    assert sorted(seen) == [ItemKey("model", n) for n in (1, 3, 5, 7, 9)]
    assert len(seen) == 5


@pytest.mark.parametrize("index", [STAGE_INDEX, CATALOG_INDEX], ids=lambda index: index.name)
async def test_an_index_follows_what_is_written(table: Table, index: Index) -> None:
    partition = "model" if index is STAGE_INDEX else "models"
    await add(table, item(stage="staging", catalog="models"))
    assert (await index_page(table, 1, index, partition, limit=5)).items == [HERE]
    await transact(table, Put(item(), Present()))
    assert (await index_page(table, 0, index, partition, limit=5)).items == []


# Conditions

CONDITIONS: list[tuple[str, Condition, Item | None, bool]] = [
    ("absent where nothing is", Absent(), None, True),
    ("absent where something is", Absent(), item(), False),
    ("present where nothing is", Present(), None, False),
    ("present where something is", Present(), item(), True),
    ("equal where nothing is", Equals({"n": 1}), None, False),
    ("equal number", Equals({"n": 1}), item(n=1), True),
    ("equal number, other spelling", Equals({"n": 100}), item(n=Decimal("1.00E2")), True),
    ("other number", Equals({"n": 1}), item(n=2), False),
    ("equal text", Equals({"s": "a"}), item(s="a"), True),
    ("empty text", Equals({"s": ""}), item(s=""), True),
    ("other text", Equals({"s": "a"}), item(s="A"), False),
    ("all equal", Equals({"n": 1, "s": "a", "version": 1}), item(n=1, s="a"), True),
    ("one of two equal", Equals({"n": 1, "s": "a"}), item(n=1, s="b"), False),
    ("no such attribute", Equals({"n": 1}), item(), False),
    ("text is no number", Equals({"n": "1"}), item(n=1), False),
    ("true is no number", Equals({"n": 1}), item(n=True), False),
    ("null is no text", Equals({"s": ""}), item(s=None), False),
    ("equal in nothing, where nothing is", Equals({}), None, False),
    ("equal in nothing, where something is", Equals({}), item(), True),
    ("expired where nothing is", AbsentOrExpired(NOW), None, True),
    ("expired before now", AbsentOrExpired(NOW), item(ttl=EPOCH - 1), True),
    ("expired now", AbsentOrExpired(NOW), item(ttl=EPOCH), True),
    ("expired a moment ago", AbsentOrExpired(NOW + timedelta(milliseconds=999)), item(ttl=EPOCH), True),
    ("not expired", AbsentOrExpired(NOW + timedelta(milliseconds=999)), item(ttl=EPOCH + 1), False),
    ("never expires", AbsentOrExpired(NOW), item(), False),
    ("ttl is no number", AbsentOrExpired(NOW), item(ttl="0"), False),
]


@pytest.mark.parametrize("kind", [Put, Delete, Check])
@pytest.mark.parametrize(
    ("condition", "before", "holds"), [row[1:] for row in CONDITIONS], ids=[r[0] for r in CONDITIONS]
)
async def test_a_write_happens_exactly_if_its_condition_holds(
    table: Table, kind: type[Write], condition: Condition, before: Item | None, holds: bool
) -> None:
    if before is not None:
        await add(table, before)
    after = item(after=True)
    write = Put(after, condition) if kind is Put else kind(HERE, condition)  # type: ignore[arg-type]
    beside = Put(item(ELSEWHERE), Absent())
    if holds:
        await transact(table, beside, write)
    else:
        with pytest.raises(ConditionFailedError):
            await transact(table, beside, write)
    expected = {Put: after, Delete: None, Check: before}[kind] if holds else before
    assert await table.get(HERE) == expected
    assert (await table.get(ELSEWHERE) is not None) == holds


# Transactions


async def test_a_put_replaces_the_whole_item(table: Table) -> None:
    await add(table, item(a=1, b=2))
    await transact(table, Put(item(b=3), Equals({"a": 1})))
    assert await table.get(HERE) == item(b=3)


async def test_a_deleted_item_is_gone(table: Table) -> None:
    await add(table, item())
    await transact(table, Delete(HERE, Present()))
    assert await table.get(HERE) is None
    await add(table, item())


async def test_a_refusal_writes_nothing_at_all(table: Table) -> None:
    await add(table, item(n=1), item(ItemKey("doomed", 1)))
    before = await table.scan(limit=100)
    with pytest.raises(ConditionFailedError):
        await transact(
            table,
            Put(item(n=2), Equals({"n": 1})),
            Delete(ItemKey("doomed", 1), Present()),
            Put(item(ItemKey("new", 1)), Absent()),
            Check(ItemKey("absent", 1), Present()),
        )
    assert (await table.scan(limit=100)).items == before.items


async def test_a_refusal_tells_which_failed_and_what_stood_there(table: Table) -> None:
    await add(table, item(n=1, owner="me"), item(ItemKey("held", 1), n=7))
    with pytest.raises(ConditionFailedError) as refusal:
        await transact(
            table,
            Put(item(ItemKey("new", 1)), Absent()),
            Put(item(n=2), Absent()),
            Check(ItemKey("held", 1), Equals({"n": 7})),
            Delete(ItemKey("absent", 1), Present()),
            Check(ItemKey("held", 2), Equals({"n": 7})),
        )
    assert list(refusal.value.failed) == [False, True, False, True, True]
    assert list(refusal.value.items) == [None, item(n=1, owner="me"), None, None, None]


@pytest.mark.parametrize("kind", [Put, Delete, Check])
async def test_every_kind_of_write_tells_what_stood_there(table: Table, kind: type[Write]) -> None:
    await add(table, item(nested={"a": [Decimal("0.1")]}))
    write = Put(item(), Absent()) if kind is Put else kind(HERE, Absent())  # type: ignore[arg-type]
    with pytest.raises(ConditionFailedError) as refusal:
        await transact(table, write)
    assert list(refusal.value.items) == [item(nested={"a": [Decimal("0.1")]})]


async def test_a_check_alone_writes_nothing(table: Table) -> None:
    await add(table, item(n=1))
    await transact(table, Check(HERE, Present()), Check(ELSEWHERE, Absent()))
    assert (await table.scan(limit=10)).items == [item(n=1)]


async def test_a_transaction_has_up_to_100_writes(table: Table) -> None:
    writes = [Put(item(ItemKey("model", n)), Absent()) for n in range(1, 102)]
    with pytest.raises(ValueError, match="not 101"):
        await transact(table, *writes)
    assert (await table.scan(limit=1)).items == []
    await transact(table, *writes[:100])
    assert len((await table.query("model", limit=200)).items) == 100


async def test_a_transaction_of_no_writes_is_a_fault(table: Table) -> None:
    with pytest.raises(ValueError, match="not 0"):
        await transact(table)


async def test_a_transaction_that_names_a_key_twice_is_a_fault(table: Table) -> None:
    with pytest.raises(ValueError, match="once"):
        await transact(table, Put(item(), Absent()), Check(HERE, Absent()))
    assert await table.get(HERE) is None


async def test_an_item_has_up_to_400_kib(table: Table) -> None:
    overhead = len("model_name") + len("model") + len("version") + 3 + len("text")
    await add(table, item(text="x" * (409_600 - overhead)))
    with pytest.raises(ValueError, match="409600"):
        await transact(table, Put(item(text="x" * (409_601 - overhead)), Present()), Put(item(ELSEWHERE), Absent()))
    assert await table.get(ELSEWHERE) is None
    found = await table.get(HERE)
    assert found is not None
    assert len(found["text"]) == 409_600 - overhead


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_transaction_has_up_to_4_megabytes(table: Table) -> None:
    writes = [Put(item(ItemKey("model", n), text="x" * 390_000), Absent()) for n in range(1, 12)]
    with pytest.raises(ValueError, match="4000000"):
        await transact(table, *writes)
    assert await table.get(HERE) is None
    await transact(table, *writes[:10])


@pytest.mark.parametrize("attributes", [{"stage": ""}, {"stage": 1}, {"catalog": None}, {"model_name": ""}], ids=repr)
async def test_an_attribute_of_an_index_is_a_text_that_is_not_empty(table: Table, attributes: Item) -> None:
    with pytest.raises(ValueError, match=next(iter(attributes))):
        await transact(table, Put({**item(), **attributes}, Absent()))


@pytest.mark.parametrize(
    ("value", "error"),
    [(0.1, TypeError), (Decimal("1E126"), ValueError), (10**39 + 1, ValueError), ({"": 1}, ValueError)],
)
async def test_what_cannot_be_kept_exactly_is_a_fault(table: Table, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await transact(table, Put(item(ELSEWHERE), Absent()), Put(item(value=value), Absent()))
    assert await table.get(ELSEWHERE) is None


async def test_what_other_programs_store_can_be_put_again(table: Table) -> None:
    foreign = item(
        names=frozenset({"a", "b"}),
        numbers=frozenset({Decimal(1), Decimal("2.5")}),
        blobs=frozenset({b"\x00", b"\xff"}),
        blob=b"\x00\xff",
    )
    await add(table, foreign)
    found = await table.get(HERE)
    assert found == foreign
    await transact(table, Put({**found, "stage": "archived"}, Present()))
    assert await table.get(HERE) == {**foreign, "stage": "archived"}


# Tokens


async def test_a_resend_with_the_same_token_takes_effect_once(table: Table) -> None:
    token = str(uuid.uuid4())
    write = Put(item(owner="first"), Absent())
    await transact(table, write, request_token=token)
    await transact(table, write, request_token=token)
    assert await table.get(HERE) == item(owner="first")


async def test_a_resend_has_no_effect_after_others_changed_the_item(table: Table) -> None:
    token = str(uuid.uuid4())
    await transact(table, Put(item(owner="first"), Absent()), request_token=token)
    await transact(table, Delete(HERE, Present()))
    await transact(table, Put(item(owner="first"), Absent()), request_token=token)
    assert await table.get(HERE) is None


async def test_a_token_with_other_writes_is_a_fault(table: Table) -> None:
    token = str(uuid.uuid4())
    await transact(table, Put(item(n=1), Absent()), request_token=token)
    with pytest.raises(ValueError, match="other writes"):
        await transact(table, Put(item(n=2), Present()), request_token=token)
    assert await table.get(HERE) == item(n=1)


async def test_a_refused_token_may_be_sent_again(table: Table) -> None:
    token = str(uuid.uuid4())
    write = Put(item(n=2), Present())
    with pytest.raises(ConditionFailedError):
        await transact(table, write, request_token=token)
    await add(table, item(n=1))
    await transact(table, write, request_token=token)
    assert await table.get(HERE) == item(n=2)
