"""Downloading while the network or storage misbehaves."""

import gzip
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modelkeep.client import AsyncRegistryClient, Progress
from modelkeep.client.errors import DamagedDownloadError, TransferRefusedError, UnreachableError
from tests.client.conftest import digest
from tests.support.faults.network import (
    answers,
    changes_headers,
    changes_the_body,
    cuts,
    drops,
    flips_a_byte,
    ignores_ranges,
    rewrites,
    sleeps,
    stalls,
    trickles,
)
from tests.support.faults.proxy import Fault, Forward, Proxy, Reply, Request

pytestmark = pytest.mark.usefixtures("slept")

MIB = 1024 * 1024
SIZE = 7 * MIB + 17
STORE = r"^/local-store/"
LOCATE = r"/download$"
Write = Callable[..., Path]


class Counting(Progress):
    """How many bytes are said to have arrived."""

    def __init__(self) -> None:
        self.moved = 0

    def advance(self, path: str, size: int) -> None:
        self.moved += size


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelkeep.client.artifact_downloader._RANGE_BYTES", 2 * MIB)


@pytest.fixture
async def source(proxy: Proxy, model: str, write: Write) -> Path:
    """A file, registered as the only version of `model`: it comes down in four ranges."""
    async with AsyncRegistryClient(proxy.url) as registry:
        await registry.register(model, path := write(SIZE))
    proxy.reset()
    return path


@pytest.fixture
def progress() -> Counting:
    return Counting()


@pytest.fixture
async def registry(proxy: Proxy, progress: Counting) -> AsyncIterator[AsyncRegistryClient]:
    """One range at a time, so that tests know which request is which."""
    async with AsyncRegistryClient(proxy.url, jobs=1, progress=progress) as registry:
        yield registry


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "serving"


@pytest.mark.parametrize(
    "fault",
    [
        *(pytest.param(answers(status, "<Code>X</Code>"), id=str(status)) for status in (408, 429, 500, 502, 503, 504)),
        pytest.param(drops, id="request lost"),
        pytest.param(cuts(0), id="cut at the start"),
        pytest.param(cuts(MIB + 5), id="cut"),
        pytest.param(answers(403, "<Code>AccessDenied</Code>"), id="403"),
        pytest.param(answers(400, "<Code>ExpiredToken</Code>"), id="ExpiredToken"),
    ],
)
async def test_what_is_missing_is_fetched_again_after_a_fault(
    proxy: Proxy, model: str, source: Path, dest: Path, progress: Counting, fault: Fault
) -> None:
    proxy.when("GET", STORE, fault, nth=2, times=1)
    async with AsyncRegistryClient(proxy.url, jobs=8, progress=progress) as registry:
        path = (await registry.download(model, "latest", dest=dest)).path
    assert digest(path) == digest(source)
    assert len(proxy.asked("GET", STORE)) == 5
    assert progress.moved == SIZE


@pytest.mark.parametrize("fault", [sleeps(20), stalls(20, after=MIB + 5)], ids=["no answer", "stalled"])
async def test_a_connection_on_which_nothing_moves_is_given_up(
    proxy: Proxy,
    model: str,
    source: Path,
    dest: Path,
    registry: AsyncRegistryClient,
    fault: Fault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("modelkeep.client.presigned_transport.STALL_TIMEOUT_SECONDS", 0.5)
    proxy.when("GET", STORE, fault, nth=2, times=1)
    begun = time.monotonic()
    assert digest((await registry.download(model, "latest", dest=dest)).path) == digest(source)
    assert time.monotonic() - begun < 15
    assert len(proxy.asked("GET", STORE)) >= 5


async def test_a_range_goes_on_where_it_was_cut(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient
) -> None:
    proxy.when("GET", STORE, cuts(MIB + 5), times=1)
    await registry.download(model, "latest", dest=dest)
    first, second = proxy.asked("GET", STORE)[:2]
    assert (first.headers["range"], second.headers["range"]) == (
        f"bytes=0-{2 * MIB - 1}",
        f"bytes={MIB}-{2 * MIB - 1}",
    )
    assert "if-match" not in first.headers
    assert second.headers["if-match"] == f'"{digest(source)}"'


async def test_a_connection_that_breaks_all_the_time_is_borne_while_bytes_come(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelkeep.client.artifact_downloader._RANGE_BYTES", 32 * MIB)
    monkeypatch.setattr("modelkeep.client.transfer_pool.MAX_ATTEMPTS", 3)
    proxy.when("GET", STORE, cuts(MIB + 5))
    assert digest((await registry.download(model, "latest", dest=dest)).path) == digest(source)
    assert len(proxy.asked("GET", STORE)) == 8


async def test_storage_that_stays_away_is_named_in_one_sentence(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient, slept: list[float]
) -> None:
    proxy.when("GET", STORE, answers(503, "<Code>SlowDown</Code>"), nth=2)
    with pytest.raises(UnreachableError) as away:
        await registry.download(model, "latest", dest=dest)
    assert str(away.value).startswith("No answer from storage, for 'model.pt': storage answered 503 SlowDown. ")
    assert len(proxy.asked("GET", STORE)) == 7
    assert len(slept) == 5
    assert not (dest / "model.pt").exists()


async def test_a_later_run_fetches_only_what_is_missing(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient, progress: Counting
) -> None:
    proxy.when("GET", STORE, drops, nth=3)
    with pytest.raises(UnreachableError):
        await registry.download(model, "latest", dest=dest)
    proxy.reset()
    progress.moved = 0
    path = (await registry.download(model, "latest", dest=dest)).path
    assert digest(path) == digest(source)
    assert [get.headers["range"] for get in proxy.asked("GET", STORE)] == [
        f"bytes={4 * MIB}-{6 * MIB - 1}",
        f"bytes={6 * MIB}-{SIZE - 1}",
    ]
    assert {get.headers["if-match"] for get in proxy.asked("GET", STORE)} == {f'"{digest(source)}"'}
    assert progress.moved == SIZE


async def test_a_slow_connection_is_no_stalled_one(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelkeep.client.artifact_downloader._RANGE_BYTES", 32 * MIB)
    monkeypatch.setattr("modelkeep.client.presigned_transport.STALL_TIMEOUT_SECONDS", 0.8)
    proxy.when("GET", STORE, trickles(0.2, block=MIB))
    assert digest((await registry.download(model, "latest", dest=dest)).path) == digest(source)
    assert len(proxy.asked("GET", STORE)) == 1


async def test_storage_is_given_the_seconds_that_it_asks_for(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient, slept: list[float]
) -> None:
    proxy.when("GET", STORE, answers(503, retry_after="7"), times=1)
    proxy.when("GET", STORE, answers(429, retry_after="100000"), nth=1, times=1)
    await registry.download(model, "latest", dest=dest)
    assert 7 <= slept[0] <= 7.5
    assert 60 <= slept[1] <= 61


@pytest.mark.parametrize("status", [404, 410, 501, 307])
async def test_a_refusal_for_good_is_not_repeated(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient, status: int
) -> None:
    proxy.when("GET", STORE, answers(status, "<Code>NoSuchKey</Code>", location=f"{proxy.url}/local-store/elsewhere"))
    with pytest.raises(TransferRefusedError) as refused:
        await registry.download(model, "latest", dest=dest)
    assert str(refused.value) == f"Storage refused 'model.pt' with status {status} (NoSuchKey)."
    assert len(proxy.asked("GET", STORE)) == 1


async def test_urls_that_are_about_to_expire_are_not_used(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient
) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=20)).isoformat()
    old = {"expires_at": soon, "url": f"{proxy.url}/local-store/old"}
    proxy.when("GET", LOCATE, rewrites(lambda download: _each_artifact(download, **old)), times=1)
    assert digest((await registry.download(model, "latest", dest=dest)).path) == digest(source)
    first, second = proxy.asked("GET", LOCATE)
    commit = (await registry.get_version(model, "latest")).commit
    assert (first.path, second.path) == (
        f"/v1/models/{model}/versions/latest/download",
        f"/v1/models/{model}/versions/{commit}/download",
    )
    assert len(proxy.asked("GET", STORE)) == 4


async def test_urls_that_storage_refuses_are_replaced_once_for_all_ranges(
    proxy: Proxy, model: str, source: Path, dest: Path
) -> None:
    proxy.when("GET", LOCATE, rewrites(_spoilt), times=1)
    proxy.when("GET", STORE, _late, nth=2, times=1)
    async with AsyncRegistryClient(proxy.url, jobs=4) as registry:
        assert digest((await registry.download(model, "latest", dest=dest)).path) == digest(source)
    assert len(proxy.asked("GET", LOCATE)) == 2


async def test_altered_bytes_never_appear(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient, progress: Counting
) -> None:
    proxy.when("GET", STORE, flips_a_byte(MIB), nth=2, times=1)
    with pytest.raises(DamagedDownloadError) as damaged:
        await registry.download(model, "latest", dest=dest)
    assert damaged.value.path == "model.pt"
    assert damaged.value.expected == digest(source)
    assert f"have SHA-256 {damaged.value.received}, not {digest(source)} as registered" in str(damaged.value)
    assert _files(dest) == []
    assert progress.moved == 0


async def test_altered_bytes_of_one_file_leave_the_others_for_the_next_run(
    proxy: Proxy, model: str, write: Write, dest: Path, registry: AsyncRegistryClient
) -> None:
    source = write(**{"a.bin": MIB, "b.bin": 100})
    await registry.register(model, source)
    proxy.reset()
    proxy.when("GET", r"b\.bin", flips_a_byte(), times=1)
    with pytest.raises(DamagedDownloadError):
        await registry.download(model, "latest", dest=dest)
    assert not (dest / model).exists()
    path = (await registry.download(model, "latest", dest=dest)).path
    assert digest(path / "b.bin") == digest(source / "b.bin")
    assert len(proxy.asked("GET", r"a\.bin")) == 1


async def test_what_an_earlier_run_left_and_is_wrong_is_fetched_again_once(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient, progress: Counting
) -> None:
    proxy.when("GET", STORE, flips_a_byte(5), times=1)
    proxy.when("GET", STORE, drops, nth=2)
    with pytest.raises(UnreachableError):
        await registry.download(model, "latest", dest=dest)
    proxy.reset()
    progress.moved = 0
    assert digest((await registry.download(model, "latest", dest=dest)).path) == digest(source)
    assert len(proxy.asked("GET", STORE)) == 2 + 4
    assert progress.moved == SIZE


async def test_what_is_wrong_again_is_damaged(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient
) -> None:
    proxy.when("GET", STORE, drops, nth=3, times=6)
    with pytest.raises(UnreachableError):
        await registry.download(model, "latest", dest=dest)
    proxy.reset()
    proxy.when("GET", STORE, flips_a_byte(5))
    with pytest.raises(DamagedDownloadError):
        await registry.download(model, "latest", dest=dest)
    assert _files(dest) == []


async def test_an_object_that_changed_between_two_runs_is_fetched_from_the_start(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient
) -> None:
    proxy.when("GET", STORE, _another_object, times=2)
    proxy.when("GET", STORE, drops, nth=1)
    with pytest.raises(UnreachableError):
        await registry.download(model, "latest", dest=dest)
    proxy.reset()
    assert digest((await registry.download(model, "latest", dest=dest)).path) == digest(source)
    gets = proxy.asked("GET", STORE)
    assert gets[0].headers["if-match"] == '"another"'
    assert (gets[2].headers["range"], gets[2].headers.get("if-match")) == (f"bytes=0-{2 * MIB - 1}", None)
    assert len(gets) == 2 + 4


async def test_an_object_that_keeps_changing_is_damaged(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient
) -> None:
    proxy.when("GET", STORE, changes_headers(etag='"another"'))
    with pytest.raises(DamagedDownloadError) as damaged:
        await registry.download(model, "latest", dest=dest)
    assert "'model.pt' are not those registered." in str(damaged.value)
    assert _files(dest) == []


@pytest.mark.parametrize("etag", ['W/"weak"', "bare", '""', '"' + "x" * 300 + '"', '"\x80"'])
async def test_an_etag_that_cannot_be_matched_is_not_sent_back(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient, etag: str
) -> None:
    proxy.when("GET", STORE, changes_headers(etag=etag))
    assert digest((await registry.download(model, "latest", dest=dest)).path) == digest(source)
    assert all("if-match" not in get.headers for get in proxy.asked("GET", STORE))


@pytest.mark.parametrize("jobs", [1, 8])
async def test_storage_that_ignores_ranges_works_too(
    proxy: Proxy, model: str, source: Path, dest: Path, progress: Counting, jobs: int
) -> None:
    proxy.when("GET", STORE, ignores_ranges)
    async with AsyncRegistryClient(proxy.url, jobs=jobs, progress=progress) as registry:
        assert digest((await registry.download(model, "latest", dest=dest)).path) == digest(source)
    assert "range" not in proxy.asked("GET", STORE)[-1].headers
    assert progress.moved == SIZE


async def test_storage_that_ignores_ranges_and_breaks_is_borne_while_new_bytes_come(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelkeep.client.transfer_pool.MAX_ATTEMPTS", 3)
    proxy.when("GET", STORE, ignores_ranges, times=4)
    for reached in range(1, 7):
        proxy.when("GET", STORE, _without_ranges(cuts(reached * MIB + 5)), nth=1, times=1)
    assert digest((await registry.download(model, "latest", dest=dest)).path) == digest(source)
    assert len(proxy.asked("GET", STORE)) == 4 + 6 + 1


async def test_what_came_in_ranges_goes_on_at_storage_that_ignores_them(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient
) -> None:
    proxy.when("GET", STORE, drops, nth=3)
    with pytest.raises(UnreachableError):
        await registry.download(model, "latest", dest=dest)
    proxy.reset()
    proxy.when("GET", STORE, ignores_ranges)
    assert digest((await registry.download(model, "latest", dest=dest)).path) == digest(source)


async def test_a_range_that_was_not_asked_for_is_not_taken_for_the_one_that_was(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient
) -> None:
    proxy.when("GET", STORE, _another_range, nth=2, times=1)
    assert digest((await registry.download(model, "latest", dest=dest)).path) == digest(source)


@pytest.mark.parametrize(
    "change",
    [lambda body: body + b"x", lambda body: body + bytes(3 * MIB), lambda body: body[:-1], lambda body: b""],
    ids=["a byte more", "much more", "a byte less", "nothing"],
)
@pytest.mark.parametrize("size", [SIZE, 1000], ids=["in ranges", "in one"])
@pytest.mark.parametrize("announced", [True, False])
async def test_an_object_of_another_size_never_appears(
    proxy: Proxy,
    model: str,
    write: Write,
    dest: Path,
    registry: AsyncRegistryClient,
    change: Callable[[bytes], bytes],
    size: int,
    announced: bool,
) -> None:
    await registry.register(model, write(size))
    proxy.when("GET", STORE, changes_the_body(change) if announced else _unannounced(change))
    is_less = len(change(bytes(1000))) < 1000
    with pytest.raises(UnreachableError if is_less and not announced else DamagedDownloadError):
        await registry.download(model, "latest", dest=dest)
    assert not (dest / "model.pt").exists()


async def test_bytes_that_come_compressed_although_nobody_asked_never_appear(
    proxy: Proxy, model: str, source: Path, dest: Path, registry: AsyncRegistryClient
) -> None:
    def compressed(request: Request, forward: Forward) -> Reply:
        reply = changes_the_body(gzip.compress)(request, forward)
        return replace(reply, headers={**reply.headers, "content-encoding": "gzip"})

    proxy.when("GET", STORE, compressed)
    with pytest.raises(DamagedDownloadError):
        await registry.download(model, "latest", dest=dest)
    assert _files(dest) == []
    assert {get.headers["accept-encoding"] for get in proxy.asked("GET", STORE)} == {"identity"}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _each_artifact(download: Any, **fields: str) -> Any:
    return download | {"artifacts": [artifact | fields for artifact in download["artifacts"]]}


def _spoilt(download: Any) -> Any:
    return _each_artifact(download, url=download["artifacts"][0]["url"].replace("signature=", "signature=0"))


def _another_object(request: Request, forward: Forward) -> Reply:
    request.headers.pop("if-match", None)
    reply = forward(request)
    return replace(reply, body=bytes(len(reply.body)), headers={**reply.headers, "etag": '"another"'})


def _another_range(request: Request, forward: Forward) -> Reply:
    request.headers["range"] = f"bytes=0-{2 * MIB - 1}"
    return forward(request)


def _late(request: Request, forward: Forward) -> Reply:
    time.sleep(0.5)
    return forward(request)


def _without_ranges(fault: Fault) -> Fault:
    return lambda request, forward: fault(request, lambda request: ignores_ranges(request, forward))


def _unannounced(change: Callable[[bytes], bytes]) -> Fault:
    """The end of the answer is the end of the connection's last chunk: its length is not known before."""

    def fault(request: Request, forward: Forward) -> Reply:
        reply = forward(request)
        body = change(reply.body)
        chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
        headers = {name: value for name, value in reply.headers.items() if name != "content-length"}
        return replace(reply, body=chunk + b"0\r\n\r\n", headers={**headers, "transfer-encoding": "chunked"})

    return fault
