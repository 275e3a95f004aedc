"""What the local store promises beyond every `ObjectStore`: crashes, other processes, disconnections, downloads."""

import asyncio
import json
import multiprocessing
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from modelkeep.domain.errors import ObjectExistsError
from modelkeep.domain.values import PresignedUrl
from modelkeep.kit.durable_files import staged_file
from modelkeep.storage.local.file_uploads import SignedPut
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.local.folder import Folder, check_key
from modelkeep.storage.local.signing import load_secret
from modelkeep.storage.objects import MultipartGoneError, StoreUnavailableError
from tests.support.stores import (
    MINUTE,
    digest_of,
    local_app,
    presign,
    presign_part,
    read_all,
    send,
    store_bytes,
)

pytest_plugins = ["tests.support.store_fixtures"]

CONTENT = b"the bytes of a model"
KILLS = 8


@pytest.fixture
async def empty(tmp_path: Path) -> FileStore:
    """A store in a folder of its own."""
    return await FileStore.open(tmp_path, public_url="http://127.0.0.1")


async def take(store: FileStore, key: str, content: bytes) -> None:
    """Receive an object as the route does."""

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    await store.receive(SignedPut(key=key, size=len(content), sha256=digest_of(content)), chunks())


async def take_part(store: FileStore, key: str, multipart_id: str, number: int, content: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    delivery = SignedPut(
        key=key, size=len(content), sha256=digest_of(content), multipart_id=multipart_id, number=number
    )
    await store.receive(delivery, chunks())


async def test_a_url_of_an_earlier_release_needs_no_content_type(
    local: FileStore, http: httpx.AsyncClient, key: str
) -> None:
    """Such URLs are good for an hour after the upgrade, and while both releases serve one folder."""
    url = local._presign_put(SignedPut(key=key, size=len(CONTENT), sha256=digest_of(CONTENT)), MINUTE)
    assert "content-type" not in url.headers
    assert (await send(http, url, CONTENT)).status_code == 200
    assert await read_all(local, key) == CONTENT


# -- what people see in the folder


async def test_the_bytes_lie_under_their_key(local: FileStore, http: httpx.AsyncClient, key: str, data: Path) -> None:
    await store_bytes(http, local, key, CONTENT)
    assert (data / "objects" / key).read_bytes() == CONTENT
    checksum = json.loads((data / "checksums" / key).read_text())
    assert (checksum["size"], checksum["sha256"]) == (len(CONTENT), digest_of(CONTENT).hex)
    assert local.uri(key) == (data / "objects" / key).as_uri()
    assert "%20" in local.uri(key)


async def test_names_that_look_like_each_others_checksum_get_along(empty: FileStore) -> None:
    for key in ("models/m/v1/model", "models/m/v1/model.json/x", "models/m/v1/" + "n" * 255):
        await take(empty, key, key.encode())
        assert await read_all(empty, key) == key.encode()


async def test_a_name_that_is_a_folder_is_taken(local: FileStore, http: httpx.AsyncClient, key: str) -> None:
    await store_bytes(http, local, key, CONTENT)
    for other in (f"{key}/inside", key.rpartition("/")[0]):
        url = await presign(local, other, CONTENT)
        assert (await send(http, url, CONTENT)).status_code == 412
        assert await local.stat(other) is None


async def test_a_deleted_object_leaves_no_folders(empty: FileStore, tmp_path: Path) -> None:
    await take(empty, "models/m/v1/a/b", CONTENT)
    await take(empty, "models/m/v2/a/b", CONTENT)
    await empty.delete("models/m/v1/a/b")
    assert [path.name for path in (tmp_path / "objects/models/m").iterdir()] == ["v2"]
    await empty.delete("models/m/v2/a/b")
    assert list((tmp_path / "objects").iterdir()) == list((tmp_path / "checksums").iterdir()) == []


async def test_writing_and_deleting_neighbours_at_once(empty: FileStore) -> None:
    async def come_and_go(key: str) -> None:
        for _ in range(20):
            await take(empty, key, CONTENT)
            await empty.delete(key)

    await asyncio.gather(*(come_and_go(f"models/m/v1/deep/er/{i}") for i in range(6)))
    assert [found async for found in empty.list_objects("")] == []


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "..", "a/../b", "a//b", "a/", "./a", "a/./b", "a\0b", "a\nb", "a\\b", "x" * 256]
)
def test_a_key_stays_inside_the_folder(key: str) -> None:
    with pytest.raises(ValueError, match="a key has"):
        check_key(key)


@pytest.mark.parametrize("path", ["%2e%2e/%2e%2e/secret", "a/%2e%2e/%2e%2e/%2e%2e/secret", "%2fetc/passwd", "a%00b"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_no_url_reaches_outside(http: httpx.AsyncClient, local_url: str, path: str, method: str) -> None:
    answer = await http.request(method, f"{local_url}/local-store/{path}?expires=9999999999&signature=00")
    assert answer.status_code == 403


# -- URLs


async def test_a_url_signed_for_one_host_works_on_another(
    data: Path, http: httpx.AsyncClient, local_url: str, key: str
) -> None:
    elsewhere = await FileStore.open(data, public_url="https://models.example.com/registry/")
    url = await presign(elsewhere, key, CONTENT)
    assert url.url.startswith("https://models.example.com/registry/local-store/models/")
    here = f"{local_url}/local-store/{url.url.partition('/local-store/')[2]}"
    assert (await send(http, url, CONTENT, url=here)).status_code == 200


async def test_a_url_signed_with_another_secret_is_refused(
    empty: FileStore, http: httpx.AsyncClient, local_url: str, key: str
) -> None:
    url = await presign(empty, key, CONTENT)
    split = urlsplit(url.url)
    assert (await send(http, url, CONTENT, url=f"{local_url}{split.path}?{split.query}")).status_code == 403


@pytest.mark.parametrize("extra", ["&part=1", "&size=1", "&x=", "&signature=00", "&x=1" * 100])
async def test_nothing_can_be_added_to_a_url(local: FileStore, http: httpx.AsyncClient, key: str, extra: str) -> None:
    url = await presign(local, key, CONTENT)
    answer = await send(http, url, CONTENT, url=url.url + extra)
    assert (answer.status_code, answer.json()["code"]) == (403, "signature_mismatch")


async def test_refusals_have_codes_and_say_what_to_do(local: FileStore, http: httpx.AsyncClient, key: str) -> None:
    url = await presign(local, key, CONTENT)
    old = await presign(local, key, CONTENT, timedelta(seconds=-5))
    refusals = [
        await send(http, old, CONTENT),
        await send(http, url, CONTENT, headers={"if-none-match": None}),
        await send(http, url, CONTENT[::-1]),
        await send(http, await presign_part(local, key, "0" * 32, 1, CONTENT), CONTENT),
        await http.get((await local.presign_get(key, version_id=None, filename="x", ttl=MINUTE)).url),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in refusals] == [
        (403, "url_expired"),
        (403, "signed_header_mismatch"),
        (400, "body_mismatch"),
        (404, "multipart_not_found"),
        (404, "object_not_found"),
    ]
    assert all(answer.json()["detail"].endswith(".") for answer in refusals)


async def test_no_length_no_upload(local: FileStore, http: httpx.AsyncClient, key: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield CONTENT

    url = await presign(local, key, CONTENT)
    answer = await send(http, url, chunks(), headers={"content-length": None})
    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")


# -- downloads


async def test_a_download_is_not_interpreted_or_kept(local: FileStore, http: httpx.AsyncClient, key: str) -> None:
    await store_bytes(http, local, key, CONTENT)
    url = await local.presign_get(key, version_id=None, filename="model.pt", ttl=MINUTE)
    headers = (await http.get(url.url)).headers
    assert headers["etag"] == f'"{digest_of(CONTENT)}"'
    assert headers["accept-ranges"] == "bytes"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-length"] == str(len(CONTENT))


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=8-5", "lines=1-2", "bytes=a-b", "bytes=-", "bytes"])
async def test_what_is_no_single_range_is_answered_whole(
    local: FileStore, http: httpx.AsyncClient, key: str, asked: str
) -> None:
    await store_bytes(http, local, key, CONTENT)
    url = await local.presign_get(key, version_id=None, filename="x", ttl=MINUTE)
    answer = await http.get(url.url, headers={"range": asked})
    assert (answer.status_code, answer.content) == (200, CONTENT)


async def test_if_range_gives_the_whole_unless_the_bytes_are_the_same(
    local: FileStore, http: httpx.AsyncClient, key: str
) -> None:
    await store_bytes(http, local, key, CONTENT)
    url = await local.presign_get(key, version_id=None, filename="x", ttl=MINUTE)
    etag = f'"{digest_of(CONTENT)}"'
    same = await http.get(url.url, headers={"range": "bytes=5-", "if-range": etag})
    assert (same.status_code, same.content) == (206, CONTENT[5:])
    for other in ('"other"', f"W/{etag}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        answer = await http.get(url.url, headers={"range": "bytes=5-", "if-range": other})
        assert (answer.status_code, answer.content) == (200, CONTENT)


async def test_a_large_object_comes_back_whole_and_in_slices(
    local: FileStore, http: httpx.AsyncClient, key: str
) -> None:
    content = os.urandom(5 * 1024 * 1024 + 17)
    await store_bytes(http, local, key, content)
    url = await local.presign_get(key, version_id=None, filename="x", ttl=MINUTE)
    assert (await http.get(url.url)).content == content
    answer = await http.get(url.url, headers={"range": "bytes=1048570-3145740"})
    assert answer.content == content[1048570:3145741]


async def test_a_file_that_was_put_there_by_hand_can_be_read(
    local: FileStore, http: httpx.AsyncClient, key: str, data: Path
) -> None:
    path = data / "objects" / key
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    found = await local.stat(key)
    assert found is not None
    assert (found.size, found.sha256) == (len(CONTENT), None)
    url = await local.presign_get(key, version_id=None, filename="x", ttl=MINUTE)
    assert (await http.get(url.url)).content == CONTENT


async def test_a_checksum_of_other_bytes_is_not_told(empty: FileStore, tmp_path: Path) -> None:
    await take(empty, "models/m/v1/x", CONTENT)
    (tmp_path / "objects/models/m/v1/x").write_bytes(b"changed by hand")
    found = await empty.stat("models/m/v1/x")
    assert found is not None
    assert (found.size, found.sha256) == (15, None)


# -- many at once


def _commit(folder: str, writer: int, keys: int) -> list[bool]:
    return [_committed(Folder(Path(folder)), f"models/m/v1/{i}", f"writer {writer}".encode()) for i in range(keys)]


def _committed(folder: Folder, key: str, content: bytes) -> bool:
    with staged_file(folder.incoming) as draft:
        draft.write(content)
        draft.finish()
        try:
            folder.publish(key, draft)
        except ObjectExistsError:
            return False
        return True


def test_of_many_processes_one_wins(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as processes:
        wins = processes.map(_commit, [str(tmp_path)] * 4, range(4), [100] * 4)
        assert [sum(each) for each in zip(*wins, strict=True)] == [1] * 100


def test_of_many_threads_one_wins_and_its_checksum_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, key, write = Folder(tmp_path), "models/m/v1/x", Folder._write_checksum

    def slowly(self: Folder, *args: Any) -> None:
        time.sleep(0.02)
        write(self, *args)

    monkeypatch.setattr(Folder, "_write_checksum", slowly)
    with ThreadPoolExecutor(8) as threads:
        wins = list(threads.map(lambda i: _committed(folder, key, f"writer {i}".encode()), range(8)))
    assert wins.count(True) == 1
    found = folder.stat(key)
    assert found is not None
    assert found.sha256 == digest_of(f"writer {wins.index(True)}".encode())


async def test_what_cannot_be_stored_is_refused_before_its_body_is_sent(
    local: FileStore, http: httpx.AsyncClient, key: str
) -> None:
    await store_bytes(http, local, key, CONTENT)
    there = await presign(local, key, CONTENT)
    gone = await presign_part(local, key, "0" * 32, 1, CONTENT)
    old = await presign(local, f"{key}2", CONTENT, timedelta(seconds=-5))
    statuses = [await _status_without_body(url) for url in (there, gone, old)]
    assert statuses == [b"412", b"404", b"403"]


async def _status_without_body(url: PresignedUrl) -> bytes:
    reader, writer = await _begin_put(url)
    try:
        return (await asyncio.wait_for(reader.readline(), 5)).split()[1]
    finally:
        writer.close()
        await writer.wait_closed()


async def _begin_put(url: PresignedUrl) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    split = urlsplit(url.url)
    reader, writer = await asyncio.open_connection(split.hostname, split.port)
    headers = "".join(f"{name}: {value}\r\n" for name, value in url.headers.items())
    writer.write(f"PUT {split.path}?{split.query} HTTP/1.1\r\nhost: {split.netloc}\r\n{headers}\r\n".encode())
    return reader, writer


# -- what goes wrong half way


async def test_a_disconnection_half_way_leaves_nothing(local: FileStore, key: str, data: Path) -> None:
    content = b"x" * 4_000_000
    url = await presign(local, key, content)
    _, writer = await _begin_put(url)
    writer.write(content[: len(content) // 2])
    await writer.drain()
    await _until(lambda: any((data / "incoming").iterdir()))
    writer.close()
    await writer.wait_closed()
    await _until(lambda: not any((data / "incoming").iterdir()))
    assert await local.stat(key) is None
    assert not (data / "checksums" / key).exists()


async def test_an_abandoned_download_closes_its_file(
    local: FileStore, http: httpx.AsyncClient, key: str, data: Path
) -> None:
    content = b"x" * 64 * 1024 * 1024
    await store_bytes(http, local, key, content)
    url = await local.presign_get(key, version_id=None, filename="x", ttl=MINUTE)
    async with http.stream("GET", url.url) as answer:
        async for _ in answer.aiter_bytes(1000):
            break
    await _until(lambda: str(data / "objects" / key) not in _open_files())


def _open_files() -> set[str]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(link.readlink()))
        except OSError:
            continue
    return found


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_checksum_without_its_object_is_no_object(empty: FileStore, tmp_path: Path) -> None:
    key = "models/m/v1/x"
    path = tmp_path / "checksums" / key
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"size": 1, "sha256": digest_of(b"other").hex, "multipart_id": None}))
    assert await empty.stat(key) is None
    assert [found async for found in empty.list_objects("")] == []
    await take(empty, key, CONTENT)
    found = await empty.stat(key)
    assert found is not None
    assert found.sha256 == digest_of(CONTENT)


async def test_a_completion_that_was_cut_short_before_its_object_can_be_repeated(
    empty: FileStore, tmp_path: Path
) -> None:
    key = "models/m/v1/x"
    multipart_id = await empty.begin(key)
    await take_part(empty, key, multipart_id, 1, CONTENT)
    checksum = {"size": len(CONTENT), "sha256": digest_of(CONTENT).hex, "multipart_id": multipart_id}
    (tmp_path / "checksums" / key).parent.mkdir(parents=True)
    (tmp_path / "checksums" / key).write_text(json.dumps(checksum))
    await empty.complete(key, multipart_id, await empty.list_parts(key, multipart_id))
    assert await read_all(empty, key) == CONTENT


async def test_a_completion_that_was_cut_short_after_its_object_can_be_repeated(
    empty: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "models/m/v1/x"
    multipart_id = await empty.begin(key)
    await take_part(empty, key, multipart_id, 1, CONTENT)
    parts = await empty.list_parts(key, multipart_id)
    with monkeypatch.context() as cut:
        cut.setattr(empty._multiparts, "_remove", lambda _: None)
        await empty.complete(key, multipart_id, parts)
    await empty.complete(key, multipart_id, parts)
    with pytest.raises(MultipartGoneError):
        await empty.complete(key, multipart_id, parts)
    assert await read_all(empty, key) == CONTENT
    assert [found async for found in empty.list_multiparts("")] == []


async def test_what_was_cut_short_is_cleared_after_a_while(empty: FileStore, tmp_path: Path) -> None:
    (tmp_path / "incoming" / "half").write_bytes(b"half")
    (tmp_path / "multiparts" / "0").mkdir()
    multipart_id = await empty.begin("models/m/v1/x")
    assert await empty.clear_incoming(older_than=timedelta(days=1)) == 0
    yesterday = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    for folder in ("incoming", "multiparts"):
        for entry in (tmp_path / folder).iterdir():
            os.utime(entry, (yesterday, yesterday))
    assert await empty.clear_incoming(older_than=timedelta(days=1)) == 2
    assert [found.multipart_id async for found in empty.list_multiparts("")] == [multipart_id]


async def test_a_full_disk_is_told_to_the_operator(
    empty: FileStore, monkeypatch: pytest.MonkeyPatch, local: FileStore, http: httpx.AsyncClient, key: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("modelkeep.kit.durable_files.StagedFile.write", full)
    with pytest.raises(StoreUnavailableError, match="No space left on device"):
        await take(empty, "models/m/v1/x", CONTENT)
    assert await empty.stat("models/m/v1/x") is None
    answer = await send(http, await presign(local, key, CONTENT), CONTENT)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert await local.stat(key) is None


WRITER = """
import asyncio, hashlib, sys
from pathlib import Path
from modelkeep.storage.local.files import FileStore
from modelkeep.kit.durable_files import staged_file
from modelkeep.storage.local.file_uploads import SignedPut
from modelkeep.domain.values import Digest

async def chunks(content):
    yield content

async def main(folder, run):
    store = await FileStore.open(Path(folder), public_url="http://x")
    for i in range(10**6):
        content = f"{run}/{i}".encode() * 20_000
        sha256 = Digest(hashlib.sha256(content).hexdigest())
        key = f"models/m/v{run}/{i}"
        multipart_id = await store.begin(key) if i % 2 else None
        part = {"multipart_id": multipart_id, "number": i % 2}
        await store.receive(SignedPut(key=key, size=len(content), sha256=sha256, **part), chunks(content))
        if multipart_id:
            await store.complete(key, multipart_id, await store.list_parts(key, multipart_id))
        print(key, sha256, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def _write_and_be_killed(folder: Path, run: int) -> dict[str, str]:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(run)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    with writer.stdout:
        lines = [writer.stdout.readline()]
        time.sleep(0.05 + 0.013 * run)
        writer.kill()
        lines += writer.stdout.readlines()
    writer.wait()
    return dict(line.decode().split() for line in lines if line.endswith(b"\n"))


async def test_killed_at_any_moment_every_object_is_whole_and_none_acknowledged_is_lost(
    empty: FileStore, tmp_path: Path
) -> None:
    acknowledged: dict[str, str] = {}
    for run in range(KILLS):
        acknowledged |= await asyncio.to_thread(_write_and_be_killed, tmp_path, run)
    assert len(acknowledged) > KILLS
    stored = {found.key: found async for found in empty.list_objects("")}
    for key, found in stored.items():
        assert digest_of(await read_all(empty, key)) == found.sha256
    assert acknowledged.items() <= {key: str(found.sha256) for key, found in stored.items()}.items()


# -- the secret


def _secret_of(folder: str) -> bytes:
    return load_secret(Path(folder) / "secret", staging=Path(folder))


def test_all_processes_end_with_one_secret(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as processes:
        secrets = set(processes.map(_secret_of, [str(tmp_path)] * 16))
    assert len(secrets) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"secret"}
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_all_threads_end_with_one_secret(tmp_path: Path) -> None:
    at_once = threading.Barrier(8)

    def make(folder: Path) -> bytes:
        at_once.wait()
        return _secret_of(str(folder))

    for i in range(30):
        folder = tmp_path / str(i)
        folder.mkdir()
        with ThreadPoolExecutor(8) as threads:
            assert len(set(threads.map(make, [folder] * 8))) == 1


def test_a_damaged_secret_is_told_to_the_operator(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(StoreUnavailableError, match="Remove it"):
        _secret_of(str(tmp_path))


def test_the_routes_are_no_part_of_the_described_api(tmp_path: Path) -> None:
    assert local_app(tmp_path).openapi()["paths"] == {}
