"""The route table, held against every route of the app; and a second protocol, with errors and credentials of its own.

The table is marked: each row has a form of errors, a place for credentials and a header that no other has. So an answer
shows which row each layer has read.
"""

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from modelkeep.domain.access.actions import Action
from modelkeep.domain.access.principals import unrestricted
from modelkeep.domain.errors import UnauthenticatedError, UnavailableError
from modelkeep.http.credentials import BEARER, CredentialSource, challenge_of, read_token
from modelkeep.http.dependencies import ReadCaller
from modelkeep.http.failures import Failure
from modelkeep.http.middleware.request_limits import MAX_BODY_BYTES
from modelkeep.http.problems import render_problem
from modelkeep.http.route_table import UNLISTED, RouteRow, RouteTable, headers_with
from modelkeep.main import ROWS, create_app
from modelkeep.services.access.authenticator import Authenticator
from modelkeep.settings import Settings
from tests.support.access import token_for
from tests.support.api import BASE, check_problem
from tests.support.app_routes import ROUTES, filled_in, routes_of
from tests.support.backends import environment, local_environment, prepare


def marked(row: RouteRow, number: int) -> RouteRow:
    """The row, with a form of errors, a place for credentials and a header of its own."""

    def read(scope: Scope) -> str | None:
        found = [value.decode() for name, value in scope["headers"] if name == f"x-token-{number}".encode()]
        return found[0] if found else None

    def render(scope: Scope, failure: Failure) -> Response:
        answer = render_problem(scope, failure)
        answer.headers["x-error-of"] = str(number)
        return answer

    return replace(
        row,
        render_error=render,
        credential_sources=[CredentialSource(read, lambda _: f"Row-{number}")],
        default_headers=(*row.default_headers, (b"x-row", str(number).encode())),
    )


MARKED: Final = [marked(row, number) for number, row in enumerate(ROWS)]
NUMBERS: Final = {id(row): str(number) for number, row in enumerate(MARKED)}
TABLE: Final = RouteTable(MARKED)


@pytest.fixture(scope="module")
async def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    with environment(local_environment(tmp_path_factory.mktemp("rows"))) as settings:
        own = settings.model_copy(update={"auth": None, "docs": True, "failed_logins_per_minute": 10**6})
    await prepare(own)
    return own


@pytest.fixture(scope="module")
async def token(settings: Settings) -> str:
    return await token_for(settings, allow=["admin"])


@pytest.fixture(scope="module")
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The whole service, by the marked table."""
    async with (
        LifespanManager(create_app(settings, rows=MARKED)) as manager,
        httpx.AsyncClient(base_url=BASE, transport=httpx.ASGITransport(manager.app)) as http,
    ):
        yield http


def uncovered(app: FastAPI, table: RouteTable) -> set[str]:
    return {path for _, path in routes_of(app) if table.row_for(filled_in(path)) is UNLISTED}


def test_every_route_is_covered_by_a_row_and_every_row_covers_a_route() -> None:
    app, table = create_app(Settings(auth=None, backend="local", docs=True)), RouteTable(ROWS)
    assert uncovered(app, table) == set()
    assert {table.row_for(filled_in(path)).path for _, path in routes_of(app)} == {
        row.path for row in ROWS if not is_face(row)
    }


def is_face(row: RouteRow) -> bool:
    """The routes of a face are one of the app's, which matches paths itself."""
    return row.path.startswith(("/hf/", "/api/"))


def test_a_route_that_no_row_covers_is_noticed() -> None:
    app = create_app(Settings(auth=None, backend="local"))
    app.add_api_route("/v2/things", lambda: None)
    assert uncovered(app, RouteTable(ROWS)) == {"/v2/things"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_route_is_answered_as_its_row_says(
    http: httpx.AsyncClient, token: str, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    row, url = TABLE.row_for(path), filled_in(path)
    number = NUMBERS[id(row)]

    async def ask(**headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await http.request(method, url, headers=named)
        assert answer.headers["x-row"] == number
        assert answer.headers.get("x-error-of") == (number if answer.status_code >= 400 else None)
        assert answer.headers.get("www-authenticate") == (f"Row-{number}" if answer.status_code == 401 else None)
        return answer

    assert ((await ask()).status_code == 401) == (not row.is_public)
    assert ((await ask(authorization=f"Bearer {token}")).status_code == 401) == (not row.is_public)
    assert (await ask(**{f"x_token_{number}": token})).status_code != 401
    assert ((await ask(content_length=str(MAX_BODY_BYTES + 1))).status_code == 413) == (not row.is_streamed)
    hide_table(monkeypatch)
    is_served = row.is_public or (row.may_serve_stale and method in {"GET", "HEAD"})
    assert ((await ask(**{f"x_token_{number}": token})).status_code == 503) == (not is_served)


def hide_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks was known lately, and cannot be looked up now."""

    async def fail(*_: object) -> None:
        raise UnavailableError("the table is away")

    monkeypatch.setattr(Authenticator, "cached", lambda *_: None)
    monkeypatch.setattr(Authenticator, "cached_stale", lambda *_: unrestricted("ci", rule="test"))
    monkeypatch.setattr(Authenticator, "authenticate", fail)


@pytest.mark.parametrize(
    ("path", "row"),
    [
        ("/v1/models", "/v1/"),
        ("/v1/", "/v1/"),
        ("/v1/models/m/versions/1/download", "/v1/models/{model}/versions/{ref}/download"),
        ("/v1/models/m/versions/1/download/", "/v1/"),
        ("/v1/models/m/n/versions/1/download", "/v1/"),
        ("/v1/models/m/versions/1/artifacts/a/b", "/v1/models/{model}/versions/{ref}/artifacts/{path:path}"),
        ("/v1/models/m/versions/1/artifacts/a\nb", "/v1/models/{model}/versions/{ref}/artifacts/{path:path}"),
        ("/v1/models/m/versions/1/artifacts/", "/v1/"),
        ("/docs", "/docs"),
        ("/docs/", "/docs/"),
        ("/docs/x/y", "/docs/"),
        ("/", "/"),
        ("/ui", "/ui"),
        ("/ui/models/m", "/ui/"),
        *[(path, "") for path in ("", "-", "//", "/uix", "/v1", "/docsx", "/docs\n", "/local-store")],
        *[(path, "") for path in ("/healthz/", "/healthz/x", "/openapi-json", "/Healthz")],
    ],
)
def test_a_path_has_the_first_row_that_covers_it_whole(path: str, row: str) -> None:
    assert RouteTable(ROWS).row_for(path).path == row


# -- a second protocol


def read_basic(scope: Scope) -> str | None:
    """The password, whatever the user name is."""
    header = httpx.Headers(scope["headers"]).get("authorization")
    if header is None:
        return None
    scheme, _, given = header.partition(" ")
    return base64.b64decode(given).decode().partition(":")[2] if scheme == "Basic" else ""


def render_other(scope: Scope, failure: Failure) -> Response:
    body = None if scope["method"] == "HEAD" else {"error_code": failure.code.upper(), "message": failure.detail}
    headers = {**failure.headers, "x-error-code": failure.code}
    return JSONResponse(body, failure.status, headers, media_type="application/vnd.other+json")


OTHER: Final = RouteRow(
    "/other/",
    render_error=render_other,
    credential_sources=[CredentialSource(read_basic, lambda _: 'Basic realm="other"')],
    default_headers=headers_with("default-src 'self'"),
)


class Thing(BaseModel):
    size: int


async def get_thing(model: str, caller: ReadCaller) -> Thing:
    caller.require(Action.MODEL_READ, model)
    return Thing(size=1)


async def add_thing(thing: Thing, caller: ReadCaller) -> Thing:
    caller.require(Action.MODEL_WRITE, "m")
    return thing


async def break_down() -> None:
    raise RuntimeError("a bug")


async def be_away() -> None:
    raise UnavailableError("away")


async def forget_to_ask(caller: ReadCaller) -> Thing:
    return Thing(size=2)


@pytest.fixture(scope="module")
async def other(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The service, with routes of another protocol below `/other/`."""
    app = create_app(settings, rows=[*ROWS, OTHER])
    app.add_api_route("/other/things/{model}", get_thing, methods=["GET"])
    app.add_api_route("/other/things", add_thing, methods=["POST"])
    endpoints: dict[str, Callable[..., Any]] = {"broken": break_down, "away": be_away, "undecided": forget_to_ask}
    for path, endpoint in endpoints.items():
        app.add_api_route(f"/other/{path}", endpoint, methods=["GET", "HEAD"], response_model=None)
    async with LifespanManager(app) as manager:
        transport = httpx.ASGITransport(manager.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(base_url=BASE, transport=transport) as http:
            yield http


def basic(token: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(f'anybody:{token}'.encode()).decode()}"}


async def test_a_second_protocol_has_credentials_and_headers_of_its_own(other: httpx.AsyncClient, token: str) -> None:
    answer = await other.get("/other/things/m", headers=basic(token))
    assert (answer.status_code, answer.json()) == (200, {"size": 1})
    assert answer.headers["content-security-policy"] == "default-src 'self'"
    refused = await other.get("/v1/models", headers=basic(token))
    check_problem(refused, 401, "credentials_required")
    assert refused.headers["www-authenticate"] == 'Bearer realm="modelkeep"'
    assert refused.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert (await other.get("/v1/models", headers={"authorization": f"Bearer {token}"})).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/other/things/m", {"authorization": ""}, 401, "credentials_required"),
        ("GET", "/other/things/m", {"authorization": "Bearer {token}"}, 401, "credentials_required"),
        ("GET", "/other/things/m", basic("mr_0_0"), 401, "invalid_token"),
        ("HEAD", "/other/away", {"authorization": ""}, 401, "credentials_required"),
        ("GET", "/other//things", {}, 400, "malformed_path"),
        ("POST", "/other/things", {"content-length": "9999999"}, 413, "request_too_large"),
        ("GET", "/other/nothing", {}, 404, "not_found"),
        ("DELETE", "/other/things", {}, 405, "method_not_allowed"),
        ("POST", "/other/things", {}, 422, "invalid_request"),
        ("GET", "/other/broken", {}, 500, "internal_error"),
        ("GET", "/other/undecided", {}, 500, "internal_error"),
        ("GET", "/other/away", {}, 503, "unavailable"),
    ],
)
async def test_a_second_protocol_answers_every_error_in_its_own_form(
    other: httpx.AsyncClient, token: str, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    sent = basic(token) | {name: value.replace("{token}", token) for name, value in headers.items()}
    if sent["authorization"] == "":
        del sent["authorization"]
    answer = await other.request(method, path, headers=sent)
    assert (answer.status_code, answer.headers["x-error-code"]) == (status, code)
    assert answer.headers["content-type"] == "application/vnd.other+json"
    assert answer.headers.get("www-authenticate") == ('Basic realm="other"' if status == 401 else None)
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)
    assert ("retry-after" in answer.headers) == (status == 503)
    if method != "HEAD":
        assert answer.json()["error_code"] == code.upper()


def source(token: str | None, challenge: str = "") -> CredentialSource:
    return CredentialSource(lambda _: token, lambda _: challenge)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([], None),
        ([None, None], None),
        ([None, ""], ""),
        (["", None], ""),
        (["", "a"], "a"),
        ([None, "a", "b"], "a"),
    ],
)
def test_the_first_source_with_a_token_counts(tokens: Sequence[str | None], expected: str | None) -> None:
    scope: dict[str, Any] = {"headers": []}
    assert read_token([source(token) for token in tokens], scope) == expected


def test_a_challenge_names_every_source_that_can_be_asked_for() -> None:
    error = UnauthenticatedError()
    assert challenge_of([source(None, "Basic"), source(None), BEARER], error) == (
        'Basic, Bearer realm="modelkeep", error="invalid_token"'
    )
    assert challenge_of([source(None)], error) == ""
