"""Where the token and signed URLs go, and where they never do."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from modelkeep.client import AsyncRegistryClient
from modelkeep.client.errors import NotARegistryError, NoTokenError, TransferRefusedError, UnreachableError
from tests.support.faults.network import answers, cuts, drops, flips_a_byte_on_its_way_up
from tests.support.faults.proxy import Proxy

pytestmark = pytest.mark.usefixtures("slept")

MIB = 1024 * 1024
STORE = r"^/local-store/"
API = r"^/v1/"
Write = Callable[..., Path]


@pytest.fixture
def secrets(token: str) -> tuple[str, ...]:
    """What must not be shown anywhere, in lower case."""
    return ("signature", "x-amz-credential", "x-amz-security-token", token.lower())


async def _walk(proxy: Proxy, token: str, model: str, source: Path, dest: Path) -> None:
    """Register and download, with every fault that makes the client speak to registry and storage again."""
    proxy.when("PUT", STORE, answers(403, "<Code>AccessDenied</Code>"), times=1)
    proxy.when("PUT", STORE, flips_a_byte_on_its_way_up(), times=1)
    proxy.when("PUT", STORE, answers(503), times=1)
    proxy.when("GET", STORE, cuts(MIB + 5), times=1)
    proxy.when("GET", STORE, answers(403), times=1)
    proxy.when("GET", STORE, drops, times=1)
    proxy.when("GET", API, answers(503), times=1)
    async with AsyncRegistryClient(proxy.url, token=token) as registry:
        await registry.register(model, source)
        await registry.promote(model, 1)
        await registry.download(model, dest=dest)


async def test_the_token_goes_to_the_registry_and_never_to_storage(
    proxy: Proxy, model: str, write: Write, tmp_path: Path, token: str
) -> None:
    await _walk(proxy, token, model, write(3 * MIB), tmp_path / "serving")
    assert len(proxy.asked("PUT|GET", STORE)) >= 8
    assert len(proxy.asked(".*", API)) >= 5
    for request in proxy.asked(".*", API):
        assert request.headers["authorization"] == f"Bearer {token}"
    for request in proxy.asked(".*", STORE):
        sent = f"{request.path}?{request.query} {request.headers}".lower()
        assert token.lower() not in sent
        assert not {"authorization", "proxy-authorization", "cookie"} & request.headers.keys()


async def test_the_token_of_the_environment_is_treated_alike(
    proxy: Proxy, model: str, write: Write, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("MODELKEEP_TOKEN", token)
    async with AsyncRegistryClient(proxy.url) as registry:
        await registry.register(model, write(10))
    assert proxy.asked("POST", API)[0].headers["authorization"] == f"Bearer {token}"
    assert "authorization" not in proxy.asked("PUT", STORE)[0].headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "ask",
    [
        lambda registry: registry.list_models(),
        lambda registry: registry.promote("fraud", 1),
        lambda registry: registry.delete_model("fraud"),
    ],
    ids=["GET", "PUT", "DELETE"],
)
async def test_the_token_does_not_follow_a_redirect(
    proxy: Proxy, status: int, ask: Callable[[AsyncRegistryClient], Awaitable[object]], token: str
) -> None:
    proxy.when(".*", API, answers(status, location=f"{proxy.url}/elsewhere"))
    async with AsyncRegistryClient(proxy.url, token=token) as registry:
        with pytest.raises(NotARegistryError, match=f"it redirects to {proxy.url}/elsewhere"):
            await ask(registry)
    assert len(proxy.seen) == 1


async def test_no_signed_url_and_no_token_is_ever_logged(
    proxy: Proxy,
    model: str,
    write: Write,
    tmp_path: Path,
    everything_logged: pytest.LogCaptureFixture,
    token: str,
    secrets: tuple[str, ...],
) -> None:
    await _walk(proxy, token, model, write(3 * MIB), tmp_path / "serving")
    logged = _logged(everything_logged)
    assert sum("/local-store/" in each for each in logged) >= 7
    assert {record.name.partition(".")[0] for record in everything_logged.records} >= {"httpx", "httpcore"}
    for each in logged:
        assert not any(secret in each.lower() for secret in secrets), each


async def test_where_storage_redirects_to_is_not_logged_with_its_signature(
    proxy: Proxy,
    model: str,
    write: Write,
    tmp_path: Path,
    everything_logged: pytest.LogCaptureFixture,
    token: str,
    secrets: tuple[str, ...],
) -> None:
    elsewhere = "https://bucket.s3.eu-west-1.amazonaws.com/model.pt?X-Amz-Expires=900&X-Amz-Signature=0123"
    proxy.when("PUT", STORE, answers(307, location=elsewhere))
    async with AsyncRegistryClient(proxy.url, token=token) as registry:
        with pytest.raises(TransferRefusedError) as refused:
            await registry.register(model, write(10))
    logged = _logged(everything_logged)
    assert any("bucket.s3.eu-west-1.amazonaws.com/model.pt" in each for each in logged)
    for each in [*logged, str(refused.value)]:
        assert not any(secret in each.lower() for secret in secrets), each


async def test_errors_hold_no_secret(
    proxy: Proxy, model: str, write: Write, token: str, secrets: tuple[str, ...]
) -> None:
    proxy.when("PUT", STORE, drops)
    async with AsyncRegistryClient(proxy.url, token=token) as registry:
        with pytest.raises(UnreachableError) as away:
            await registry.register(model, write(10))
    error: BaseException | None = away.value
    while error is not None:
        assert not any(secret in f"{error!r} {error}".lower() for secret in secrets)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("form", ["{}\n", " {}", "{} x", "{}\x00", "{}\u00e9"])
async def test_a_token_that_no_header_can_hold_is_refused_without_being_shown(
    proxy: Proxy, token: str, form: str
) -> None:
    async with AsyncRegistryClient(proxy.url, token=form.format(token)) as registry:
        with pytest.raises(NoTokenError, match="it has spaces, line breaks or other") as refused:
            await registry.list_models()
    assert token not in str(refused.value)
    assert proxy.seen == []


def _logged(log: pytest.LogCaptureFixture) -> list[str]:
    """Every record: its sentence, and all that it was made of."""
    return [f"{record.getMessage()} {record.msg} {record.args}" for record in log.records]
