"""What a client of a history writes down for each kind of answer."""

from collections.abc import Iterable, Mapping
from typing import Any

import httpx
import pytest

from tests.support.api import BASE, SIGNED_OF_A_FILE, Api
from tests.support.histories.recording import ATTEMPTS, FILES, Client, Record
from tests.support.reference_registry import Begin, Move, Read, Request, Resolve

COMMIT = "a" * 32 + "00000003"
PROMOTE = Move(3, "production")
HAPPENED = httpx.Response(200, json={"version": 3, "stage": "production", "aliases": []})
UNKNOWN = httpx.Response(503, json={"code": "outcome_unknown"})
CONTENTION = httpx.Response(503, json={"code": "contention"})
CHANGED = httpx.Response(412, json={"code": "production_changed", "holder": 2, "expected": 1})
MODEL = {"model": "model", "generation": 9, "latest_version": 3, "production_version": 2, "aliases": {"champion": 3}}
FOUND = {"version": 3, "commit": COMMIT, "stage": "production", "generation": 9}


async def recorded(asked: Request, answers: Iterable[httpx.Response], *, key: str | None = None) -> Record:
    """What is written down by a client of a registry that gives these answers."""
    left = iter(answers)
    record = Record()
    async with httpx.AsyncClient(base_url=BASE, transport=httpx.MockTransport(lambda _: next(left))) as http:
        await Client([Api(http)], record, 1, seed=1).ask("model", asked, key=key)
    assert next(left, None) is None
    return record


@pytest.mark.parametrize(
    ("asked", "answer", "told"),
    [
        (PROMOTE, HAPPENED, {"code": None, "version": 3, "stage": "production", "aliases": []}),
        (PROMOTE, CHANGED, {"code": "production_changed", "holder": 2}),
        (Begin(), httpx.Response(201, json={"version": 4}), {"code": None, "version": 4}),
        (
            Resolve("champion"),
            httpx.Response(200, json=FOUND, headers={"etag": f'"{COMMIT}"'}),
            {"code": None, "version": 3, "generation": 9, "is_production": True},
        ),
        (
            Resolve("champion", COMMIT),
            httpx.Response(304, headers={"etag": f'"{COMMIT}"'}),
            {"code": None, "version": 3},
        ),
        (
            Read(in_list=True),
            httpx.Response(200, json={"items": [MODEL], "next_cursor": None}),
            {"code": None, "generation": 9, "latest": 3, "production": 2, "aliases": {"champion": 3}},
        ),
    ],
    ids=["done", "refused", "begun", "resolved", "not modified", "listed"],
)
async def test_what_was_told_is_kept(asked: Request, answer: httpx.Response, told: Mapping[str, Any]) -> None:
    (operation,) = (await recorded(asked, [answer])).operations
    assert operation.told == told
    assert operation.invoked < operation.answered


async def test_what_had_no_effect_is_counted_and_left_out() -> None:
    record = await recorded(PROMOTE, [CONTENTION])
    assert (record.operations, record.without_effect) == ([], 1)


async def test_what_says_that_it_is_stale_is_counted_and_left_out() -> None:
    stale = httpx.Response(200, json=FOUND, headers={"etag": f'"{COMMIT}"', "x-registry-stale": "3"})
    record = await recorded(Resolve("production"), [stale])
    assert (record.operations, record.stale) == ([], 1)


async def test_a_list_without_the_model_is_counted_and_left_out() -> None:
    record = await recorded(Read(in_list=True), [httpx.Response(200, json={"items": [], "next_cursor": None})])
    assert (record.operations, record.unlisted) == ([], 1)


async def delivered(answers: Iterable[httpx.Response]) -> None:
    """Send the bytes to a storage that gives these answers, all of which have to be asked for."""
    left = iter(answers)
    signed = {"method": "PUT", "url": "http://storage/key", "headers": dict.fromkeys(SIGNED_OF_A_FILE, "3")}
    (path,) = FILES
    upload = {"artifacts": [{"path": path, "state": "missing", "upload": signed}]}
    async with httpx.AsyncClient(base_url=BASE, transport=httpx.MockTransport(lambda _: next(left))) as http:
        await Client([Api(http)], Record(), 1, seed=1).deliver(upload)
    assert next(left, None) is None


@pytest.mark.parametrize("last", [200, 412])
async def test_bytes_are_sent_until_storage_has_them(last: int) -> None:
    await delivered(httpx.Response(status) for status in (409, 500, 503, last))


async def test_a_storage_that_never_takes_the_bytes_is_no_history() -> None:
    with pytest.raises(AssertionError, match="does not take"):
        await delivered([httpx.Response(503)] * ATTEMPTS)


async def test_what_nobody_knows_stays_open() -> None:
    (operation,) = (await recorded(PROMOTE, [UNKNOWN])).operations
    assert operation.is_open


async def test_with_a_key_it_is_one_operation_however_often_it_is_sent() -> None:
    (operation,) = (await recorded(PROMOTE, [UNKNOWN, CONTENTION, HAPPENED], key="once")).operations
    assert operation.told == {"code": None, "version": 3}
    assert len(operation.requests) == 3


async def test_a_refusal_after_an_unknown_outcome_settles_nothing() -> None:
    (operation,) = (await recorded(PROMOTE, [UNKNOWN, CHANGED], key="once")).operations
    assert operation.is_open


async def test_an_answer_that_the_registry_never_gives_on_purpose_is_no_history() -> None:
    with pytest.raises(AssertionError, match="internal_error"):
        await recorded(PROMOTE, [httpx.Response(500, json={"code": "internal_error"})])
