"""Every route, asked by every kind of principal about every kind of model, is answered as the tables say."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from modelkeep.http.route_table import RouteTable
from modelkeep.main import ROWS, create_app
from modelkeep.settings import Settings
from tests.support.access import Secured, secured
from tests.support.access_tables import (
    ABSENT,
    ITSELF,
    OTHER_QUESTIONS,
    PATTERNS,
    PRESENT,
    PRINCIPALS,
    PUBLISHER,
    QUESTIONS,
    READER,
    TOKENS,
    Power,
    Question,
)
from tests.support.api import Api
from tests.support.backends import prepare
from tests.support.fixture_models import all_of, fill

FORBIDDEN = "403 action_forbidden"
LEAST_CELLS = 5000
QUICK = 4
"""In a quick run, each principal has every fourth cell: each question, about one model or two; which ones, changes."""

SAMPLE = 7
"""Over the network, every seventh principal and every seventh of its cells."""

STRANGERS = [READER, PUBLISHER, Power("", "", deny="*"), Power("token.admin", "token.admin")]

Cell = tuple[Question, str]


@asynccontextmanager
async def storage_of_its_own(settings: Settings, folder: Path) -> AsyncIterator[Secured]:
    name = f"matrix-{uuid4().hex[:12]}"
    own = settings.model_copy(update={"data_dir": folder, "table": name, "bucket": name})
    await prepare(own)
    async with secured(own) as service:
        yield service


@pytest.fixture(scope="module")
async def service(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    """The models of the tables, which no cell changes."""
    async with storage_of_its_own(settings, tmp_path_factory.mktemp("matrix")) as service:
        admin = await service.who("admin")
        for model in PRESENT:
            await fill(admin, model)
        before = [await all_of(admin, model) for model in PRESENT]
        yield service
        assert [item["model"] async for item in admin.walk("")] == sorted(PRESENT)
        assert [await all_of(admin, model) for model in PRESENT] == before


def cells() -> Iterator[Cell]:
    for question in QUESTIONS:
        for model in (*PRESENT, *ABSENT):
            yield question, model
    for question in OTHER_QUESTIONS:
        yield question, TOKENS


CELLS = list(cells())


def expected(power: Power, covered: set[str], question: Question, model: str) -> str:
    """A caller that may read a model learns what it may not do to it; for any other there is no such model."""
    if may(power, question) and (model in covered or not question.needs):
        return question.absent if model in ABSENT else question.present
    says_nothing_of_models = question.needs == "version.upload" or "token.admin" in question.needs
    if says_nothing_of_models or (model in covered and power.may_do("model.read")):
        return FORBIDDEN
    return "404 model_not_found"


def may(power: Power, question: Question) -> bool:
    return all(power.may_do(action) for action in question.needs.split())


async def ask(api: Api, question: Question, model: str, **headers: str) -> httpx.Response:
    path = question.path if question in OTHER_QUESTIONS else f"/models/{model}{question.path}"
    body = json.loads(json.dumps(question.body).replace(ITSELF, model))
    return await api.request(question.method, path, json=body, headers=headers)


def answered(answer: httpx.Response) -> str:
    is_problem = answer.is_error and answer.request.method != "HEAD"
    return f"{answer.status_code} {answer.json()['code']}" if is_problem else str(answer.status_code)


async def bearer(service: Secured, power: Power, pattern: str) -> Api:
    return await service.who(*power.allow.split(), deny=power.deny.split(), models=pattern.split())


async def test_every_cell_is_answered_as_the_tables_say(service: Secured, *, thorough: bool) -> None:
    is_local = service.settings.backend == "local"
    principals = PRINCIPALS if is_local else PRINCIPALS[::SAMPLE]
    step = (1 if thorough else QUICK) if is_local else SAMPLE
    surprises, asked = [], 0
    for number, (power, pattern) in enumerate(principals):
        api = await bearer(service, power, pattern)
        for question, model in CELLS[number % step :: step]:
            found = answered(await ask(api, question, model))
            wanted = expected(power, PATTERNS[pattern], question, model)
            if question.method == "HEAD":
                wanted = wanted[:3]
            asked += 1
            if found != wanted:
                surprises.append(
                    f"{power.allow}, not {power.deny} on {pattern}: {question} {model}: {found}, not {wanted}"
                )
    assert surprises == []
    assert asked >= LEAST_CELLS / step * len(principals) / len(PRINCIPALS)


@pytest.mark.parametrize(("power", "pattern"), PRINCIPALS[::SAMPLE])
async def test_models_are_listed_to_callers_that_may_read_them(service: Secured, power: Power, pattern: str) -> None:
    api = await bearer(service, power, pattern)
    readable = {model for model in PRESENT if model in PATTERNS[pattern] and power.may_do("model.read")}
    assert [item["model"] async for item in api.walk("", limit=1)] == sorted(readable)


def test_the_tables_have_every_authenticated_route_and_its_actions() -> None:
    needs: dict[str, set[str]] = {}
    for question in (*QUESTIONS, *OTHER_QUESTIONS):
        needs.setdefault(question.operation, set()).update(question.needs.split())
    needs["list_models"] = {"model.read"}
    app, table = create_app(Settings(auth="none", backend="local", docs=True)), RouteTable(ROWS)
    marks = {
        route.name: route.openapi_extra and set(route.openapi_extra["x-actions"])
        for route in iter_route_contexts(app.routes)
        if not table.row_for(route.path or "").is_public
        and isinstance(route.original_route, APIRoute)
        and not (route.path or "").startswith("/ui")
    }
    assert marks == needs


def test_a_quick_run_asks_every_cell_and_every_principal_every_question() -> None:
    quick = [CELLS[number % QUICK :: QUICK] for number in range(len(PRINCIPALS))]
    assert [cell for cell in CELLS if not any(cell in cells for cells in quick)] == []
    for cells in quick:
        asked = [question for question, _ in cells]
        assert [question for question in QUESTIONS if question not in asked] == []


def test_the_matrix_is_large_and_decides_both_ways() -> None:
    answers = [expected(power, PATTERNS[pattern], *cell) for power, pattern in PRINCIPALS for cell in CELLS]
    assert len(answers) >= LEAST_CELLS
    refused = sum(answer in {FORBIDDEN, "404 model_not_found"} for answer in answers)
    assert refused > len(answers) / 10
    assert len(answers) - refused > len(answers) / 10


async def test_absent_and_forbidden_look_the_same(settings: Settings, tmp_path: Path) -> None:
    """Byte for byte, with headers: an unreadable model is absent, and so is what a reader may not know of a model."""
    async with storage_of_its_own(settings, tmp_path) as service:
        asking = []
        for power, pattern in product(STRANGERS, ["another-model", "secret"]):
            api = await bearer(service, power, pattern)
            asking += [(api, each) for each in QUESTIONS if pattern != "secret" or not may(power, each)]
        admin = await service.who("admin")
        plain = {
            str(each): (await ask(admin, each, "secret", **{"x-request-id": "same"})).content
            for each in QUESTIONS
            if each.absent == "404 model_not_found"
        }
        before = [await ask(api, question, "secret", **{"x-request-id": "same"}) for api, question in asking]
        await fill(await service.who("admin"), "secret")
        after = [await ask(api, question, "secret", **{"x-request-id": "same"}) for api, question in asking]
    assert {answer.status_code for answer in before} == {403, 404}
    for absent, forbidden in zip(before, after, strict=True):
        assert (absent.status_code, absent.content) == (forbidden.status_code, forbidden.content)
        assert absent.headers == forbidden.headers
    hidden = [(str(each), answer) for (_, each), answer in zip(asking, after, strict=True) if answer.status_code == 404]
    pairs = [(plain[each], answer.content) for each, answer in hidden if each in plain]
    assert len(pairs) > len(hidden) / 2
    for to_whom_it_is_absent, to_a_stranger in pairs:
        assert to_whom_it_is_absent == to_a_stranger
