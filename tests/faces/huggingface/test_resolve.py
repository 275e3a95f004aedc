"""Files: HEAD says what they are, GET leads to their bytes."""

from urllib.parse import quote

import pytest

from tests.support.api import Api
from tests.support.hub import FILES, Book, Hub

PATHS = [path for path, content in FILES.items() if content]
REFS = {
    "v2": 2,
    "2": 2,
    "production": 2,
    "champion": 2,
    "main": 2,
    "HEAD": 2,
    "latest": 3,
    "staging": 3,
    "old": 1,
    "v1": 1,
}


@pytest.mark.parametrize("verb", ["resolve", "raw"])
@pytest.mark.parametrize("path", FILES)
async def test_head_says_what_a_file_is(hub: Hub, book: Book, verb: str, path: str) -> None:
    answer = await hub.ask("HEAD", f"/{book.repository}/{verb}/production/{quote(path)}")
    assert answer.headers["x-repo-commit"] == book.commit(2)
    assert answer.headers["etag"] == f'"{book.sha256(2, path)}"'
    assert answer.headers["content-length"] == str(len(FILES[path]))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "location" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
async def test_get_leads_to_the_bytes(hub: Hub, api: Api, book: Book, path: str) -> None:
    answer = await hub.ask("GET", f"/{book.repository}/resolve/{book.commit(2)}/{quote(path)}", status=302)
    assert answer.headers["x-repo-commit"] == book.commit(2)
    assert answer.headers["etag"] == answer.headers["x-linked-etag"] == f'"{book.sha256(2, path)}"'
    assert answer.headers["x-linked-size"] == str(len(FILES[path]))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["cache-control"] == "no-store"
    assert (await api.http.get(answer.headers["location"])).content == FILES[path]


@pytest.mark.parametrize(("ref", "number"), REFS.items())
@pytest.mark.parametrize("owner", ["registry/", "sentence-transformers/", ""])
async def test_every_ref_is_a_revision(hub: Hub, book: Book, ref: str, number: int, owner: str) -> None:
    answer = await hub.ask("HEAD", f"/{owner}{book.model}/resolve/{ref}/config.json")
    assert answer.headers["x-repo-commit"] == book.commit(number)


async def test_an_empty_file_is_answered_here(hub: Hub, book: Book) -> None:
    path = f"/{book.repository}/resolve/main/empty.txt"
    whole = await hub.ask("GET", path)
    assert (whole.content, whole.headers["content-length"]) == (b"", "0")
    assert "content-range" not in whole.headers
    assert whole.headers["x-repo-commit"] == book.commit(2)
    part = await hub.ask("GET", path, headers={"range": "bytes=0-0"})
    assert (part.content, part.headers["content-range"]) == (b"", "bytes */0")


async def test_a_file_that_the_client_has_is_not_modified(hub: Hub, book: Book) -> None:
    path = f"/{book.repository}/resolve/main/config.json"
    digest = book.sha256(2, "config.json")
    for known in (f'"{digest}"', f'W/"{digest}"', f'"other", "{digest}"', "*"):
        answer = await hub.ask("GET", path, status=304, headers={"if-none-match": known})
        assert (answer.headers["etag"], answer.headers["x-repo-commit"]) == (f'"{digest}"', book.commit(2))
    await hub.ask("GET", path, status=302, headers={"if-none-match": '"other"'})


async def test_a_range_is_left_to_storage(hub: Hub, api: Api, book: Book) -> None:
    path = f"/{book.repository}/resolve/main/config.json"
    for wanted in ("bytes=0-0", "bytes=1-", "bytes=99999-"):
        answer = await hub.ask("GET", path, status=302, headers={"range": wanted})
        assert "content-range" not in answer.headers
