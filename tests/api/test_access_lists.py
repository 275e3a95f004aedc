"""A list of models shows what may be read, and nothing of the rest: neither its names, nor that there is a rest."""

from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import pytest

from modelkeep.bootstrap import open_storage
from modelkeep.domain.models import Head
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.items import head_to_item
from modelkeep.settings import Settings
from modelkeep.storage.table import Absent, Put, Table
from tests.support.access import Secured, secured
from tests.support.api import Api
from tests.support.backends import prepare
from tests.support.builders import NOW

HIDDEN = [f"{first}{number:03}" for first in "acx" for number in range(250)]
SHOWN = ["b", "b-eu", "c100-eu", "z-eu"]
"""Between the names that readers may read lie more of those that they may not than fit on a page."""

CHECK_BYTES = 9
"""What a cursor has before the name of a model: a checksum of the list's own name and of that."""


async def keep(table: Table, models: Sequence[str]) -> None:
    for first in range(0, len(models), 50):
        heads = [
            Head(model=model, generation=1, next_version=1, created_at=NOW, updated_at=NOW)
            for model in models[first : first + 50]
        ]
        await table.transact([Put(head_to_item(head, "made"), Absent()) for head in heads], request_token=str(uuid4()))


@pytest.fixture(scope="module")
async def service(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    name = f"lists-{uuid4().hex[:12]}"
    own = settings.model_copy(update={"data_dir": tmp_path_factory.mktemp("lists"), "table": name, "bucket": name})
    await prepare(own)
    async with open_storage(own) as (table, _):
        await keep(table, [*HIDDEN, *SHOWN])
    async with secured(own) as service:
        yield service


@pytest.fixture(scope="module")
async def reader(service: Secured) -> Api:
    return await service.who("reader", models=["b", "*-eu"])


async def pages(api: Api, limit: int, prefix: str = "") -> list[Any]:
    """Every page as it comes, and that each cursor names the last model of its page."""
    found: list[Any] = []
    cursor = ""
    while cursor is not None:
        page = await api.ask("GET", f"?limit={limit}&prefix={prefix}{cursor and f'&cursor={cursor}'}")
        found.append([item["model"] for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is not None:
            raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            assert raw[CHECK_BYTES:].decode() == found[-1][-1]
    return found


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (1, [["b"], ["b-eu"], ["c100-eu"], ["z-eu"]]),
        (2, [["b", "b-eu"], ["c100-eu", "z-eu"]]),
        (3, [["b", "b-eu", "c100-eu"], ["z-eu"]]),
        (4, [SHOWN]),
        (100, [SHOWN]),
    ],
)
async def test_pages_are_full_of_what_may_be_read(reader: Api, limit: int, expected: list[list[str]]) -> None:
    assert await pages(reader, limit) == expected


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("b", [["b"], ["b-eu"]]),
        ("b-", [["b-eu"]]),
        ("c100", [["c100-eu"]]),
        ("c", [["c100-eu"]]),
        ("x", [[]]),
        ("a0", [[]]),
    ],
)
async def test_no_page_reveals_models_that_may_not_be_read(reader: Api, prefix: str, expected: list[list[str]]) -> None:
    assert await pages(reader, 1, prefix) == expected


async def test_a_caller_that_may_read_nothing_sees_an_empty_registry(service: Secured) -> None:
    for denied in (
        await service.who("version.upload"),
        await service.who("reader", models=["another-*"]),
        await service.who("admin", deny=["model.read"]),
    ):
        assert await denied.ask("GET", "") == {"items": [], "next_cursor": None}


async def test_a_caller_that_may_read_everything_sees_everything(service: Secured) -> None:
    found = [item["model"] async for item in (await service.who("model.read")).walk("")]
    assert found == sorted([*HIDDEN, *SHOWN])


async def test_a_short_page_costs_few_reads(service: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    """However short the page, and however many models may not be read."""
    async with open_storage(service.settings) as (table, _):
        looks = 0
        query_index = table.query_index

        async def counted(*given: Any, **options: Any) -> Any:
            nonlocal looks
            looks += 1
            return await query_index(*given, **options)

        monkeypatch.setattr(table, "query_index", counted)
        page = await Heads(table).list(lambda name: name == "z-eu", prefix="", cursor=None, limit=1)
        assert [head.model for head in page.items] == ["z-eu"]
        assert looks <= len(HIDDEN) // 100 + 1
