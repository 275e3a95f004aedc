"""Whatever is wrong with a body or a parameter, the problem has no words of the library that found it."""

from typing import Any

import pytest

from tests.support.api import Api
from tests.support.app_routes import ROUTES, filled_in
from tests.support.library_words import library_words

pytestmark = pytest.mark.parametrize("settings", ["local"], indirect=True)

BODIES: list[Any] = [{}, [], None, {"?": 1}, {"stage": "?"}, {"artifacts": [{"size": "?"}]}, {"issuers": {"a": {}}}]


@pytest.mark.parametrize(
    ("method", "path"), [route for route in ROUTES if route[0] != "HEAD" and route[1].startswith("/v1")]
)
async def test_of_a_request(api: Api, method: str, path: str) -> None:
    for body in BODIES if method in {"POST", "PUT", "PATCH"} else [None]:
        for query in ("", "?limit=?", "?wait=-1", "?format=?", "?after=x", "?stage=?"):
            answer = await api.http.request(method, f"{filled_in(path)}{query}", json=body)
            assert library_words(answer.text) == [], answer.text
