"""Interactive documentation: off unless asked for, and nothing of it from elsewhere."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from modelkeep.main import create_app
from modelkeep.settings import Settings
from tests.support.api import BASE, Api, check_problem

TYPES = {"png": "image/png", "js": "text/javascript", "css": "text/css"}


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service whose docs are asked for."""
    app = create_app(Settings(auth="none", backend="local", docs=True, log_level="WARNING"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as http:
        yield http


def referenced(page: httpx.Response) -> list[httpx.URL]:
    """Where the page's own references lead."""
    return [page.url.join(reference) for reference in re.findall(r'(?:src|href)="([^"]*)"', page.text)]


def directives(answer: httpx.Response) -> dict[str, set[str]]:
    parts = [part.split() for part in answer.headers["content-security-policy"].split(";")]
    return {name: set(sources) for name, *sources in parts}


async def test_docs_are_off_by_default(api: Api) -> None:
    for path in ("/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js", "/redoc"):
        check_problem(await api.http.get(path), 404, "not_found")


async def test_the_page_and_all_that_it_names_come_from_here(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assets = referenced(page)
    assert len(assets) == 4
    for url in assets:
        asset = await browser.get(url)
        kind = asset.headers["content-type"].partition(";")[0].replace("application/javascript", "text/javascript")
        assert (url.host, asset.status_code) == (httpx.URL(BASE).host, 200)
        assert kind == TYPES[url.path.rpartition(".")[2]]
        assert asset.headers["cache-control"] == "max-age=3600"
        assert asset.headers["x-content-type-options"] == "nosniff"
        assert asset.content


async def test_a_browser_loads_and_calls_nothing_else(browser: httpx.AsyncClient) -> None:
    """The scripts of Swagger UI name other hosts, so the policy must not let any of them be reached."""
    here, nowhere = {"'self'"}, {"'none'"}
    assert directives(await browser.get("/docs")) == {
        "default-src": nowhere,
        "script-src": here,
        "style-src": here,
        "img-src": {*here, "data:"},
        "connect-src": here,
        "base-uri": nowhere,
        "form-action": nowhere,
        "frame-ancestors": nowhere,
    }
    styles = (await browser.get("/docs/swagger-ui.css")).text
    assert "@import" not in styles
    assert {url.strip("\"' ")[:5] for url in re.findall(r"url\(([^)]{6})", styles)} == {"data:"}


async def test_the_page_shows_this_service(browser: httpx.AsyncClient) -> None:
    start = (await browser.get("/docs/start.js")).text
    (document,) = re.findall(r'url: "([^"]+)"', start)
    assert (await browser.get(httpx.URL(f"{BASE}/docs").join(document))).json()["info"]["title"] == "Model registry"
    (element,) = re.findall(r'dom_id: "#([^"]+)"', start)
    assert f'id="{element}"' in (await browser.get("/docs")).text
    assert "validatorUrl: null" in start


@pytest.mark.parametrize("asset", ["index.html", "__init__.py", "swagger-ui.css.map", "%2e%2e/main.py"])
async def test_no_other_file_is_served(browser: httpx.AsyncClient, asset: str) -> None:
    answer = await browser.get(f"/docs/{asset}")
    assert answer.status_code in {400, 404, 422}
    assert answer.headers["content-type"] == "application/problem+json"
