"""A service that asks nobody for credentials, on a machine where somebody reads pages of strangers in a browser."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from asgi_lifespan import LifespanManager

from modelkeep.main import create_app
from modelkeep.settings import Settings
from tests.support.access import token_for
from tests.support.api import PRODUCTION, STAGING, TRASHED, Api, Shelf, check_problem, declare
from tests.support.app_routes import ROUTES, filled_in

PUBLIC_URL = "https://models.example.com/registry"
OWN = "127.0.0.1:8000"
FOREIGN = "attacker.example:8000"

OWN_HOSTS = ["localhost", "LocalHost:1234", "localhost.", "app.localhost:8000", "127.0.0.1", "127.8.9.10:80", "[::1]"]
OWN_HOSTS += ["[::1]:8000", "models.example.com", "MODELS.example.com:443", "models.example.com.:8443"]
FOREIGN_HOSTS = ["attacker.example", FOREIGN, "localhost.attacker.example", "127.0.0.1.attacker.example", "127.1"]
FOREIGN_HOSTS += ["10.1.2.3:8000", "0.0.0.0:8000", "[::2]:8000", "[::ffff:10.1.2.3]", "::1", "[localhost]", "registry"]
FOREIGN_HOSTS += ["models.example.com.attacker.example", "notmodels.example.com", "example.com", "xlocalhost", "", "["]
FOREIGN_HOSTS += ["localhost, attacker.example", "attacker.example@localhost", "localhost:80:80", "localhost\xe9", "."]

PUBLIC = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/start.js"]


@asynccontextmanager
async def service(settings: Settings, **given: Any) -> AsyncIterator[Api]:
    own = settings.model_copy(update={"auth": "none", "public_url": PUBLIC_URL, "docs": True, **given})
    async with LifespanManager(create_app(own)) as manager:
        transport = httpx.ASGITransport(manager.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(base_url=f"http://{OWN}", transport=transport, trust_env=False) as http:
            yield Api(http)


@pytest.fixture(scope="module")
async def guarded(settings: Settings, api: Api) -> AsyncIterator[Api]:
    async with service(settings) as guarded:
        yield guarded


async def ask(api: Api, method: str, path: str, *headers: tuple[str, str], body: Any = None) -> httpx.Response:
    """Send these headers and, beside them, none but those of the body."""
    request = httpx.Request(method, f"http://{OWN}{path}", json=body)
    about_body = [(name, value) for name, value in request.headers.raw if name.lower().startswith(b"content-")]
    given = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return await api.http.send(
        httpx.Request(method, request.url, headers=[*given, *about_body], content=request.read())
    )


def changes(shelf: Shelf) -> Iterator[tuple[str, str, Any]]:
    """What a stranger would like to do, none of which needs a header that a form cannot send."""
    model = f"/v1/models/{shelf.model}"
    yield "POST", f"{model}/versions/{TRASHED}/restore", None
    yield "POST", f"{model}/versions/{STAGING}/complete", None
    yield "POST", f"{model}/rollback", {"expected_production": PRODUCTION}
    yield "PUT", f"{model}/versions/{STAGING}/stage", {"stage": "production"}
    yield "DELETE", f"{model}/versions/{STAGING}", None
    yield "PATCH", model, {"description": "taken over"}
    yield "POST", f"/v1/models/{shelf.model}-2/versions", {"artifacts": declare({"model.pt": b"x"})}
    yield "POST", "/v1/tokens", a_token()


def a_token() -> dict[str, Any]:
    until = (datetime.now(UTC) + timedelta(days=300)).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"principal": "stranger", "allow": ["admin"], "models": ["*"], "expires_at": until}


# -- DNS rebinding: a page of a name that its owner has just pointed at this machine


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_a_foreign_host_is_answered_nothing(guarded: Api, shelf: Shelf, host: str) -> None:
    path = f"/v1/models/{shelf.model}"
    problem = check_problem(await ask(guarded, "GET", path, ("host", host)), 421, "foreign_host")
    assert problem["host"] == host
    assert "MODELKEEP_PUBLIC_URL" in problem["detail"]


@pytest.mark.parametrize("host", OWN_HOSTS)
async def test_a_loopback_name_and_the_public_host_are_answered(guarded: Api, shelf: Shelf, host: str) -> None:
    answer = await ask(guarded, "GET", f"/v1/models/{shelf.model}", ("host", host))
    assert (answer.status_code, answer.json()["model"]) == (200, shelf.model)


async def test_a_request_without_a_host_is_no_browsers(guarded: Api, shelf: Shelf) -> None:
    assert (await ask(guarded, "GET", f"/v1/models/{shelf.model}")).status_code == 200


@pytest.mark.parametrize("hosts", [(OWN, FOREIGN), (FOREIGN, OWN)])
async def test_one_foreign_host_of_two_is_enough(guarded: Api, hosts: tuple[str, str]) -> None:
    answer = await ask(guarded, "GET", "/v1/models", *(("host", host) for host in hosts))
    check_problem(answer, 421, "foreign_host")


async def test_at_a_foreign_host_there_are_no_routes_but_public_ones(guarded: Api) -> None:
    wanted = {(method, filled_in(path)) for method, path in ROUTES if path.startswith("/v1/")}
    for method, path in [*wanted, ("GET", "/v1"), ("GET", "/nowhere"), ("OPTIONS", "/v1/models")]:
        answer = await ask(guarded, method, path, ("host", FOREIGN))
        assert answer.status_code == 421, (method, path)
        if method != "HEAD":
            check_problem(answer, 421, "foreign_host")
    for path in ("/ui", "/ui/models/m", "/ui/nowhere"):
        assert (await ask(guarded, "GET", path, ("host", FOREIGN))).status_code == 421, path


async def test_a_foreign_host_changes_nothing(guarded: Api, shelf: Shelf) -> None:
    for method, path, body in changes(shelf):
        check_problem(await ask(guarded, method, path, ("host", FOREIGN), body=body), 421, "foreign_host")
    assert await guarded.generation(shelf.model) == shelf.generation


async def test_credentials_do_not_excuse_a_foreign_host(guarded: Api, settings: Settings) -> None:
    for token in ("mr_nonsense", await token_for(settings, allow=["admin"])):
        shown = ("authorization", f"Bearer {token}")
        check_problem(await ask(guarded, "GET", "/v1/models", ("host", FOREIGN), shown), 421, "foreign_host")


@pytest.mark.parametrize("host", ["10.1.2.3:8000", FOREIGN])
async def test_probes_and_public_pages_are_answered_at_any_host(guarded: Api, host: str) -> None:
    for path in PUBLIC:
        assert (await ask(guarded, "GET", path, ("host", host))).status_code == 200


async def test_a_service_that_asks_for_credentials_is_answered_at_any_host(settings: Settings, shelf: Shelf) -> None:
    token = ("authorization", f"Bearer {await token_for(settings, allow=['admin'])}")
    async with service(settings, auth=None) as asking:
        check_problem(await ask(asking, "GET", "/v1/models", ("host", FOREIGN)), 401, "credentials_required")
        for headers in [[("host", FOREIGN)], [("host", FOREIGN), ("origin", "https://attacker.example")]]:
            answer = await ask(asking, "PATCH", f"/v1/models/{shelf.model}", *headers, token, body={})
            assert answer.status_code == 200


# -- cross-site requests: a page of another site that sends them from the browser of somebody on this machine


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://attacker.example"},
        {"origin": f"http://{FOREIGN}"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "http://localhost:8000"},
        {"origin": "file://"},
        {"origin": f"http://{OWN}.attacker.example"},
        {"origin": f"http://{OWN} https://attacker.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "something new"},
        {"sec-fetch-site": "same-origin", "origin": "https://attacker.example"},
        {"sec-fetch-site": "cross-site", "origin": f"http://{OWN}"},
    ],
    ids=str,
)
async def test_a_page_of_another_origin_changes_nothing(guarded: Api, shelf: Shelf, headers: dict[str, str]) -> None:
    for method, path, body in changes(shelf):
        answer = await ask(guarded, method, path, ("host", OWN), *headers.items(), body=body)
        problem = check_problem(answer, 403, "foreign_origin")
        assert problem["origin"] == headers.get("origin", "")
    assert await guarded.generation(shelf.model) == shelf.generation


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        (OWN, {}),
        (OWN, {"origin": f"http://{OWN}"}),
        (OWN, {"origin": f"http://{OWN}", "sec-fetch-site": "same-origin"}),
        (OWN, {"sec-fetch-site": "none"}),
        ("localhost:9999", {"origin": "http://localhost:9999"}),
        ("LOCALHOST:80", {"origin": "http://localhost"}),
        ("[::1]:8000", {"origin": "http://[::1]:8000"}),
        ("models.example.com", {"origin": "https://models.example.com", "sec-fetch-site": "same-origin"}),
        ("models.example.com:443", {"origin": "https://models.example.com"}),
    ],
    ids=str,
)
async def test_a_page_of_its_own_and_what_is_no_browser_may(
    guarded: Api, model: str, host: str, headers: dict[str, str]
) -> None:
    body = {"artifacts": declare({"model.pt": b"x"})}
    answer = await ask(guarded, "POST", f"/v1/models/{model}/versions", ("host", host), *headers.items(), body=body)
    assert answer.status_code == 201, answer.text


async def test_a_page_of_another_origin_may_send_what_it_cannot_read(guarded: Api, shelf: Shelf) -> None:
    """Reading changes nothing, and no answer has a header that lets the page see it."""
    foreign = [("host", OWN), ("origin", "https://attacker.example"), ("sec-fetch-site", "cross-site")]
    answer = await ask(guarded, "GET", f"/v1/models/{shelf.model}", *foreign)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control-")]


# -- tokens would outlast the page


async def test_a_caller_that_nobody_asked_gets_no_token(guarded: Api, settings: Settings) -> None:
    rules: dict[str, Any] = {"rules": []}
    for method, path, body in [
        ("POST", "/v1/tokens", a_token()),
        ("POST", "/v1/auth/token", None),
        ("PUT", "/v1/access", rules),
    ]:
        problem = check_problem(
            await ask(guarded, method, path, ("host", OWN), body=body), 403, "authentication_disabled"
        )
        assert "modelkeep token create" in problem["detail"]
    admin = ("authorization", f"Bearer {await token_for(settings, allow=['admin'])}")
    assert (await ask(guarded, "POST", "/v1/tokens", ("host", OWN), admin, body=a_token())).status_code == 201
    assert (await ask(guarded, "GET", "/v1/tokens", ("host", OWN))).status_code == 200


# -- what is signed


@pytest.mark.parametrize("settings", ["local"], indirect=True)
async def test_signed_urls_lead_to_the_public_host_and_are_answered_there(
    guarded: Api, settings: Settings, model: str
) -> None:
    files = {"model.pt": b"weights"}
    begun = await guarded.begin(model, files)
    (artifact,) = begun["artifacts"]
    url = urlsplit(artifact["upload"]["url"])
    assert f"{url.scheme}://{url.netloc}" == "https://models.example.com"
    target = f"{url.path.removeprefix('/registry')}?{url.query}"
    headers = {**artifact["upload"]["headers"], "host": url.netloc, "origin": "https://elsewhere.example"}
    answer = await guarded.http.put(target, headers=headers, content=files["model.pt"])
    assert answer.status_code == 200, answer.text
    await guarded.complete(model, 1)
