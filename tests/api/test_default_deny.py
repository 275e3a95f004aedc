"""No answer leaves without an authorization decision: neither of a route that forgot it, nor of an absent one."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import product
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import Request
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.responses import StreamingResponse

from modelkeep.domain.access.actions import Action
from modelkeep.domain.errors import ActionForbiddenError
from modelkeep.http.context import context_of
from modelkeep.http.dependencies import ReadCaller
from modelkeep.http.openapi import PUBLIC, requires
from modelkeep.http.route_table import RouteTable
from modelkeep.main import ROWS, create_app
from modelkeep.settings import Settings
from tests.support.access import token_for
from tests.support.api import BASE, COMMON, check_problem, serving
from tests.support.app_routes import ROUTES, filled_in
from tests.support.backends import environment, local_environment, prepare

SECRET = "the weights of production"

ASKS_NOBODY = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/docs/start.js",
    "/docs/{asset}",
    "/local-store/{key:path}",
    "/",
    "/ui/static/{asset}",
}
"""Every public route."""


async def forgetful() -> str:
    return SECRET


async def never_asks(caller: ReadCaller) -> str:
    return SECRET


async def shrugs_off_a_refusal(caller: ReadCaller) -> str:
    try:
        caller.require(Action.TOKEN_ADMIN)
    except ActionForbiddenError:
        return SECRET
    raise AssertionError


async def knows_the_principal(request: Request) -> str:
    return f"{SECRET} for {context_of(request.scope).require_principal().name}"


async def streams() -> StreamingResponse:
    return StreamingResponse(iter([SECRET]))


async def decides(caller: ReadCaller) -> str:
    caller.require(Action.MODEL_READ, "fraud-detector")
    return SECRET


PLACES = ["/v1/planted", "/v1/models/fraud/versions/1/planted", "/planted", "/docsplanted", "/healthz/planted"]


@pytest.fixture(scope="module")
async def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    with environment(local_environment(tmp_path_factory.mktemp("deny"))) as settings:
        own = settings.model_copy(update={"auth": None, "docs": True})
    await prepare(own)
    return own


@asynccontextmanager
async def planted(settings: Settings, endpoint: Callable[..., Any], mark: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A service that asks for credentials, with a route that the contract does not have in each place."""
    app = create_app(settings)
    for path in PLACES:
        app.add_api_route(path, endpoint, methods=["GET", "POST"], openapi_extra=mark, response_model=None)
    async with LifespanManager(app) as manager:
        transport = httpx.ASGITransport(manager.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(base_url=BASE, transport=transport) as http:
            yield http


@pytest.fixture(scope="module")
async def credentials(settings: Settings) -> dict[str, str]:
    return {"authorization": f"Bearer {await token_for(settings, allow=['reader'])}"}


@pytest.mark.parametrize("mark", [None, PUBLIC, requires(), requires(Action.MODEL_READ)])
@pytest.mark.parametrize("endpoint", [forgetful, never_asks, shrugs_off_a_refusal, knows_the_principal, streams])
async def test_a_route_that_decides_nothing_answers_nothing(
    settings: Settings, credentials: dict[str, str], endpoint: Callable[..., Any], mark: Any
) -> None:
    async with planted(settings, endpoint, mark) as http:
        for method, path in product(["GET", "POST"], PLACES):
            answer = await http.request(method, path, headers=credentials)
            assert set(check_problem(answer, 500, "internal_error")) == COMMON
            assert "weights" not in answer.text
            check_problem(await http.request(method, path), 401, "credentials_required")
        for path in PLACES:
            assert (await http.head(path, headers=credentials)).status_code == 500
            assert (await http.head(path)).status_code == 401


async def test_a_route_that_decides_answers(settings: Settings, credentials: dict[str, str]) -> None:
    """The others fail for want of a decision, then, and for nothing else."""
    async with planted(settings, decides, None) as http:
        for path in PLACES:
            answer = await http.get(path, headers=credentials)
            assert (answer.status_code, answer.json()) == (200, SECRET)
            head = await http.head(path, headers=credentials)
            assert (head.status_code, head.headers["content-length"]) == (200, str(len(answer.content)))


# -- without credentials


def test_exactly_the_listed_paths_are_public() -> None:
    table = RouteTable(ROWS)
    assert {path for _, path in ROUTES if table.row_for(filled_in(path)).is_public} == ASKS_NOBODY


def test_every_route_is_one_of_the_api() -> None:
    """No mounted app, no websocket: those would go past what holds for routes."""
    app = create_app(Settings(auth=None, backend="local", docs=True))
    kinds = {route.name: type(route.original_route) for route in iter_route_contexts(app.routes)}
    assert {name for name, kind in kinds.items() if kind is not APIRoute} == {
        "openapi",
        "download_fast_path",
        "huggingface",
        "mlflow",
    }


@pytest.fixture(scope="module")
async def stranger(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings) as api:
        yield api.http


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_an_unauthenticated_caller_gets_401_on_every_route(
    stranger: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await stranger.request(method, filled_in(path))
    if path in ASKS_NOBODY:
        assert answer.status_code != 401
    elif method == "HEAD" or path.startswith("/ui"):
        assert answer.status_code == 401
    else:
        check_problem(answer, 401, "credentials_required")
        assert answer.headers["www-authenticate"] == 'Bearer realm="modelkeep"'


UNKNOWN = ["/v1", "/v1/", "/v1/nowhere", "/v2/models", "/nowhere", "/docs2", "/healthz/", "/metrics/x"]
UNKNOWN += ["/openapi.json/", "/Healthz", "/local-store", "/v1/models/", "/v1/healthz", "/v1/local-store/x"]


@pytest.mark.parametrize("path", UNKNOWN)
async def test_an_unauthenticated_caller_does_not_learn_what_is_absent(stranger: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"):
        check_problem(await stranger.request(method, path), 401, "credentials_required")


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "HEAD"])
async def test_an_unauthenticated_caller_learns_of_no_other_methods(stranger: httpx.AsyncClient, method: str) -> None:
    for path in {path for _, path in ROUTES} - ASKS_NOBODY:
        if (method, path) not in ROUTES:
            answer = await stranger.request(method, filled_in(path))
            assert (answer.status_code, "allow" in answer.headers) == (401, False), path


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/fraud/versions"),
        ("PATCH", "/v1/models/fraud"),
        ("PUT", "/v1/models/fraud/versions/1/stage"),
        ("PUT", "/v1/models/BAD%20NAME/aliases/champion"),
        ("POST", "/v1/tokens"),
        ("POST", "/v1/models/fraud/versions/none/complete"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"unknown": 1}', b"\xff"])
async def test_an_unauthenticated_caller_learns_nothing_of_its_body(
    stranger: httpx.AsyncClient, method: str, path: str, content: bytes
) -> None:
    answer = await stranger.request(method, path, content=content, headers={"content-type": "application/json"})
    check_problem(answer, 401, "credentials_required")


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("", "credentials_required"),
        ("Basic dXNlcjpwYXNz", "credentials_required"),
        ("Bearer", "credentials_required"),
        ("Bearer nonsense", "invalid_token"),
        ("Bearer mr_00000000000_" + "0" * 43 + "_00000000", "invalid_token"),
        ("Bearer " + "x" * 20_000, "invalid_token"),
        ("Bearer \xff\xfe", "invalid_token"),
    ],
)
async def test_credentials_that_prove_nothing_are_refused(
    stranger: httpx.AsyncClient, authorization: str, code: str
) -> None:
    answer = await stranger.get("/v1/models", headers=[(b"authorization", authorization.encode("latin-1"))])
    check_problem(answer, 401, code)
