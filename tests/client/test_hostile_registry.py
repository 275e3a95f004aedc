"""An address at which something else answers than a well-meaning registry."""

import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from modelkeep.client import AsyncRegistryClient
from modelkeep.client.errors import (
    DamagedDownloadError,
    NotARegistryError,
    TransferRefusedError,
    UnknownProblemError,
    UnreachableError,
)
from modelkeep.domain.errors import InvalidRequestError, RegistryError
from tests.support.faults.network import answers, never_ends, rewrites
from tests.support.faults.proxy import Fault, Proxy

pytestmark = pytest.mark.usefixtures("slept")

MIB = 1024 * 1024
API = r"^/v1/"
STORE = r"^/local-store/"
BEGIN = r"/versions$"
LOCATE = r"/download$"
JSON = "application/json"
Write = Callable[..., Path]

BOMB = gzip.compress(bytes(20 * MIB))


@pytest.fixture
async def registry(proxy: Proxy) -> AsyncIterator[AsyncRegistryClient]:
    async with AsyncRegistryClient(proxy.url) as registry:
        yield registry


@pytest.fixture
async def registered(proxy: Proxy, registry: AsyncRegistryClient, model: str, write: Write) -> Path:
    """A folder of two files, registered as version 1."""
    await registry.register(model, source := write(**{"a.bin": 100, "b.bin": 200}))
    proxy.reset()
    return source


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "below" / "serving"


ANSWERS: dict[str, tuple[Fault, str]] = {
    "HTML": (answers(200, "<html>Sign in</html>", content_type="text/html"), "its answer is no ModelPage"),
    "nothing": (answers(200), "its answer is no ModelPage"),
    "no content": (answers(204), "its answer is no ModelPage"),
    "half": (answers(200, '{"items": [', content_type=JSON), "its answer is no ModelPage"),
    "list": (answers(200, "[]", content_type=JSON), "its answer is no ModelPage"),
    "number": (answers(200, "7", content_type=JSON), "its answer is no ModelPage"),
    "other fields": (answers(200, '{"models": []}', content_type=JSON), "its answer is no ModelPage"),
    "other types": (answers(200, '{"items": [1], "next_cursor": 7}', content_type=JSON), "its answer is no ModelPage"),
    "deep": (answers(200, "[" * 200_000, content_type=JSON), "its answer is no ModelPage"),
    "no text": (answers(200, b"\xff\xfe\x00", content_type=JSON), "its answer is no ModelPage"),
    "HTML refusal": (answers(404, "<html></html>", content_type="text/html"), "status 404 with text/html"),
    "bare refusal": (answers(401), "status 401 with no content type"),
    "list refusal": (answers(400, '["code"]', content_type=JSON), "status 400 with application/json"),
    "deep refusal": (answers(400, "[" * 200_000, content_type=JSON), "status 400 with application/json"),
    "no code": (answers(403, '{"message": "Forbidden"}', content_type=JSON), "status 403 with application/json"),
    "no redirect": (answers(302), "it redirects to nowhere"),
    "bomb": (answers(200, BOMB, content_encoding="gzip", content_type=JSON), "its answer is compressed"),
    "bomb refusal": (answers(400, BOMB, content_encoding="gzip", content_type=JSON), "its answer is compressed"),
    "endless": (never_ends(200), "its answer has more than 1048576 bytes"),
    "endless refusal": (never_ends(404), "its answer has more than 1048576 bytes"),
    "endless 503": (never_ends(503), "its answer has more than 1048576 bytes"),
}


@pytest.mark.parametrize(("fault", "reason"), ANSWERS.values(), ids=ANSWERS)
async def test_what_does_not_answer_like_a_registry_is_one_clear_error(
    proxy: Proxy, registry: AsyncRegistryClient, fault: Fault, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelkeep.client.registry_transport._MAX_RESPONSE_BYTES", MIB)
    proxy.when("GET", API, fault)
    with pytest.raises(NotARegistryError) as other:
        await registry.list_models()
    assert str(other.value).startswith(f"{proxy.url} does not answer like a model registry: {reason}")
    assert len(str(other.value)) < 300
    assert len(proxy.asked("GET", API)) == 1
    assert proxy.seen[0].headers["accept-encoding"] == "identity"
    assert proxy.seen[0].answered < 32 * MIB


async def test_a_deletion_is_not_believed_to_anything_but_a_registry(
    proxy: Proxy, registry: AsyncRegistryClient
) -> None:
    proxy.when("DELETE", API, answers(200, "<html>Sign in</html>", content_type="text/html"))
    with pytest.raises(NotARegistryError, match="it answers a DELETE with status 200"):
        await registry.delete_version("fraud", 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"code": "upload_incomplete", "model": "m", "version": 1, "missing": []},
        {"code": "upload_incomplete", "model": "m", "version": 1, "missing": [{}]},
        {"code": "upload_incomplete", "model": "m", "version": 1, "missing": 7},
        {"code": "version_in_use", "model": "m", "version": 1, "stage": 1, "aliases": None},
        {"code": "version_not_found", "model": ["m"], "ref": "x"},
        {"code": "model_not_found"},
        {"code": "invalid_request", "errors": "none"},
        {"code": ["a"]},
        {"code": "of_tomorrow"},
    ],
    ids=lambda fields: f"{fields['code']}-{len(fields)}",
)
async def test_a_problem_with_other_fields_than_it_should_have_is_told_as_it_came(
    proxy: Proxy, registry: AsyncRegistryClient, fields: dict[str, Any]
) -> None:
    body = json.dumps({"detail": "Not so.", **fields})
    proxy.when("GET", API, answers(409, body, content_type="application/problem+json"))
    with pytest.raises(UnknownProblemError) as unknown:
        await registry.list_models()
    assert str(unknown.value) == "Not so."
    assert unknown.value.problem["code"] == fields["code"]


@pytest.mark.parametrize(
    "paths",
    [
        ["../x"],
        ["/etc/x"],
        ["a/../../b"],
        ["a/./b"],
        ["a//b"],
        ["..\\x"],
        ["C:\\x"],
        ["x "],
        ["e\u0301"],
        ["\u00e9", "\u00c9"],
        ["a\nb"],
        ["a\x00b"],
        ["~/x\u202e"],
        [""],
        ["a", "A"],
        ["a", "a/b"],
        ["a", "a"],
        ["x" * 600],
        ["/".join("a" * 40)],
    ],
    ids=ascii,
)
async def test_paths_that_lead_elsewhere_are_refused_before_anything_is_written(
    proxy: Proxy, registry: AsyncRegistryClient, model: str, registered: Path, dest: Path, paths: list[str]
) -> None:
    def rename(download: Any) -> Any:
        first = download["artifacts"][0]
        download["artifacts"] = [first | {"path": path} for path in paths]
        return download

    proxy.when("GET", LOCATE, rewrites(rename))
    with pytest.raises(InvalidRequestError):
        await registry.download(model, 1, dest=dest)
    assert not dest.parent.exists()
    assert not proxy.asked("GET", STORE)


@pytest.mark.parametrize("name", ["../../evil", "/../../../tmp/evil", "other", "", "a/b"])
async def test_an_answer_about_another_model_is_refused_before_anything_is_written(
    proxy: Proxy, registry: AsyncRegistryClient, model: str, registered: Path, dest: Path, name: str
) -> None:
    proxy.when("GET", LOCATE, rewrites(lambda download: download | {"model": name}))
    with pytest.raises(NotARegistryError, match=f"asked about '{model}', it answers about another model"):
        await registry.download(model, 1, dest=dest)
    assert not dest.parent.exists()
    assert not proxy.asked("GET", STORE)


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "file:///etc/passwd"},
        {"url": "ftp://127.0.0.1/x"},
        {"url": "/local-store/x"},
        {"url": "http://127.0.0.1:99999999/"},
        {"url": "http://[::1/"},
        {"url": "http://h\x00st/"},
        {"url": ""},
        {"headers": {"x": "a\r\nb: c"}},
        {"headers": {"x": "\u20ac"}},
        {"headers": {"x\n": "y"}},
        {"method": "G\r\nET"},
    ],
    ids=ascii,
)
async def test_a_url_that_is_none_is_one_clear_error(
    proxy: Proxy, registry: AsyncRegistryClient, model: str, registered: Path, dest: Path, fields: dict[str, Any]
) -> None:
    proxy.when("GET", LOCATE, rewrites(lambda download: _each(download, **fields)))
    with pytest.raises(UnreachableError, match=r"No answer from storage, for '[ab]\.bin': "):
        await registry.download(model, 1, dest=dest)
    assert not (dest / model).exists()


@pytest.mark.parametrize("size", [-1, 0, 10**15])
async def test_a_size_that_is_not_that_of_the_bytes_puts_nothing_there(
    proxy: Proxy, registry: AsyncRegistryClient, model: str, registered: Path, dest: Path, size: int
) -> None:
    proxy.when("GET", LOCATE, rewrites(lambda download: _each(download, size=size)))
    with pytest.raises(RegistryError, match=r"are not those registered|not \w{64} as registered|bytes are needed"):
        await registry.download(model, 1, dest=dest)
    assert not (dest / model).exists()


async def test_a_digest_that_is_not_that_of_the_bytes_is_damaged(
    proxy: Proxy, registry: AsyncRegistryClient, model: str, registered: Path, dest: Path
) -> None:
    proxy.when("GET", LOCATE, rewrites(lambda download: _each(download, sha256="0" * 64)))
    with pytest.raises(DamagedDownloadError):
        await registry.download(model, 1, dest=dest)
    assert not (dest / model).exists()


@pytest.mark.parametrize("sha256", ["", "../../../evil", "F" * 64])
async def test_what_is_no_digest_names_no_file(
    proxy: Proxy, model: str, registered: Path, dest: Path, tmp_path: Path, sha256: str
) -> None:
    proxy.when("GET", LOCATE, rewrites(lambda download: _each(download, sha256=sha256)))
    before = _below(tmp_path)
    async with AsyncRegistryClient(proxy.url, cache_dir=tmp_path / "a" / "cache") as registry:
        with pytest.raises(InvalidRequestError, match="64 lower-case hex digits"):
            await registry.download(model, 1, dest=dest)
    assert _below(tmp_path) == before


def _below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


async def test_parts_that_do_not_add_up_are_one_clear_error(
    proxy: Proxy, registry: AsyncRegistryClient, model: str, write: Write
) -> None:
    multipart = {"part_size": 64 * MIB, "part_count": 10**12, "parts_done": []}
    proxy.when("POST", BEGIN, rewrites(lambda upload: _each(upload, upload=None, multipart=multipart)))
    with pytest.raises(NotARegistryError, match=r"it cuts 'model\.pt' into parts that do not add up"):
        await registry.register(model, write(100))
    assert not proxy.asked("PUT", STORE)


@pytest.mark.parametrize("method", ["PUT", "GET"])
@pytest.mark.parametrize("status", [400, 404])
async def test_of_an_endless_refusal_of_storage_only_the_beginning_is_read(
    proxy: Proxy, registry: AsyncRegistryClient, model: str, write: Write, dest: Path, method: str, status: int
) -> None:
    refusal = never_ends(status, b"<Error><Code>Gone</Code></Error>" + bytes(64 * 1024))
    proxy.when(method, STORE, refusal)
    with pytest.raises(TransferRefusedError, match=rf"status {status} \(Gone\)"):
        await _round_trip(registry, model, write(100), dest)
    assert proxy.asked(method, STORE)[0].answered < 32 * MIB


@pytest.mark.parametrize("method", ["PUT", "GET"])
async def test_a_refusal_of_storage_that_unpacks_to_a_gigabyte_is_not_unpacked(
    proxy: Proxy, registry: AsyncRegistryClient, model: str, write: Write, dest: Path, method: str
) -> None:
    proxy.when(method, STORE, answers(404, BOMB, content_encoding="gzip"))
    with pytest.raises(TransferRefusedError, match=r"status 404 \(Not Found\)"):
        await _round_trip(registry, model, write(100), dest)
    assert {request.headers["accept-encoding"] for request in proxy.asked(method, STORE)} == {"identity"}


@pytest.mark.parametrize("url", ["", "registry:8000", "ftp://registry", "http://", "http://h:99999", "http://[::1"])
def test_what_is_no_address_is_refused_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELKEEP_URL", url or "x")
    with pytest.raises(ValueError, match="is not an address like http://registry:8000"):
        AsyncRegistryClient(url)


async def _round_trip(registry: AsyncRegistryClient, model: str, source: Path, dest: Path) -> None:
    await registry.register(model, source)
    await registry.download(model, 1, dest=dest)


def _each(answer: Any, **fields: Any) -> Any:
    return answer | {"artifacts": [artifact | fields for artifact in answer["artifacts"]]}
