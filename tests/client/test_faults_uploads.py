"""Registering while the network or storage misbehaves."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from modelkeep.client import AsyncRegistryClient, Progress
from modelkeep.client.errors import ChangedFileError, LocalFileError, TransferRefusedError, UnreachableError
from modelkeep.domain.errors import ChecksumMismatchError, UploadIncompleteError
from tests.support.faults.network import (
    answers,
    changes,
    drops,
    flips_a_byte_on_its_way_up,
    loses_the_reply,
    problem,
    rewrites,
    sleeps,
)
from tests.support.faults.proxy import Fault, Forward, Proxy, Reply, Request
from tests.support.programs import Server

pytestmark = pytest.mark.usefixtures("slept")

MIB = 1024 * 1024
STORE = r"^/local-store/"
BEGIN = r"/versions$"
UPLOAD = r"/upload$"
COMPLETE = r"/complete$"
Write = Callable[..., Path]


@pytest.mark.parametrize(
    "fault",
    [
        *(pytest.param(answers(status, "<Error><Code>X</Code></Error>"), id=str(status)) for status in (408, 429)),
        *(pytest.param(answers(status, "no XML"), id=str(status)) for status in (500, 502, 503, 504)),
        pytest.param(answers(400, "<Code>RequestTimeout</Code>"), id="RequestTimeout"),
        pytest.param(answers(409, "<Code>ConditionalRequestConflict</Code>"), id="ConditionalRequestConflict"),
        pytest.param(drops, id="request lost"),
        pytest.param(loses_the_reply, id="reply lost"),
    ],
)
async def test_a_file_goes_up_again_after_a_fault(proxy: Proxy, model: str, write: Write, fault: Fault) -> None:
    proxy.when("PUT", STORE, fault, times=1)
    source = write(2 * MIB + 3)
    async with AsyncRegistryClient(proxy.url) as registry:
        version = await registry.register(model, source)
    assert version.size == 2 * MIB + 3
    assert len(proxy.asked("PUT", STORE)) >= 2


@pytest.mark.parametrize("reads", [True, False], ids=["no answer", "takes no bytes"])
async def test_a_connection_on_which_nothing_moves_is_given_up_and_the_file_goes_up_again(
    proxy: Proxy, model: str, write: Write, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    monkeypatch.setattr("modelkeep.client.presigned_transport.STALL_TIMEOUT_SECONDS", 0.5)
    proxy.when("PUT", STORE, sleeps(20), times=1, reads=reads)
    begun = time.monotonic()
    async with AsyncRegistryClient(proxy.url) as registry:
        assert (await registry.register(model, write(16 * MIB))).version == 1
    assert time.monotonic() - begun < 15


async def test_an_answer_before_all_bytes_are_sent_is_heard(proxy: Proxy, model: str, write: Write) -> None:
    proxy.when("PUT", STORE, answers(503, "<Code>SlowDown</Code>"), times=1, reads=False)
    async with AsyncRegistryClient(proxy.url) as registry:
        assert (await registry.register(model, write(24 * MIB))).version == 1


async def test_storage_that_stays_away_is_named_in_one_sentence_and_nothing_is_completed(
    proxy: Proxy, model: str, write: Write, slept: list[float]
) -> None:
    proxy.when("PUT", STORE, answers(503, "<Code>SlowDown</Code>"))
    async with AsyncRegistryClient(proxy.url) as registry:
        with pytest.raises(UnreachableError) as away:
            await registry.register(model, write(10))
    assert str(away.value).startswith("No answer from storage, for 'model.pt': storage answered 503 SlowDown. ")
    assert len(proxy.asked("PUT", STORE)) == 6
    assert len(slept) == 5
    assert not proxy.asked("POST", COMPLETE)


async def test_a_registration_that_was_given_up_goes_on_where_it_was(proxy: Proxy, model: str, write: Write) -> None:
    proxy.when("PUT", r"^/local-store/.*b\.bin", drops, times=6)
    source = write(**{"a.bin": 10, "b.bin": 11})
    async with AsyncRegistryClient(proxy.url, jobs=1) as registry:
        with pytest.raises(UnreachableError):
            await registry.register(model, source)
        assert (await registry.register(model, source)).version == 1
    sent = Counter(len(put.body) for put in proxy.asked("PUT", STORE))
    assert sent == {10: 1, 11: 7}


@pytest.mark.parametrize("status", [501, 401, 404, 405, 307])
async def test_a_refusal_for_good_is_not_repeated(proxy: Proxy, model: str, write: Write, status: int) -> None:
    proxy.when("PUT", STORE, answers(status, "<Code>NotForYou</Code>", location="http://127.0.0.1:9/"))
    async with AsyncRegistryClient(proxy.url) as registry:
        with pytest.raises(TransferRefusedError) as refused:
            await registry.register(model, write(10))
    assert str(refused.value) == f"Storage refused 'model.pt' with status {status} (NotForYou)."
    assert len(proxy.asked("PUT", STORE)) == 1


async def test_storage_is_given_the_seconds_that_it_asks_for(
    proxy: Proxy, model: str, write: Write, slept: list[float]
) -> None:
    proxy.when("PUT", STORE, answers(503, retry_after="7"), times=1)
    proxy.when("PUT", STORE, answers(429, retry_after=_in(40)), nth=1, times=1)
    async with AsyncRegistryClient(proxy.url) as registry:
        await registry.register(model, write(10))
    assert 7 <= slept[0] <= 7.5
    assert 37 <= slept[1] <= 41


async def test_a_url_that_is_about_to_expire_is_not_used(proxy: Proxy, model: str, write: Write) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=20)).isoformat()
    proxy.when("POST", BEGIN, rewrites(_each_upload(expires_at=soon, url=f"{proxy.url}/local-store/old")))
    async with AsyncRegistryClient(proxy.url) as registry:
        assert (await registry.register(model, write(10))).version == 1
    assert len(proxy.asked("GET", UPLOAD)) == 1
    assert len(proxy.asked("PUT", STORE)) == 1


async def test_a_url_that_storage_refuses_is_replaced(proxy: Proxy, model: str, write: Write) -> None:
    proxy.when("POST", BEGIN, rewrites(lambda upload: _each_upload(url=_spoilt(_url(upload)))(upload)))
    async with AsyncRegistryClient(proxy.url) as registry:
        assert (await registry.register(model, write(10))).version == 1
    first, second = proxy.asked("PUT", STORE)
    assert first.query != second.query
    assert len(proxy.asked("GET", UPLOAD)) == 1


OTHER_BYTES: dict[str, dict[str, Any]] = {
    "size_mismatch": {"path": "model.pt", "declared": 10, "stored": 11},
    "checksum_mismatch": {"path": "model.pt"},
    "object_predates_upload": {"path": "model.pt"},
    "reused_object_changed": {"path": "model.pt", "reused_from": 1},
}


@pytest.mark.parametrize("key", [None, "ci-run-1"])
@pytest.mark.parametrize("code", OTHER_BYTES)
async def test_a_number_under_which_storage_has_other_bytes_is_given_up_for_the_next(
    proxy: Proxy, model: str, write: Write, code: str, key: str | None
) -> None:
    source = write(10)
    async with AsyncRegistryClient(proxy.url) as registry:
        proxy.when("POST", COMPLETE, problem(422, code, **OTHER_BYTES[code]), times=2)
        assert (await registry.register(model, source, idempotency_key=key)).version == 3
        keys = [begun.headers["idempotency-key"] for begun in proxy.asked("POST", BEGIN)]
        assert len(set(keys)) == len(keys) == 3
        proxy.when("POST", COMPLETE, problem(422, code, **OTHER_BYTES[code]), times=2)
        assert (await registry.register(model, source, idempotency_key=key)).version == (3 if key else 6)


async def test_a_storage_that_never_has_the_right_bytes_is_given_up(proxy: Proxy, model: str, write: Write) -> None:
    proxy.when("POST", COMPLETE, problem(422, "checksum_mismatch", path="model.pt"))
    async with AsyncRegistryClient(proxy.url) as registry:
        with pytest.raises(ChecksumMismatchError) as refused:
            await registry.register(model, write(10))
    assert str(refused.value).startswith("The stored bytes of 'model.pt' do not have the declared SHA-256.")
    assert len(proxy.asked("POST", BEGIN)) == len(proxy.asked("POST", COMPLETE)) == 3


@pytest.mark.parametrize("code", ["ExpiredToken", "TokenRefreshRequired"])
async def test_a_url_whose_signer_lost_its_credentials_is_replaced(
    proxy: Proxy, model: str, write: Write, code: str
) -> None:
    proxy.when("PUT", STORE, answers(400, f"<Error><Code>{code}</Code></Error>"), times=1)
    async with AsyncRegistryClient(proxy.url) as registry:
        assert (await registry.register(model, write(10))).version == 1
    assert len(proxy.asked("GET", UPLOAD)) == 1


@pytest.mark.parametrize(
    "fault",
    [
        flips_a_byte_on_its_way_up(MIB),
        answers(400, "<Code>BadDigest</Code>"),
        answers(400, "<Code>XAmzContentChecksumMismatch</Code>"),
        answers(400, "<Code>IncompleteBody</Code>"),
    ],
    ids=["flipped", "BadDigest", "XAmzContentChecksumMismatch", "IncompleteBody"],
)
async def test_bytes_altered_on_their_way_up_are_sent_again(
    proxy: Proxy, model: str, write: Write, tmp_path: Path, fault: Fault
) -> None:
    proxy.when("PUT", STORE, fault, times=1)
    source = write(2 * MIB)
    async with AsyncRegistryClient(proxy.url) as registry:
        await registry.register(model, source)
        path = (await registry.download(model, "latest", dest=tmp_path / "serving")).path
    assert path.read_bytes() == source.read_bytes()
    assert len(proxy.asked("PUT", STORE)) == 2


async def test_bytes_that_are_always_altered_end_in_one_sentence(proxy: Proxy, model: str, write: Write) -> None:
    proxy.when("PUT", STORE, flips_a_byte_on_its_way_up())
    async with AsyncRegistryClient(proxy.url) as registry:
        with pytest.raises(UnreachableError, match="bytes were altered on their way"):
            await registry.register(model, write(10))
    assert not proxy.asked("POST", COMPLETE)


def _rewrite(source: Path) -> None:
    source.write_bytes(bytes(source.stat().st_size))


def _truncate(source: Path) -> None:
    os.truncate(source, source.stat().st_size // 2)


def _append(source: Path) -> None:
    with source.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize("change", [_rewrite, _truncate, _append])
@pytest.mark.parametrize("when", [("POST", BEGIN), ("PUT", STORE)], ids=["before", "while"])
async def test_a_file_that_changes_while_it_is_registered_is_not(
    proxy: Proxy, model: str, write: Write, change: Callable[[Path], None], when: tuple[str, str]
) -> None:
    source = write(3 * MIB)
    proxy.when(*when, _meanwhile(lambda: change(source)), times=1)
    async with AsyncRegistryClient(proxy.url) as registry:
        with pytest.raises(ChangedFileError) as changed:
            await registry.register(model, source)
    assert changed.value.path == "model.pt"
    assert not proxy.asked("POST", COMPLETE)


async def test_a_file_that_is_removed_while_it_is_registered_is_named(proxy: Proxy, model: str, write: Write) -> None:
    source = write(3 * MIB)
    proxy.when("POST", BEGIN, _meanwhile(source.unlink))
    async with AsyncRegistryClient(proxy.url) as registry:
        with pytest.raises(LocalFileError, match=r"model\.pt' cannot be read"):
            await registry.register(model, source)
    assert not proxy.asked("POST", COMPLETE)


async def test_what_storage_lost_is_sent_again(proxy: Proxy, model: str, write: Write) -> None:
    proxy.when("PUT", r"^/local-store/.*b\.bin", answers(200), times=1)
    async with AsyncRegistryClient(proxy.url) as registry:
        assert (await registry.register(model, write(**{"a.bin": 10, "b.bin": 11}))).version == 1
    assert Counter(len(put.body) for put in proxy.asked("PUT", STORE)) == {10: 1, 11: 2}
    keys = {complete.headers["idempotency-key"] for complete in proxy.asked("POST", COMPLETE)}
    assert len(keys) == 2


async def test_storage_that_loses_everything_ends_in_the_registrys_refusal(
    proxy: Proxy, model: str, write: Write
) -> None:
    proxy.when("PUT", STORE, answers(200))
    async with AsyncRegistryClient(proxy.url) as registry:
        with pytest.raises(UploadIncompleteError) as incomplete:
            await registry.register(model, write(10))
    assert incomplete.value.missing == [{"path": "model.pt"}]
    assert len(proxy.asked("PUT", STORE)) == 3


async def test_parts_go_up_again_each_for_itself(proxy: Proxy, model: str, write: Write, tmp_path: Path) -> None:
    source = write(64 * MIB + 9)
    proxy.when("PUT", r"&part=1&", answers(200), times=1)
    proxy.when("PUT", r"&part=2&", answers(403), times=1)
    proxy.when("PUT", r"&part=2&", flips_a_byte_on_its_way_up(), times=1)
    proxy.when("PUT", r"&part=2&", drops, times=1)
    async with AsyncRegistryClient(proxy.url) as registry:
        version = await registry.register(model, source)
        path = (await registry.download(model, version.version, dest=tmp_path / "serving")).path
    assert path.read_bytes() == source.read_bytes()
    assert [len(put.body) for put in proxy.asked("PUT", r"&part=1&")] == [64 * MIB] * 2
    assert [len(put.body) for put in proxy.asked("PUT", r"&part=2&")] == [9] * 4
    assert len(proxy.asked("POST", COMPLETE)) == 2


async def test_parts_of_what_storage_forgot_are_asked_for_anew(proxy: Proxy, model: str, write: Write) -> None:
    proxy.when("PUT", r"&part=1&", answers(404, "<Code>NoSuchUpload</Code>"), times=1)
    async with AsyncRegistryClient(proxy.url) as registry:
        assert (await registry.register(model, write(26 * MIB))).version == 1
    assert len(proxy.asked("PUT", r"&part=1&")) == 2
    assert len(proxy.asked("POST", COMPLETE)) == 2


async def test_progress_counts_every_byte_once_however_often_it_is_sent(proxy: Proxy, model: str, write: Write) -> None:
    class Counting(Progress):
        moved = 0

        def advance(self, path: str, size: int) -> None:
            self.moved += size

    counting = Counting()
    proxy.when("PUT", STORE, answers(503), times=2)
    proxy.when("PUT", STORE, drops, nth=1, times=1)
    async with AsyncRegistryClient(proxy.url, progress=counting) as registry:
        await registry.register(model, write(5 * MIB))
    assert counting.moved == 2 * 5 * MIB


def _in(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def _each_upload(**fields: str) -> Callable[[Any], Any]:
    def change(upload: Any) -> Any:
        for artifact in upload["artifacts"]:
            artifact["upload"] |= fields
        return upload

    return change


def _url(upload: Any) -> str:
    return str(upload["artifacts"][0]["upload"]["url"])


def _spoilt(url: str) -> str:
    return url.replace("signature=", "signature=0")


def _meanwhile(act: Callable[[], object]) -> Fault:
    def change(reply: Reply) -> Reply:
        act()
        return reply

    return changes(change)


async def test_parts_that_are_removed_on_their_way_go_up_again(
    proxy: Proxy, dev_behind_proxy: tuple[Proxy, Server], model: str, write: Write
) -> None:
    """As a lifecycle rule or a person does it: the multipart upload is gone, and with it what has arrived."""
    multiparts = dev_behind_proxy[1]._log.parent / "registry-data" / "multiparts"

    def removes(request: Request, forward: Forward) -> Reply:
        for home in multiparts.iterdir():
            shutil.rmtree(home)
        return forward(request)

    proxy.when("PUT", STORE, removes, times=1)
    source = write(26 * MIB)
    async with AsyncRegistryClient(proxy.url) as registry:
        assert (await registry.register(model, source)).version == 1
    assert [put.query.partition("&part=")[2][:1] for put in proxy.asked("PUT", STORE)] == ["1", "1"]
    assert len({put.query for put in proxy.asked("PUT", STORE)}) == 2
