"""What a newer release would write into the table: attributes that no release has, in every item and each map in it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from uuid import uuid4

from modelkeep.repositories.keys import EVENT, HEAD, TRASH, UPLOAD, trash_key, upload_key, version_key
from modelkeep.storage.table import Absent, Item, ItemKey, Present, Put, Table
from tests.support.migrations import everything

NEW: Final = "x_future"
THINGS: Final = {"by": "a newer release", "list": [{"a": None}, True], "raw": b"\x00"}
OPEN_MAPS: Final = frozenset({"registry", "trash", "artifacts", "multipart", "grants"})
"""The attributes whose value is a map, or a list of maps, of attributes. Keys of the others are a caller's names."""

Where = tuple[str | int, ...]


def marked(item: Any) -> Any:
    """The item, or a map in it, as a newer release would have written it."""
    if isinstance(item, list):
        return [marked(each) for each in item]
    within = {name: marked(value) for name, value in item.items() if name in OPEN_MAPS and value}
    return {**item, **within, NEW: THINGS}


def marks(value: Any, where: Where = ()) -> Iterator[Where]:
    """Where in an item the attributes of the newer release are, whole."""
    if isinstance(value, list):
        for position, each in enumerate(value):
            yield from marks(each, (*where, position))
    elif isinstance(value, Mapping):
        if value.get(NEW) == THINGS:
            yield where
        for name in OPEN_MAPS & value.keys():
            yield from marks(value[name], (*where, name))


async def rewrite(table: Table, *items: Item) -> None:
    for item in items:
        key = ItemKey(item["model_name"], int(item["version"]))
        before = await table.get(key)
        await table.transact([Put(item, Present() if before else Absent())], request_token=str(uuid4()))


async def take_part(table: Table) -> None:
    """Let a newer release have written every item."""
    await rewrite(table, *[marked(item) for item in (await everything(table)).values()])


async def items_of(table: Table, models: Iterable[str]) -> dict[ItemKey, Item]:
    """Every item of these models."""
    found: dict[ItemKey, Item] = {}
    for partition in [f"{kind}{model}" for model in models for kind in ("", HEAD, UPLOAD, TRASH, EVENT)]:
        after, more = None, True
        while more:
            page = await table.query(partition, after=after, limit=100)
            for item in page.items:
                after = int(item["version"])
                found[ItemKey(partition, after)] = item
            more = page.more
    return found


def places(key: ItemKey) -> list[ItemKey]:
    """Where an item may be after a change: a number can move."""
    kind, _, model = key.partition.rpartition("#")
    if f"{kind}#" in {HEAD, EVENT}:
        return [key]
    return [version_key(model, key.sort), trash_key(model, key.sort), upload_key(model, key.sort)]


def moved(where: Where, before: ItemKey, after: ItemKey) -> Where | None:
    """Where an attribute belongs in an item that has moved; `None` for what ends with the move."""
    if before.partition.startswith(UPLOAD) and after != before:
        return None if "multipart" in where else ("registry", *where)
    return None if "trash" in where and after != before else where


def lost(before: Mapping[ItemKey, Item], after: Mapping[ItemKey, Item]) -> list[tuple[ItemKey, Where]]:
    """What the newer release wrote and is no longer there, of items that are."""
    found = []
    for key, item in before.items():
        for place in places(key):
            if place in after:
                still = set(marks(after[place]))
                expected = {moved(where, key, place) for where in marks(item)} - {None}
                found += [(key, where) for where in expected if where is not None and where not in still]
    return found
