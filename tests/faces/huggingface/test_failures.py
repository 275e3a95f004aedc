"""One row for each way to fail, in the form of the Hub: a code and a sentence in headers, whoever refuses."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from modelkeep.http.middleware.rate_limits import RateLimits
from modelkeep.settings import Settings
from tests.support.access import Secured, secured
from tests.support.api import Api, serving
from tests.support.faults.outages import Outage, outages
from tests.support.hub import Book, Hub, check_hub_error

BELOW_A_REVISION = ["/{R}/resolve/{V}/config.json", "/{R}/raw/{V}/config.json", "/api/models/{R}/tree/{V}"]
BELOW_A_REVISION += ["/api/models/{R}/revision/{V}", "/api/models/{R}/commits/{V}"]
BELOW_A_MODEL = ["/api/models/{R}", "/api/models/{R}/refs", "/api/models/{R}/auth-check"]
READING = [*BELOW_A_REVISION, *BELOW_A_MODEL]


def at(path: str, repository: str, revision: str = "main") -> str:
    return path.replace("{R}", repository).replace("{V}", revision)


@pytest.mark.parametrize("path", READING)
@pytest.mark.parametrize(
    "repository",
    ["absent", "registry/absent", "meta-llama/{M}", "registry/BAD%20NAME", "a--b", "registry/%24head", "datasets/{M}"],
)
async def test_a_repository_that_is_no_model_is_not_found(hub: Hub, book: Book, path: str, repository: str) -> None:
    where = at(path, repository.replace("{M}", book.model))
    answer = await hub.refused("GET", where, 404, "RepoNotFound")
    assert "There is no model" in answer.headers["x-error-message"]
    await hub.refused("POST", at("/api/models/{R}/paths-info/main", repository), 404, "RepoNotFound")


@pytest.mark.parametrize("path", BELOW_A_REVISION)
@pytest.mark.parametrize("revision", ["v99", "absent", "archived", "refs%2Fpr%2F1", "0" * 40, "a%2Fb", "%C3%A9", "A B"])
async def test_a_revision_that_names_no_version_is_not_found(hub: Hub, book: Book, path: str, revision: str) -> None:
    await hub.refused("GET", at(path, book.repository, revision), 404, "RevisionNotFound")


@pytest.mark.parametrize("path", [*BELOW_A_REVISION, "/api/models/{R}"])
@pytest.mark.parametrize("revision", ["main", "production"])
async def test_without_production_main_says_what_to_name(hub: Hub, unpromoted: str, path: str, revision: str) -> None:
    answer = await hub.refused("GET", at(path, f"registry/{unpromoted}", revision), 404, "RevisionNotFound")
    sentence = f"{unpromoted} has no production version; name one, such as revision='v3'."
    assert (answer.json()["error"], answer.headers["x-error-message"]) == (sentence, sentence)


@pytest.mark.parametrize(
    "path",
    ["/{R}/resolve/main/absent", "/{R}/resolve/main/onnx", "/{R}/raw/main/a%2Fb", "/api/models/{R}/tree/main/a"],
)
async def test_an_absent_entry_is_not_found_in_a_commit(hub: Hub, book: Book, path: str) -> None:
    """By the commit, clients remember that there is none."""
    answer = await hub.refused("GET", at(path, book.repository), 404, "EntryNotFound")
    assert answer.headers["x-repo-commit"] == book.commit(2)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/{R}/resolve/main/absent", 404, "EntryNotFound"),
        ("/{R}/resolve/v99/config.json", 404, "RevisionNotFound"),
        ("/registry/absent/resolve/main/config.json", 404, "RepoNotFound"),
        ("/datasets/a/b/resolve/main/config.json", 404, "RepoNotFound"),
        ("/nowhere", 404, "NotFound"),
        ("/{R}/resolve/main/.%2e", 422, "InvalidRequest"),
        ("/{R}/resolve/main/a//b", 400, "MalformedPath"),
    ],
)
async def test_head_has_no_body_and_announces_none(hub: Hub, book: Book, path: str, status: int, code: str) -> None:
    await hub.refused("HEAD", at(path, book.repository), status, code)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "NotFound"),
        ("GET", "/api", 404, "NotFound"),
        ("GET", "/api/agent-harnesses", 404, "NotFound"),
        ("GET", "/api/models/{R}/xet-write-token/main", 404, "NotFound"),
        ("GET", "/api/models/{R}/xet-read-token/main", 404, "NotFound"),
        ("GET", "/api/datasets", 404, "RepoNotFound"),
        ("GET", "/api/datasets/a/b", 404, "RepoNotFound"),
        ("GET", "/api/spaces/a/b/revision/main", 404, "RepoNotFound"),
        ("GET", "/spaces/a/b/resolve/main/app.py", 404, "RepoNotFound"),
        ("GET", "/api/models?limit=0", 422, "InvalidRequest"),
        ("GET", "/api/models?limit=x", 422, "InvalidRequest"),
        ("GET", "/api/models?cursor=x", 400, "InvalidCursor"),
        ("GET", "/{R}/resolve/main/.%2e/config.json", 422, "InvalidRequest"),
        ("GET", "/api/models/{R}/tree/main/.%2e%2Fa", 422, "InvalidRequest"),
        ("GET", "/api/models/{R}/tree/main/a%2F%2Fb", 400, "MalformedPath"),
        ("GET", "/api/models/{R}/tree/main/%00", 400, "MalformedPath"),
        ("GET", "/api/models/{R}/tree/main/a%5Cb", 400, "MalformedPath"),
        ("GET", "/api/models/{R}/tree/main/%2e%2e", 400, "MalformedPath"),
        ("GET", "/api/models/{R}/tree/main/%ff", 400, "MalformedPath"),
        ("GET", "/%2Fhf/api/models", 400, "MalformedPath"),
        ("GET", "%2Fapi/models", 404, "NotFound"),
        ("POST", "/api/models/{R}", 405, "MethodNotAllowed"),
        ("DELETE", "/{R}/resolve/main/config.json", 405, "MethodNotAllowed"),
        ("POST", "/api/repos/create", 404, "NotFound"),
        ("DELETE", "/api/repos/delete", 404, "NotFound"),
        ("POST", "/api/models/{R}/preupload/main", 404, "NotFound"),
        ("POST", "/api/models/{R}/commit/main", 404, "NotFound"),
        ("POST", "/{R}.git/info/lfs/objects/batch", 404, "NotFound"),
        ("POST", "/api/validate-yaml", 404, "NotFound"),
    ],
)
async def test_each_failure_has_its_status_and_code(
    hub: Hub, book: Book, method: str, path: str, status: int, code: str
) -> None:
    answer = await hub.refused(method, at(path, book.repository), status, code)
    if code in {"NotFound", "MethodNotAllowed"}:
        assert "this registry is written with modelkeep register" in answer.headers["x-error-message"]
    if status == 405:
        assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[]", 400), (b'"a"', 400)])
async def test_a_body_that_cannot_be_read_is_malformed(hub: Hub, book: Book, body: bytes, status: int) -> None:
    path, headers = f"/api/models/{book.repository}/paths-info/main", {"content-type": "application/json"}
    await hub.refused("POST", path, status, "Malformed", content=body, headers=headers)


async def test_a_body_that_is_too_long_is_refused_in_the_same_form(hub: Hub, book: Book) -> None:
    path = f"/api/models/{book.repository}/paths-info/main"
    await hub.refused("POST", path, 413, "RequestTooLarge", content=b"x" * (2 * 1024 * 1024 + 1))


async def test_a_sentence_is_one_line_of_ascii(hub: Hub) -> None:
    answer = await hub.refused("GET", "/api/models/%C3%A9%F0%9F%92%A9", 404, "RepoNotFound")
    assert "\\xe9" in answer.headers["x-error-message"]
    assert "\u00e9" in answer.json()["error"]


async def test_a_token_in_a_wrong_place_is_not_repeated(hub: Hub) -> None:
    token = f"mr_{'0' * 11}_{'1' * 43}_00000000"
    answer = await hub.refused("GET", f"/api/models/{token}", 404, "RepoNotFound")
    assert "1" * 43 not in answer.text + answer.headers["x-error-message"]


# -- what surrounds the routes


@pytest.fixture(scope="module")
async def service(settings: Settings, api: Api) -> AsyncIterator[Secured]:
    async with secured(settings.model_copy(update={"failed_logins_per_minute": 1000})) as service:
        yield service


@pytest.mark.parametrize("token", [None, "", "nonsense", "hf_abcdefghijklmnop", "hf_mr_nonsense", "mr_nonsense"])
@pytest.mark.parametrize(
    "path", ["/{R}/resolve/main/config.json", "/api/models/{R}", "/api/models", "/api/whoami-v2", "/nowhere", "/"]
)
async def test_without_a_valid_token_nothing_is_shown(
    service: Secured, book: Book, token: str | None, path: str
) -> None:
    hub = Hub(service.anonymous.http)
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    answer = await hub.refused("GET", at(path, book.repository), 401, "RepoNotFound", headers=headers)
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    await hub.refused("HEAD", f"/{book.repository}/resolve/main/config.json", 401, "RepoNotFound", headers=headers)


async def test_whoever_shows_no_token_is_told_where_to_put_one(service: Secured) -> None:
    answer = await Hub(service.anonymous.http).refused("GET", "/api/models/a", 401, "RepoNotFound")
    assert "HF_TOKEN" in answer.headers["x-error-message"]


async def test_harnesses_are_absent_for_everybody(service: Secured) -> None:
    """`hf` asks for them without its token; that must not count as a failed login."""
    await Hub(service.anonymous.http).refused("GET", "/api/agent-harnesses", 404, "NotFound")


async def test_what_may_not_be_read_is_absent(service: Secured, book: Book) -> None:
    stranger = Hub(service.anonymous.http, token=await _token(service, models=["other-*"]))
    reader = Hub(service.anonymous.http, token=await _token(service, models=["book-*"]))
    same = {"x-request-id": "same"}
    for path in READING:
        hidden = await stranger.ask("GET", at(path, book.repository), status=404, headers=same)
        absent = await stranger.ask("GET", at(path, "registry/absent"), status=404, headers=same)
        check_hub_error(hidden, "RepoNotFound")
        assert hidden.text.replace(book.model, "absent") == absent.text
        assert hidden.headers.keys() == absent.headers.keys()
        await reader.request("GET", at(path, book.repository))
    assert book.repository not in [each["id"] for each in await stranger.read("/api/models")]
    assert book.repository in [each["id"] for each in await reader.read("/api/models")]


async def _token(service: Secured, **grants: Any) -> str:
    made = await service.who("reader", **grants)
    return made._credentials["authorization"].removeprefix("Bearer ")


async def test_too_many_requests_say_when_to_repeat(
    service: Secured, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(service.anonymous.http, token=await _token(service))
    await hub.ask("GET", "/api/whoami-v2")
    limited = RateLimits(requests=1, failures=1)
    monkeypatch.setattr(RateLimits, "count_request", lambda _, name: RateLimits.count_failure(limited, name))
    await hub.request("GET", "/api/whoami-v2")
    for method, path in (("GET", "/api/whoami-v2"), ("HEAD", f"/{book.repository}/resolve/main/config.json")):
        answer = await hub.refused(method, path, 429, "TooManyRequests")
        assert int(answer.headers["retry-after"]) > 0


@pytest.fixture
def outage() -> Iterator[Outage]:
    with outages() as outage:
        yield outage


@pytest.mark.parametrize("path", READING)
async def test_while_the_table_is_away_clients_are_told_to_wait(
    settings: Settings, outage: Outage, book: Book, path: str
) -> None:
    async with serving(settings) as fresh:
        outage.begin()
        await Hub(fresh.http).refused("GET", at(path, book.repository), 503, "Unavailable")


async def test_an_error_that_nobody_expected_shows_nothing_of_itself(
    hub: Hub, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> httpx.Response:
        raise RuntimeError("a secret")

    monkeypatch.setattr("modelkeep.services.reading.downloads.DownloadService.find_version", fail)
    answer = await hub.refused("GET", f"/{book.repository}/resolve/main/config.json", 500, "InternalError")
    assert "secret" not in answer.text + answer.headers["x-error-message"]
