"""What an `ObjectStore` promises, one test for each promise, on every driver."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import httpx
import pytest

from modelkeep.domain.values import digest_of_parts
from modelkeep.storage.aws.s3 import S3Store
from modelkeep.storage.objects import (
    MultipartGoneError,
    MultipartRefusedError,
    ObjectGoneError,
    ObjectStore,
    StoredPart,
)
from tests.support.artifact_names import OF_TOOLS, OF_URLS
from tests.support.stores import MINUTE, digest_of, presign, presign_part, read_all, send, store_bytes

pytestmark = pytest.mark.every_backend

pytest_plugins = ["tests.support.store_fixtures"]

CONTENT = b"the bytes of a model"
MIB = 1024 * 1024


def deviates(store: ObjectStore, request: pytest.FixtureRequest, why: str) -> None:
    """Expect the test to fail on ministack, and say how ministack differs from S3 there."""
    if isinstance(store, S3Store):
        request.node.add_marker(pytest.mark.xfail(strict=True, reason=f"ministack: {why}"))


async def put_parts(
    http: httpx.AsyncClient, store: ObjectStore, key: str, contents: Sequence[bytes]
) -> tuple[str, Sequence[StoredPart]]:
    multipart_id = await store.begin(key)
    for number, content in enumerate(contents, 1):
        url = await presign_part(store, key, multipart_id, number, content)
        assert (await send(http, url, content)).status_code == 200
    return multipart_id, await store.list_parts(key, multipart_id)


async def get(http: httpx.AsyncClient, store: ObjectStore, key: str, **headers: str) -> httpx.Response:
    url = await store.presign_get(key, version_id=None, filename="model.pt", ttl=MINUTE)
    return await http.get(url.url, headers=headers)


TAKEN_BY_MINISTACK = frozenset({"changed X-Amz-Algorithm", "without X-Amz-Algorithm", "without X-Amz-Signature"})
"""ministack does not look at the algorithm's name, and lets a request without any signature through; S3 refuses all."""


def altered(store: ObjectStore, url: str) -> Iterator[str]:
    """The URL with each query parameter changed in turn, each left out in turn, and the path changed."""
    path, query = url.split("?")
    pairs = query.split("&")
    urls = {"another path": f"{path}x?{query}"}
    for i, pair in enumerate(pairs):
        name, before, after = pair.partition("=")[0], pairs[:i], pairs[i + 1 :]
        changed = f"{pair[:-1]}{'1' if pair[-1] == '0' else '0'}"
        urls[f"changed {name}"] = f"{path}?{'&'.join([*before, changed, *after])}"
        urls[f"without {name}"] = f"{path}?{'&'.join([*before, *after])}"
    excused = TAKEN_BY_MINISTACK if isinstance(store, S3Store) else frozenset()
    return (url for what, url in urls.items() if what not in excused)


# -- one object


async def test_bytes_put_by_url_are_read_back(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    url = await presign(store, key, CONTENT)
    assert (await send(http, url, CONTENT)).status_code == 200
    answer = await get(http, store, key)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert await read_all(store, key) == CONTENT


async def test_a_put_url_comes_with_the_headers_s3_signs(store: ObjectStore, key: str) -> None:
    url = await presign(store, key, CONTENT)
    assert url.method == "PUT"
    assert url.headers == {
        "x-amz-checksum-sha256": digest_of(CONTENT).as_s3_checksum(),
        "if-none-match": "*",
        "content-length": str(len(CONTENT)),
        "content-type": "application/octet-stream",
    }


async def test_a_part_url_comes_with_the_headers_s3_signs(store: ObjectStore, key: str) -> None:
    url = await presign_part(store, key, await store.begin(key), 1, CONTENT)
    assert url.method == "PUT"
    assert url.headers == {
        "x-amz-checksum-sha256": digest_of(CONTENT).as_s3_checksum(),
        "content-length": str(len(CONTENT)),
    }


async def test_expiry_is_told_and_not_later_than_asked(store: ObjectStore, key: str) -> None:
    url = await presign(store, key, CONTENT)
    assert timedelta(seconds=50) < url.expires_at - datetime.now(UTC) <= MINUTE


async def test_head_tells_size_and_digest(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    await store_bytes(http, store, key, CONTENT)
    found = await store.stat(key)
    assert found is not None
    assert (found.key, found.size, found.sha256, found.parts_sha256) == (key, len(CONTENT), digest_of(CONTENT), None)
    assert abs(found.modified_at - datetime.now(UTC)) < MINUTE


async def test_head_of_nothing_is_none(store: ObjectStore, key: str) -> None:
    assert await store.stat(key) is None


async def test_no_bytes_are_an_object_too(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    await store_bytes(http, store, key, b"")
    found = await store.stat(key)
    assert found is not None
    assert (found.size, found.sha256) == (0, digest_of(b""))
    assert (await get(http, store, key)).content == b""


@pytest.mark.parametrize("name", ["a b", "a+b", "a=b", "a@b", "a%20b", "é", "a&b?c#d", "a;b", "~'()*!"])
async def test_a_key_may_hold_any_printable_character(
    store: ObjectStore, http: httpx.AsyncClient, key: str, name: str
) -> None:
    key = f"{key}/{name}"
    await store_bytes(http, store, key, CONTENT)
    assert (await get(http, store, key)).content == CONTENT
    assert [found.key async for found in store.list_objects(key)] == [key]
    assert store.key_of(store.uri(key)) == key


async def test_an_expired_put_url_is_refused(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    url = await presign(store, key, CONTENT, timedelta(seconds=1))
    await asyncio.sleep(2.1)
    assert (await send(http, url, CONTENT)).status_code == 403
    assert await store.stat(key) is None


async def test_an_expired_get_url_is_refused(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    await store_bytes(http, store, key, CONTENT)
    url = await store.presign_get(key, version_id=None, filename="x", ttl=timedelta(seconds=1))
    await asyncio.sleep(2.1)
    assert (await http.get(url.url)).status_code == 403


async def test_an_altered_put_url_is_refused(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    url = await presign(store, key, CONTENT)
    for other in altered(store, url.url):
        assert (await send(http, url, CONTENT, url=other)).status_code in {400, 403}, other
    assert [found async for found in store.list_objects(key)] == []


async def test_an_altered_part_url_is_refused(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    multipart_id = await store.begin(key)
    url = await presign_part(store, key, multipart_id, 1, CONTENT)
    for other in altered(store, url.url):
        assert (await send(http, url, CONTENT, url=other)).status_code in {400, 403}, other
    assert await store.list_parts(key, multipart_id) == []


async def test_an_altered_get_url_is_refused(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    await store_bytes(http, store, key, CONTENT)
    url = await store.presign_get(key, version_id=None, filename="model.pt", ttl=MINUTE)
    for other in altered(store, url.url):
        assert (await http.get(other)).status_code in {400, 403}, other


async def test_a_url_is_for_one_method(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    put = await presign(store, key, CONTENT)
    assert (await http.get(put.url)).status_code == 403
    get_url = await store.presign_get(key, version_id=None, filename="x", ttl=MINUTE)
    assert (await send(http, put, CONTENT, url=get_url.url)).status_code == 403
    assert await store.stat(key) is None
    await store_bytes(http, store, key, CONTENT)
    put = await presign(store, f"{key}-other", CONTENT)
    assert (await http.head(put.url)).status_code == 403


async def test_other_bytes_of_the_same_length_are_refused(
    store: ObjectStore, http: httpx.AsyncClient, key: str
) -> None:
    url = await presign(store, key, CONTENT)
    assert (await send(http, url, CONTENT[::-1])).status_code == 400
    assert await store.stat(key) is None


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", b""])
async def test_another_length_is_refused(store: ObjectStore, http: httpx.AsyncClient, key: str, content: bytes) -> None:
    url = await presign(store, key, CONTENT)
    assert (await send(http, url, content, headers={"content-length": str(len(content))})).status_code == 403
    assert await store.stat(key) is None


@pytest.mark.parametrize("header", ["x-amz-checksum-sha256", "if-none-match", "content-type"])
@pytest.mark.parametrize("value", [None, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="])
async def test_each_signed_header_must_be_sent(
    store: ObjectStore, http: httpx.AsyncClient, key: str, header: str, value: str | None
) -> None:
    url = await presign(store, key, CONTENT)
    assert (await send(http, url, CONTENT, headers={header: value})).status_code == 403
    assert await store.stat(key) is None


async def test_a_body_without_a_length_is_refused(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield CONTENT

    url = await presign(store, key, CONTENT)
    answer = await send(http, url, chunks(), headers={"content-length": None})
    assert answer.status_code in {403, 411}
    assert await store.stat(key) is None


async def test_a_second_put_is_refused(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    url = await presign(store, key, CONTENT)
    assert (await send(http, url, CONTENT)).status_code == 200
    assert (await send(http, url, CONTENT)).status_code == 412
    other = await presign(store, key, b"other")
    assert (await send(http, other, b"other")).status_code == 412
    assert await read_all(store, key) == CONTENT


async def test_of_many_puts_at_once_one_wins(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    contents = [f"writer {i}".encode() * 1000 for i in range(16)]
    urls = [await presign(store, key, content) for content in contents]
    answers = await asyncio.gather(*(send(http, *pair) for pair in zip(urls, contents, strict=True)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 409, 412}
    winner = contents[statuses.index(200)]
    found = await store.stat(key)
    assert found is not None
    assert (await read_all(store, key), found.sha256) == (winner, digest_of(winner))


# -- downloads


async def test_a_download_is_saved_under_its_name(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    await store_bytes(http, store, key, CONTENT)
    url = await store.presign_get(key, version_id=None, filename='poids "é".pt', ttl=MINUTE)
    answer = await http.get(url.url, headers=url.headers)
    disposition = answer.headers["content-disposition"]
    found = re.fullmatch(r"attachment; filename\*=UTF-8''(.+)", disposition)
    assert found, disposition
    assert unquote(found[1]) == 'poids "é".pt'


async def test_a_key_may_end_in_the_path_of_any_artifact(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    names = [*OF_TOOLS, *OF_URLS]
    for name in names:
        path = f"{key}/{name}"
        await store_bytes(http, store, path, name.encode())
        url = await store.presign_get(path, version_id=None, filename=name, ttl=MINUTE)
        assert (await http.get(url.url, headers=url.headers)).content == name.encode()
        assert await read_all(store, path) == name.encode()
        assert store.key_of(store.uri(path)) == path
    assert {found.key async for found in store.list_objects(f"{key}/")} == {f"{key}/{name}" for name in names}
    multipart_id, parts = await put_parts(http, store, path := f"{key}/parts of {OF_TOOLS[0]}", [b"x"])
    assert {each.key async for each in store.list_multiparts(f"{key}/")} == {path}
    await store.complete(path, multipart_id, parts)
    assert await read_all(store, path) == b"x"


@pytest.mark.parametrize(
    ("asked", "content_range", "content"),
    [
        ("bytes=5-8", "bytes 5-8/20", CONTENT[5:9]),
        ("bytes=5-", "bytes 5-19/20", CONTENT[5:]),
        ("bytes=-5", "bytes 15-19/20", CONTENT[-5:]),
        ("bytes=-500", "bytes 0-19/20", CONTENT),
        ("bytes=0-0", "bytes 0-0/20", CONTENT[:1]),
        ("bytes=5-500", "bytes 5-19/20", CONTENT[5:]),
    ],
)
async def test_one_range_can_be_read(
    store: ObjectStore, http: httpx.AsyncClient, key: str, asked: str, content_range: str, content: bytes
) -> None:
    await store_bytes(http, store, key, CONTENT)
    answer = await get(http, store, key, range=asked)
    assert (answer.status_code, answer.content) == (206, content)
    assert answer.headers["content-range"] == content_range
    assert answer.headers["content-length"] == str(len(content))


@pytest.mark.parametrize("asked", ["bytes=20-", "bytes=500-600", "bytes=-0"])
async def test_a_range_behind_the_end_is_refused(
    store: ObjectStore, http: httpx.AsyncClient, key: str, asked: str
) -> None:
    await store_bytes(http, store, key, CONTENT)
    answer = await get(http, store, key, range=asked)
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */20"


async def test_if_match_refuses_other_bytes(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    await store_bytes(http, store, key, CONTENT)
    etag = (await get(http, store, key)).headers["etag"]
    assert (await get(http, store, key, **{"if-match": etag})).status_code == 200
    assert (await get(http, store, key, **{"if-match": '"other"'})).status_code == 412


async def test_a_url_of_nothing_is_not_found(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    assert (await get(http, store, key)).status_code == 404


# -- multipart objects


async def test_parts_become_an_object(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    contents = [b"a" * 5 * MIB, b"b" * (5 * MIB + 1), b"c" * 3]
    whole = b"".join(contents)
    multipart_id, parts = await put_parts(http, store, key, contents)
    assert [(part.number, part.size, part.sha256) for part in parts] == [
        (number, len(content), digest_of(content)) for number, content in enumerate(contents, 1)
    ]
    assert await store.stat(key) is None
    await store.complete(key, multipart_id, parts)
    found = await store.stat(key)
    assert found is not None
    assert found.size == len(whole)
    of_parts = digest_of_parts([digest_of(content) for content in contents])
    assert (found.sha256, found.parts_sha256) in [(digest_of(whole), None), (None, of_parts)]
    assert await read_all(store, key) == whole


async def test_a_part_url_is_for_its_own_bytes(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    multipart_id = await store.begin(key)
    url = await presign_part(store, key, multipart_id, 1, b"part 1")
    assert (await send(http, url, b"part 2")).status_code == 400
    assert (await send(http, url, b"longer", headers={"content-length": "6"})).status_code == 400
    assert (await send(http, url, b"short", headers={"content-length": "5"})).status_code == 403
    assert await store.list_parts(key, multipart_id) == []


async def test_a_part_may_be_sent_again(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    multipart_id, before = await put_parts(http, store, key, [b"first"])
    for content in (b"first", b"second"):
        url = await presign_part(store, key, multipart_id, 1, content)
        assert (await send(http, url, content)).status_code == 200
    after = await store.list_parts(key, multipart_id)
    assert [(part.number, part.sha256) for part in after] == [(1, digest_of(b"second"))]
    assert before[0].sha256 == digest_of(b"first")


async def test_whether_there_are_objects_below_a_prefix(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    below, beside = f"{key}/", f"{key}1/"
    multipart_id = await store.begin(f"{below}weights/part")
    assert not await store.has_objects(below)
    await store_bytes(http, store, f"{beside}model.pt", CONTENT)
    assert not await store.has_objects(below)
    await store_bytes(http, store, f"{below}weights/model.pt", b"")
    assert await store.has_objects(below)
    await store.delete(f"{below}weights/model.pt")
    assert not await store.has_objects(below)
    await store.abort(f"{below}weights/part", multipart_id)


async def test_many_parts_arrive_at_once(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    multipart_id = await store.begin(key)
    contents = {number: f"part {number}".encode() for number in range(1, 33)}
    urls = [await presign_part(store, key, multipart_id, *each) for each in contents.items()]
    answers = await asyncio.gather(*(send(http, *each) for each in zip(urls, contents.values(), strict=True)))
    assert {answer.status_code for answer in answers} == {200}
    parts = await store.list_parts(key, multipart_id)
    assert {part.number: part.sha256 for part in parts} == {n: digest_of(c) for n, c in contents.items()}


async def test_completing_twice_leaves_the_object_as_it_is(
    store: ObjectStore, http: httpx.AsyncClient, key: str
) -> None:
    multipart_id, parts = await put_parts(http, store, key, [CONTENT])
    await store.complete(key, multipart_id, parts)
    before = await store.stat(key)
    with suppress(MultipartGoneError, MultipartRefusedError):
        await store.complete(key, multipart_id, parts)
    assert await store.stat(key) == before
    assert await read_all(store, key) == CONTENT


async def test_of_two_completions_at_once_one_object_comes(
    store: ObjectStore, http: httpx.AsyncClient, key: str
) -> None:
    multipart_id, parts = await put_parts(http, store, key, [b"x" * 5 * MIB, CONTENT])
    outcomes = await asyncio.gather(
        *(store.complete(key, multipart_id, parts) for _ in range(4)), return_exceptions=True
    )
    assert None in outcomes
    assert all(each is None or isinstance(each, MultipartGoneError | MultipartRefusedError) for each in outcomes)
    assert await read_all(store, key) == b"x" * 5 * MIB + CONTENT


async def test_a_part_that_never_arrived_is_refused(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    multipart_id, parts = await put_parts(http, store, key, [CONTENT])
    missing = StoredPart(number=2, size=len(CONTENT), sha256=parts[0].sha256, etag=parts[0].etag)
    with pytest.raises(MultipartRefusedError):
        await store.complete(key, multipart_id, [*parts, missing])
    assert await store.stat(key) is None
    assert await store.list_parts(key, multipart_id) == parts


async def test_a_part_that_changed_after_it_was_listed_is_refused(
    store: ObjectStore, http: httpx.AsyncClient, key: str
) -> None:
    multipart_id, parts = await put_parts(http, store, key, [CONTENT])
    url = await presign_part(store, key, multipart_id, 1, CONTENT[::-1])
    assert (await send(http, url, CONTENT[::-1])).status_code == 200
    with pytest.raises(MultipartRefusedError):
        await store.complete(key, multipart_id, parts)
    assert await store.stat(key) is None


async def test_parts_out_of_order_are_refused(
    store: ObjectStore, http: httpx.AsyncClient, key: str, request: pytest.FixtureRequest
) -> None:
    deviates(store, request, "sorts the parts where S3 answers InvalidPartOrder")
    multipart_id, parts = await put_parts(http, store, key, [b"x" * 5 * MIB, b"y"])
    with pytest.raises(MultipartRefusedError):
        await store.complete(key, multipart_id, parts[::-1])
    assert await store.stat(key) is None


async def test_completing_never_replaces_an_object(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    multipart_id, parts = await put_parts(http, store, key, [b"other"])
    await store_bytes(http, store, key, CONTENT)
    with pytest.raises(MultipartRefusedError):
        await store.complete(key, multipart_id, parts)
    assert await read_all(store, key) == CONTENT
    await store.abort(key, multipart_id)


async def test_a_part_url_dies_with_completion(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    multipart_id, parts = await put_parts(http, store, key, [CONTENT])
    url = await presign_part(store, key, multipart_id, 1, CONTENT)
    await store.complete(key, multipart_id, parts)
    assert (await send(http, url, CONTENT)).status_code == 404


async def test_a_part_url_dies_with_abortion(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    multipart_id, _ = await put_parts(http, store, key, [CONTENT])
    url = await presign_part(store, key, multipart_id, 1, CONTENT)
    await store.abort(key, multipart_id)
    assert (await send(http, url, CONTENT)).status_code == 404
    with pytest.raises(MultipartGoneError):
        await store.list_parts(key, multipart_id)


async def test_what_was_never_begun_is_gone(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    url = await presign_part(store, key, "0" * 32, 1, CONTENT)
    assert (await send(http, url, CONTENT)).status_code == 404
    with pytest.raises(MultipartGoneError):
        await store.list_parts(key, "0" * 32)
    part = StoredPart(number=1, size=1, sha256=digest_of(b"x"), etag='"00000000000000000000000000000000"')
    with pytest.raises(MultipartGoneError):
        await store.complete(key, "0" * 32, [part])


async def test_aborting_can_be_repeated(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    multipart_id, _ = await put_parts(http, store, key, [CONTENT])
    await store.abort(key, multipart_id)
    await store.abort(key, multipart_id)
    await store.abort(key, "0" * 32)
    assert [found async for found in store.list_multiparts(key)] == []


# -- for operators


async def test_deleting_can_be_repeated(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    await store_bytes(http, store, key, CONTENT)
    await store.delete(key)
    await store.delete(key)
    assert await store.stat(key) is None
    with pytest.raises(ObjectGoneError):
        await read_all(store, key)


async def test_a_named_version_can_be_deleted_for_good(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    await store_bytes(http, store, key, CONTENT)
    found = await store.stat(key)
    assert found is not None
    await store.delete(key, version_id=found.version_id)
    await store.delete(key, version_id=found.version_id)
    assert await store.stat(key, version_id=found.version_id) is None


async def test_objects_are_listed_by_prefix(store: ObjectStore, http: httpx.AsyncClient, key: str) -> None:
    keys = [f"{key}/{name}" for name in ("a", "ab", "b/c")]
    for each in keys:
        await store_bytes(http, store, each, CONTENT)
    assert sorted([(found.key, found.size) async for found in store.list_objects(f"{key}/a")]) == [
        (keys[0], len(CONTENT)),
        (keys[1], len(CONTENT)),
    ]
    assert sorted([found.key async for found in store.list_objects(f"{key}/")]) == keys
    assert [found async for found in store.list_objects(f"{key}/none/")] == []


async def test_open_multiparts_are_listed_by_prefix(store: ObjectStore, key: str) -> None:
    multipart_id = await store.begin(key)
    assert [found async for found in store.list_multiparts("models/none-such/")] == []
    [found] = [found async for found in store.list_multiparts(key)]
    assert (found.key, found.multipart_id) == (key, multipart_id)
    assert abs(found.begun_at - datetime.now(UTC)) < MINUTE
    await store.abort(key, multipart_id)


def test_an_address_elsewhere_has_no_key(store: ObjectStore) -> None:
    assert store.key_of("s3://elsewhere/models/m/v1/x") is None
    assert store.key_of("file:///etc/passwd") is None
    assert store.key_of(store.uri("x").removesuffix("x")) is None
    assert store.key_of(store.uri("models/m").replace("models", "..")) in {None, "../m"}
