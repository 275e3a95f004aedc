"""Where the client's token comes from, and what becomes of it: files that are renewed, jobs at GitHub, providers."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modelkeep.admin import access
from modelkeep.client import AsyncRegistryClient, RegistryClient
from modelkeep.client.errors import NoTokenError
from modelkeep.domain.access.trust import IssuerKind
from modelkeep.domain.errors import (
    ActionForbiddenError,
    CredentialsRequiredError,
    InvalidTokenError,
    TokenExpiredError,
    TooManyRequestsError,
)
from modelkeep.schemas.access import Grants
from tests.support.faults.network import answers, drops, passes, problem
from tests.support.faults.proxy import Fault, Forward, Proxy, Reply, Request
from tests.support.identities import ANYWHERE, AskingRegistry, GitHub, asking_registry, github
from tests.support.issuers import IssuerServer, issuer_server
from tests.support.processes.cli import Cli
from tests.support.servers import free_port

MIB = 1024 * 1024
STORE = "^/local-store/"
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def forge() -> Iterator[IssuerServer]:
    """GitHub, as the registry sees it."""
    with issuer_server(IssuerKind.GITHUB) as server:
        yield server


@pytest.fixture(scope="module")
def cluster() -> Iterator[IssuerServer]:
    with issuer_server(IssuerKind.KUBERNETES) as server:
        yield server


@pytest.fixture(scope="module")
def service(
    forge: IssuerServer, cluster: IssuerServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AskingRegistry]:
    fraud, pod = {"repository_id": 740216803}, {"sub": "system:serviceaccount:serving:fraud"}
    rules = {
        "issuers": {
            "github": {"kind": "github", "url": forge.url, "audience": [ANYWHERE, "models"]},
            "cluster": {"kind": "kubernetes", "url": cluster.url, "audience": ANYWHERE},
        },
        "rules": [
            {"id": "train", "issuer": "github", "match": fraud, "allow": ["publisher", "promoter"]},
            {"id": "serve", "issuer": "cluster", "match": pod, "allow": ["reader"]},
        ],
    }
    with asking_registry(tmp_path_factory.mktemp("asking") / "registry", rules) as service:
        yield service


@pytest.fixture
def asking(service: AskingRegistry, monkeypatch: pytest.MonkeyPatch) -> AskingRegistry:
    """The registry, and an environment that names it."""
    service.proxy.reset()
    service.storage.reset()
    monkeypatch.setenv("MODELKEEP_URL", f"{service.url}/")
    return service


@pytest.fixture
def job(forge: IssuerServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """This process is a job of GitHub Actions that may have an identity."""
    with github(lambda audience: forge.token(aud=audience)) as job:
        for name, value in job.variables.items():
            monkeypatch.setenv(name, value)
        yield job


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the variable names; there is nothing yet."""
    path = tmp_path / "token"
    monkeypatch.setenv("MODELKEEP_TOKEN_FILE", str(path))
    return path


@pytest.fixture
def registered(asking: AskingRegistry, forge: IssuerServer, model: str, write: Write) -> str:
    """A model with a version in production, and nothing seen of how it came there."""
    with RegistryClient(token=forge.token(aud=asking.url)) as registry:
        registry.promote(model, registry.register(model, write(2 * MIB)).version)
    asking.proxy.reset()
    asking.storage.reset()
    return model


def token_for(asking: AskingRegistry, *allow: str, seconds: float = 3600) -> str:
    """A registry token that ends soon."""
    grants = Grants(allow=list(allow), models=["*"]).to_grants("")
    made = asyncio.run(access.create_token(asking.settings, "ci", grants, timedelta(seconds=seconds)))
    return made[1].text


# GitHub Actions


def test_a_job_registers_and_promotes_with_nothing_stored(
    asking: AskingRegistry, job: GitHub, model: str, write: Write
) -> None:
    with RegistryClient() as registry:
        registry.promote(model, registry.register(model, write(10)).version)
        assert registry.list_events(model)[-1].actor.startswith("github:repo:acme@9919/fraud@740216803")
    assert job.audiences == [asking.url], "asked once, for this registry alone"
    assert len(set(asking.tokens_shown())) == 1
    assert ["authorization" in request.headers for request in asking.storage.seen] == [False]


def test_the_audience_can_be_another(asking: AskingRegistry, job: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELKEEP_AUDIENCE", "models")
    with RegistryClient() as registry:
        registry.list_models()
    assert job.audiences == ["models"]


def test_a_token_is_renewed_before_it_expires_in_the_middle_of_an_upload(
    asking: AskingRegistry, forge: IssuerServer, model: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking.storage.when("PUT", STORE, passes, pace=0.5)
    with github(lambda audience: forge.token(aud=audience, exp=int(time.time()) + 62)) as job:
        for name, value in job.variables.items():
            monkeypatch.setenv(name, value)
        with RegistryClient() as registry:
            registry.register(model, write(5 * MIB))
    shown = asking.tokens_shown()
    assert len(job.audiences) == len(set(shown)) == 2
    assert len(shown) == len(asking.proxy.asked("POST", "^/v1/")) == 2, "none was refused, so nothing was repeated"


async def test_requests_at_the_same_time_ask_github_once(asking: AskingRegistry, job: GitHub) -> None:
    async with AsyncRegistryClient() as registry:
        await asyncio.gather(*(registry.list_models() for _ in range(8)))
    assert len(asking.tokens_shown()) == 8
    assert len(job.audiences) == 1


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (answers(403), "it answers with status 403. Give the job 'permissions: id-token: write'"),
        (answers(302, location=f"http://127.0.0.1:{free_port()}/"), "it answers with status 302"),
        (answers(200, "<html>"), "its answer holds none"),
        (answers(200, '["value"]'), "its answer holds none"),
        (answers(200, '{"value": ""}'), "it is empty"),
        (answers(200, '{"value": null}'), "its answer holds none"),
        (answers(200, '{"value": "two words"}'), "it has spaces"),
    ],
)
def test_github_gives_no_token(asking: AskingRegistry, job: GitHub, answer: Fault, sentence: str) -> None:
    job.meets(answer)
    with RegistryClient() as registry, pytest.raises(NoTokenError) as none:
        registry.list_models()
    assert str(none.value).startswith(f"No token from GitHub: {sentence}")
    assert job.bearer not in str(none.value)
    assert (len(job.proxy.seen), asking.proxy.seen) == (1, [])


def test_what_passes_at_github_is_waited_for(
    asking: AskingRegistry, job: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[int] = []

    def note(attempt: int) -> float:
        pauses.append(attempt)
        return 0

    monkeypatch.setattr("modelkeep.client.github.retry_delay", note)
    job.meets(answers(503), drops)
    with RegistryClient() as registry:
        registry.list_models()
    assert pauses == [1, 2]
    job.meets(*[drops] * 6)
    with RegistryClient() as registry, pytest.raises(NoTokenError, match=r"^No token from GitHub: Server disconnected"):
        registry.list_models()
    assert pauses == [1, 2, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("missing", ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
def test_a_job_without_the_permission_sends_no_token(
    asking: AskingRegistry, job: GitHub, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(missing, "")
    with RegistryClient() as registry, pytest.raises(CredentialsRequiredError, match="permissions: id-token: write"):
        registry.list_models()
    assert (job.proxy.seen, asking.tokens_shown()) == ([], [""])


def test_no_token_of_a_job_is_logged(
    asking: AskingRegistry, job: GitHub, model: str, write: Write, everything_logged: pytest.LogCaptureFixture
) -> None:
    with RegistryClient() as registry:
        registry.register(model, write(10))
    (token,) = set(asking.tokens_shown())
    logged = [f"{record.getMessage()} {record.msg} {record.args}" for record in everything_logged.records]
    assert any(job.proxy.url in each for each in logged)
    for secret in (job.bearer, token, token.rpartition(".")[2]):
        assert not any(secret in each for each in logged)


# a file


def test_a_pod_fetches_production_by_its_projected_token(
    asking: AskingRegistry, cluster: IssuerServer, token_file: Path, registered: str, tmp_path: Path
) -> None:
    token_file.write_text(cluster.token(aud=[asking.url]))
    with RegistryClient() as registry:
        assert registry.download(registered, dest=tmp_path / "models").path.stat().st_size == 2 * MIB
        with pytest.raises(ActionForbiddenError):
            registry.promote(registered, 1, "archived")


def test_a_file_that_changes_in_the_middle_of_an_upload_is_read_again(
    asking: AskingRegistry, cluster: IssuerServer, token_file: Path, model: str, write: Write
) -> None:
    """By a symbolic link that is turned, as Kubernetes does; nobody refuses the first token."""
    first, second = token_for(asking, "publisher"), token_for(asking, "publisher")
    for name, token in (("first", first), ("second", second)):
        token_file.with_name(name).write_text(f"{token}\n")
    token_file.symlink_to("first")

    def turns(request: Request, forward: Forward) -> Reply:
        token_file.with_name("turned").symlink_to("second")
        token_file.with_name("turned").rename(token_file)
        return forward(request)

    asking.storage.when("PUT", STORE, turns)
    with RegistryClient() as registry:
        registry.register(model, write(10))
    assert asking.tokens_shown() == [first, second]


def test_a_file_that_is_renewed_too_late_is_read_again_when_its_token_is_refused(
    asking: AskingRegistry, token_file: Path, model: str, write: Write
) -> None:
    first, second = token_for(asking, "publisher", seconds=2), token_for(asking, "publisher")
    token_file.write_text(first)

    def renews(request: Request, forward: Forward) -> Reply:
        reply = forward(request)
        token_file.write_text(second)
        return reply

    asking.storage.when("PUT", STORE, passes, pace=1.2)
    asking.proxy.when("POST", "/complete$", renews, times=1)
    with RegistryClient() as registry:
        assert registry.register(model, write(2 * MIB)).version == 1
    assert asking.tokens_shown() == [first, first, second]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file or directory"),
        (Path.mkdir, "Is a directory"),
        (Path.touch, "it is empty"),
        (lambda path: path.write_text(" \n"), "it is empty"),
        (lambda path: path.write_text("two\nlines"), "it has spaces, line breaks or other characters"),
        (lambda path: path.write_bytes(b"\xff\x00"), "it has spaces, line breaks or other characters"),
    ],
    ids=["missing", "a folder", "empty", "blank", "two lines", "binary"],
)
def test_a_file_holds_no_token(
    asking: AskingRegistry, token_file: Path, make: Callable[[Path], Any], reason: str
) -> None:
    make(token_file)
    code, sentence = Cli(asking.url, {"MODELKEEP_TOKEN_FILE": str(token_file)}).refusal("list")
    assert code == "no_token"
    assert sentence.startswith(f"No token from MODELKEEP_TOKEN_FILE '{token_file}': {reason}")
    assert asking.proxy.seen == []


# which one


def test_what_is_said_outright_goes_first(
    asking: AskingRegistry, job: GitHub, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, said, filed = (token_for(asking, "reader") for _ in range(3))
    token_file.write_text(filed)
    monkeypatch.setenv("MODELKEEP_TOKEN", said)
    for argument, variables, expected in (
        (given, {}, given),
        (None, {}, said),
        ("", {"MODELKEEP_TOKEN": ""}, filed),
    ):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with RegistryClient(token=argument) as registry:
            registry.list_models()
        assert asking.tokens_shown()[-1] == expected
    assert job.proxy.seen == []
    monkeypatch.setenv("MODELKEEP_TOKEN_FILE", "")
    with RegistryClient() as registry:
        registry.list_models()
    assert len(job.audiences) == 1


# refused


class Provider:
    """Gives one token after the other, the last one for ever, and notes in which thread it is asked."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = list(tokens)
        self.threads: list[threading.Thread] = []

    def __call__(self) -> str:
        self.threads.append(threading.current_thread())
        return self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0]


def test_a_token_that_expires_in_the_middle_of_an_upload_is_replaced(
    asking: AskingRegistry, model: str, write: Write
) -> None:
    provider = Provider(token_for(asking, "publisher", seconds=2), token_for(asking, "publisher"))
    asking.storage.when("PUT", STORE, passes, pace=1.2)
    with RegistryClient(token=provider) as registry:
        assert registry.register(model, write(2 * MIB)).version == 1
        assert [each.type for each in registry.list_events(model)] == ["upload_begun", "version_completed"]
        assert registry._thread not in provider.threads, "it may block"
    completions = asking.proxy.asked("POST", "/complete$")
    assert len(completions) == len(provider.threads) == 2
    assert len({request.headers["idempotency-key"] for request in completions}) == 1


def test_a_token_that_expires_in_the_middle_of_a_download_is_replaced(
    asking: AskingRegistry, registered: str, tmp_path: Path
) -> None:
    provider = Provider(token_for(asking, "reader", seconds=2), token_for(asking, "reader"))

    def expires(request: Request, forward: Forward) -> Reply:
        time.sleep(2)
        return Reply(status=403)

    asking.storage.when("GET", STORE, expires, times=1)
    with RegistryClient(token=provider) as registry:
        assert registry.download(registered, dest=tmp_path / "models").path.stat().st_size == 2 * MIB
    assert len(provider.threads) == 2
    assert len(asking.tokens_shown()) == 3, "located, refused, and located again"


def test_a_refusal_is_repeated_once_and_only_with_another_token(asking: AskingRegistry) -> None:
    unknown = [f"{token_for(asking, 'reader')[:-1]}{digit}" for digit in "xyz"]
    for tokens, requests in ((unknown[:1], 1), (unknown, 2)):
        asking.proxy.reset()
        with RegistryClient(token=Provider(*tokens)) as registry, pytest.raises(InvalidTokenError):
            registry.promote("fraud", 1)
        assert asking.tokens_shown() == unknown[:requests]


def test_what_is_not_allowed_is_not_repeated(asking: AskingRegistry, registered: str) -> None:
    provider = Provider(token_for(asking, "reader"), token_for(asking, "admin"))
    with RegistryClient(token=provider) as registry, pytest.raises(ActionForbiddenError) as refused:
        registry.promote(registered, 1, "archived")
    assert str(refused.value) == (
        f"'ci' may not do stage.set:archived on '{registered}'. Ask who runs the registry for a grant."
    )
    assert len(asking.tokens_shown()) == 1


def test_a_provider_fails_in_its_own_words(asking: AskingRegistry) -> None:
    def fails() -> str:
        raise LookupError("no role")

    with RegistryClient(token=fails) as registry, pytest.raises(LookupError, match="no role"):
        registry.list_models()
    assert asking.proxy.seen == []


async def test_too_many_requests_are_spread(asking: AskingRegistry, slept: list[float]) -> None:
    limited = answers(
        429,
        '{"code": "too_many_requests", "what": "requests", "seconds": 7, "detail": "Slower."}',
        content_type="application/problem+json",
        retry_after="7",
    )
    asking.proxy.when("GET", "^/v1/", limited, times=2)
    async with AsyncRegistryClient(token=await asyncio.to_thread(token_for, asking, "reader")) as registry:
        assert await registry.list_models(prefix="absent") == []
        assert len([pause for pause in slept if pause >= 7]) == 2
        asking.proxy.when("GET", "^/v1/", limited)
        with pytest.raises(TooManyRequestsError, match=r"^Too many requests\. Try again in 7 s\.$"):
            await registry.list_models()


def test_commands_say_what_was_refused_and_end_with_1(asking: AskingRegistry, forge: IssuerServer) -> None:
    assert Cli(asking.url).refusal("list")[0] == CredentialsRequiredError.code()
    expired = token_for(asking, "reader", seconds=0.1)
    time.sleep(0.2)
    code, sentence = Cli(asking.url, {"MODELKEEP_TOKEN": expired}).refusal("list")
    assert code == TokenExpiredError.code()
    assert sentence.endswith("Get a new one.")
    stranger = forge.token(aud=asking.url, repository_id="1")
    code, sentence = Cli(asking.url, {"MODELKEEP_TOKEN": stranger}).refusal("list")
    assert code == "no_trust_rule"
    assert "`modelkeep access explain` shows" in sentence


def test_a_token_goes_nowhere_but_to_the_registry(
    asking: AskingRegistry, token_file: Path, registered: str, tmp_path: Path
) -> None:
    token_file.write_text(token_for(asking, "reader"))
    with Proxy().running() as elsewhere, RegistryClient() as registry:
        asking.storage.when("GET", STORE, answers(307, location=f"{elsewhere.url}/model.pt"))
        with pytest.raises(Exception, match="Storage refused"):
            registry.download(registered, dest=tmp_path / "serving")
        asking.proxy.when("GET", "^/v1/", problem(401, "token_expired", expired_at="then"))
        with pytest.raises(TokenExpiredError):
            registry.list_models()
        assert elsewhere.seen == []
    assert ["authorization" in request.headers for request in asking.storage.seen] == [False]
