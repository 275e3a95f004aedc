"""`?wait=` (long polling): an answer when another version answers to the ref, or 304 in the end."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from modelkeep import main
from modelkeep.http.server.graceful_shutdown import GracefulShutdown
from modelkeep.settings import Settings
from modelkeep.storage.local.sqlite import SqliteTable
from modelkeep.storage.table import Item, ItemKey
from tests.support.api import Api, check_problem, serving
from tests.support.backends import environment, local_environment, prepare

LONG = 50


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll every 50 ms."""
    if not {"slow", "never"} & set(request.fixturenames):
        monkeypatch.setattr("modelkeep.services.reading.head_poller.POLL_SECONDS", 0.05)


@pytest.fixture
def slow() -> None:
    """Poll every second, as in production."""


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not poll before any of these tests is over."""
    monkeypatch.setattr("modelkeep.services.reading.head_poller.POLL_SECONDS", 2.0 * LONG)


@pytest.fixture
async def two(api: Api, model: str) -> str:
    """A model of two versions; the first is production and champion."""
    for _ in range(2):
        await api.register(model)
    await api.promote(model, 1)
    await api.ask("PUT", f"/{model}/aliases/champion", {"version": 1})
    return model


async def etag(api: Api, model: str, ref: str = "production") -> str:
    answer = await api.request("GET", f"/models/{model}/versions/{ref}/download")
    return str(answer.headers["etag"])


async def wait(
    api: Api, model: str, seconds: float | str, *, ref: str = "production", known: str | None = None, more: str = ""
) -> tuple[httpx.Response, float]:
    """An answer, and after how long it came."""
    headers = {} if known is None else {"if-none-match": known}
    began = time.monotonic()
    path = f"/models/{model}/versions/{ref}/download?wait={seconds}{more}"
    answer = await api.request("GET", path, headers=headers)
    return answer, time.monotonic() - began


async def waiting(
    api: Api, model: str, *, ref: str = "production", more: str = ""
) -> "asyncio.Task[tuple[httpx.Response, float]]":
    """A request that knows the version that answers now, and has waited for a while."""
    known = await etag(api, model, ref)
    task = asyncio.create_task(wait(api, model, LONG, ref=ref, known=known, more=more))
    await asyncio.sleep(0.3)
    assert not task.done()
    return task


async def test_a_wait_ends_with_304(api: Api, two: str) -> None:
    known = await etag(api, two)
    answer, seconds = await wait(api, two, 0.5, known=known)
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", known)
    assert 0.5 <= seconds < 10


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize("ref", ["production", "champion", "latest", "staging"])
async def test_a_change_by_this_process_ends_a_wait_at_once(api: Api, two: str, ref: str) -> None:
    task = await waiting(api, two, ref=ref)
    if ref == "production":
        await api.promote(two, 2)
    elif ref == "champion":
        await api.ask("PUT", f"/{two}/aliases/champion", {"version": 2})
    else:
        await api.register(two)
    answer, seconds = await task
    assert (answer.status_code, answer.json()["version"]) == (200, 2 if ref in {"production", "champion"} else 3)
    assert answer.headers["etag"] == f'"{answer.json()["commit"]}"'
    assert answer.json()["generation"] == await api.generation(two)
    assert seconds < LONG / 2


async def test_a_promotion_by_another_process_ends_a_wait(api: Api, settings: Settings, two: str) -> None:
    task = await waiting(api, two)
    async with serving(settings) as other:
        await other.promote(two, 2)
        answer, seconds = await task
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert seconds < LONG / 2


async def test_other_formats_wait_too(api: Api, two: str) -> None:
    task = await waiting(api, two, more="&format=env")
    await api.promote(two, 2)
    answer, _ = await task
    assert "MODEL_VERSION=2\n" in answer.text


async def test_an_unrelated_change_does_not_end_a_wait(api: Api, two: str) -> None:
    task = await waiting(api, two)
    await api.ask("PUT", f"/{two}/aliases/other", {"version": 2})
    await api.ask("PATCH", f"/{two}", {"description": "changed"})
    await asyncio.sleep(0.3)
    assert not task.done()
    await api.promote(two, 2)
    assert (await task)[0].json()["version"] == 2


async def test_there_is_nothing_to_wait_for_without_a_known_version(api: Api, two: str) -> None:
    other = '"' + "0" * 40 + '"'
    for known in (None, "", "x", other, await etag(api, two, "2")):
        answer, seconds = await wait(api, two, LONG, known=known)
        assert (answer.status_code, seconds < LONG / 2) == (200, True), known


async def test_a_version_that_is_not_among_several_known_ends_it(api: Api, two: str) -> None:
    both = f"{await etag(api, two)}, {await etag(api, two, '2')}"
    task = asyncio.create_task(wait(api, two, LONG, known=both))
    await api.promote(two, 2)
    await asyncio.sleep(0.3)
    assert not task.done()
    await api.promote(two, await api.register(two))
    assert (await task)[0].json()["version"] == 3


@pytest.mark.parametrize("taken", ["stage", "model", "alias"])
async def test_a_ref_that_is_removed_meanwhile_is_not_found(api: Api, two: str, taken: str) -> None:
    task = await waiting(api, two, ref="champion" if taken == "alias" else "production")
    if taken != "stage":
        await api.ask("DELETE", f"/{two}/aliases/champion", status=204)
    if taken != "alias":
        await api.ask("PUT", f"/{two}/versions/1/stage", {"stage": "archived"})
    if taken == "model":
        await api.ask("DELETE", f"/{two}", status=204)
    answer, seconds = await task
    assert answer.status_code == 404
    assert answer.json()["code"] in {"version_not_found", "model_not_found"}
    assert seconds < LONG / 2


@pytest.mark.parametrize("seconds", ["61", "60.001", "-1", "-0.1", "nan", "inf", "x", "", "1e9"])
async def test_any_other_time_is_refused(api: Api, two: str, seconds: str) -> None:
    answer, _ = await wait(api, two, seconds, known=await etag(api, two))
    check_problem(answer, 422, "invalid_request")


@pytest.mark.parametrize("seconds", ["0", "0.0", "0.01"])
async def test_hardly_any_time_is_a_wait(api: Api, two: str, seconds: str) -> None:
    assert (await wait(api, two, seconds, known=await etag(api, two)))[0].status_code == 304


class RecordedShutdown(GracefulShutdown):
    """Lets a test ask the process to stop."""

    made: "list[RecordedShutdown]"

    def __init__(self, notice: float) -> None:
        super().__init__(notice)
        self.made.append(self)


async def test_a_wait_ends_when_the_process_drains(
    settings: Settings, api: Api, two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    RecordedShutdown.made = []
    monkeypatch.setattr(main, "GracefulShutdown", RecordedShutdown)
    async with serving(settings) as stopping:
        tasks = [await waiting(stopping, two), await waiting(stopping, two, ref="champion")]
        RecordedShutdown.made[0].is_draining = True
        for task in tasks:
            answer, seconds = await task
            assert (answer.status_code, answer.headers["connection"]) == (304, "close")
            assert seconds < LONG / 2
        answer, seconds = await wait(stopping, two, LONG, known=await etag(stopping, two))
        assert (answer.status_code, seconds < LONG / 2) == (304, True)


async def test_polling_ends_with_the_last_waiter(api: Api, two: str) -> None:
    before = asyncio.all_tasks()
    task = await waiting(api, two)
    await api.promote(two, 2)
    await task
    await asyncio.sleep(0.2)
    assert not [task for task in asyncio.all_tasks() - before if "HeadPoller" in repr(task)]


# -- what it costs


@pytest.fixture
async def alone_here(tmp_path: Path) -> AsyncIterator[Api]:
    """A service on the embedded store, whose reads are all for this test."""
    with environment(local_environment(tmp_path)) as settings:
        await prepare(settings)
        async with serving(settings) as api:
            yield api


@pytest.mark.usefixtures("slow")
async def test_a_thousand_waiters_cost_a_read_a_second(
    alone_here: Api, monkeypatch: pytest.MonkeyPatch, thorough: bool
) -> None:
    seconds = 20 if thorough else 3
    await alone_here.register("fraud-detector")
    await alone_here.promote("fraud-detector", 1)
    await alone_here.register("fraud-detector")
    known = await etag(alone_here, "fraud-detector")
    waits = [asyncio.create_task(wait(alone_here, "fraud-detector", LONG, known=known)) for _ in range(1_000)]
    reads: list[ItemKey] = []
    get = SqliteTable.get

    async def counted(table: SqliteTable, key: ItemKey) -> Item | None:
        reads.append(key)
        return await get(table, key)

    await asyncio.sleep(1.5)
    monkeypatch.setattr(SqliteTable, "get", counted)
    began = time.monotonic()
    await asyncio.sleep(seconds)
    assert 1 <= len(reads) <= 1 + (time.monotonic() - began)
    assert not any(each.done() for each in waits)
    await alone_here.promote("fraud-detector", 2)
    answers = await asyncio.gather(*waits)
    assert {(answer.status_code, answer.json()["version"]) for answer, _ in answers} == {(200, 2)}
    assert len({answer.content for answer, _ in answers}) == 1
