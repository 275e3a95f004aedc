"""Lists of versions: by stage, tags and aliases, and sorted by metrics and creation."""

from itertools import product
from typing import Any

import pytest

from modelkeep.services.reading import sorted_versions
from tests.support.api import Api, Shelf

ROWS: list[tuple[dict[str, float], dict[str, str]]] = [
    ({"f1": 0.5, "loss": 2}, {"dataset": "2026-03", "team": "a"}),
    ({"f1": 0.9, "loss": 0.1}, {"dataset": "2026-03", "team": "b = c"}),
    ({"loss": 0.5}, {"dataset": "2026-04"}),
    ({"f1": 0.5}, {"dataset": "2026-03", "team": "a"}),
    ({"f1": -1e-7, "loss": 1e25}, {}),
    ({}, {"team": "a"}),
]


@pytest.fixture(scope="module")
async def listed(api: Api) -> str:
    """Six versions: 2 is production, 1 and 4 archived; 2 has two aliases, 5 has one."""
    model = f"listed-{id(api)}"
    for metrics, tags in ROWS:
        await api.register(model, metrics=metrics, tags=tags)
    for number, stage in [(1, "archived"), (2, "production"), (4, "archived")]:
        await api.ask("PUT", f"/{model}/versions/{number}/stage", {"stage": stage})
    for alias, number in [("champion", 2), ("eu", 2), ("canary", 5)]:
        await api.ask("PUT", f"/{model}/aliases/{alias}", {"version": number})
    return model


async def numbers(api: Api, model: str, limit: int, **query: Any) -> list[int]:
    """All numbers of a list, over all pages."""
    found: list[int] = []
    while True:
        answer = await api.request("GET", f"/models/{model}/versions", params={"limit": limit, **query})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page.get("older_left_out") == (False if "sort" in query else None)
        found += [item["version"] for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        assert len(page["items"]) == limit
        query["cursor"] = page["next_cursor"]


QUERIES: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [6, 5, 4, 3, 2, 1]),
    ({"tag": "dataset=2026-03"}, [4, 2, 1]),
    ({"tag": ["dataset=2026-03", "team=a"]}, [4, 1]),
    ({"tag": "team=b = c"}, [2]),
    ({"tag": "team="}, []),
    ({"tag": ["team=a", "team=b"]}, []),
    ({"alias": "champion"}, [2]),
    ({"alias": "nobody"}, []),
    ({"alias": "*"}, [5, 2]),
    ({"alias": "*", "stage": "staging"}, [5]),
    ({"sort": "metrics.f1"}, [5, 4, 1, 2, 6, 3]),
    ({"sort": "-metrics.f1"}, [2, 4, 1, 5, 6, 3]),
    ({"sort": "metrics.loss"}, [2, 3, 1, 5, 6, 4]),
    ({"sort": "-metrics.loss"}, [5, 1, 3, 2, 6, 4]),
    ({"sort": "created_at"}, [1, 2, 3, 4, 5, 6]),
    ({"sort": "-created_at"}, [6, 5, 4, 3, 2, 1]),
    ({"sort": "-metrics.absent"}, [6, 5, 4, 3, 2, 1]),
    ({"sort": "-metrics.f1", "stage": "archived"}, [4, 1]),
    ({"sort": "metrics.f1", "tag": "dataset=2026-03", "alias": "*"}, [2]),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
async def test_a_list_has_what_is_asked_for_in_order_on_pages_of_any_size(
    api: Api, listed: str, query: dict[str, Any], expected: list[int]
) -> None:
    for limit in (1, 2, 100):
        assert await numbers(api, listed, limit, **query) == expected


async def test_a_sorted_list_goes_on_behind_a_version_that_has_moved(api: Api, model: str) -> None:
    for f1 in (0.1, 0.2, 0.3, 0.4):
        await api.register(model, metrics={"f1": f1})
    page = await api.ask("GET", f"/{model}/versions?sort=-metrics.f1&limit=2")
    assert [item["version"] for item in page["items"]] == [4, 3]
    await api.ask("PATCH", f"/{model}/versions/3", {"metrics": {"f1": 0.9}})
    await api.ask("DELETE", f"/{model}/versions/4", status=204)
    rest = await api.ask("GET", f"/{model}/versions?sort=-metrics.f1&cursor={page['next_cursor']}")
    assert [item["version"] for item in rest["items"]] == [2, 1]


async def test_the_newest_are_sorted_and_the_answer_says_so(
    api: Api, listed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for most, expected, older in [(6, [1, 2, 3, 4, 5, 6], False), (5, [2, 3, 4, 5, 6], True)]:
        monkeypatch.setattr(sorted_versions, "MAX_SORTED", most)
        page = await api.ask("GET", f"/{listed}/versions?sort=created_at")
        assert [item["version"] for item in page["items"]] == expected
        assert page["older_left_out"] is older
    page = await api.ask("GET", f"/{listed}/versions?tag=dataset=2026-03")
    assert ([item["version"] for item in page["items"]], page.keys()) == ([4, 2, 1], {"items", "next_cursor"})


async def test_a_cursor_is_of_one_selection(api: Api, listed: str) -> None:
    queries = ["", "stage=staging", "tag=team=a", "tag=team=a&tag=team=a", "alias=*", "sort=created_at",
               "sort=-created_at", "same_files_as=6", "same_files_as=5",
               "sort=metrics.f1", "sort=-metrics.f1", "sort=metrics.f1&alias=*"]  # fmt: skip
    cursors = {query: (await api.ask("GET", f"/{listed}/versions?limit=1&{query}"))["next_cursor"] for query in queries}
    for issued, other in product(queries, queries):
        if cursors[issued] and other != issued:
            path = f"/{listed}/versions?cursor={cursors[issued]}&{other}"
            await api.problem("GET", path, status=400, code="invalid_cursor")


async def test_a_list_has_the_earlier_versions_with_the_same_files(api: Api, model: str) -> None:
    one, two = {"a.bin": b"a", "b.bin": b"b"}, {"a.bin": b"a"}
    for files in (one, two, one, {"a.bin": b"b", "b.bin": b"a"}, {"a.bin": b"a", "c.bin": b"b"}, one):
        await api.register(model, files)
    await api.promote(model, 1)
    for limit in (1, 100):
        assert await numbers(api, model, limit, same_files_as=6) == [3, 1]
        assert await numbers(api, model, limit, same_files_as=3) == [1]
        assert (
            await numbers(api, model, limit, same_files_as=5) == await numbers(api, model, limit, same_files_as=1) == []
        )
        assert await numbers(api, model, limit, same_files_as=6, sort="created_at") == [1, 3]
        assert await numbers(api, model, limit, same_files_as=6, stage="production") == [1]
    await api.problem("GET", f"/{model}/versions?same_files_as=7", status=404, code="version_not_found")
    await api.ask("DELETE", f"/{model}/versions/3", status=204)
    assert await numbers(api, model, 100, same_files_as=6) == [1]


@pytest.mark.parametrize(
    ("query", "where"),
    [("sort=", "sort"), ("sort=f1", "sort"), ("sort=metrics.", "sort"), ("sort=--created_at", "sort"),
     (f"sort=metrics.{'m' * 129}", "sort"), ("tag=team", "tag.0"), ("tag=%3Da", "tag.0"), ("alias=", "alias"),
     ("alias=**", "alias"), ("same_files_as=0", "same_files_as"), ("same_files_as=v1", "same_files_as"),
     ("&".join(["tag=a=b"] * 65), "tag")],
)  # fmt: skip
async def test_what_is_no_selection_is_refused(api: Api, shelf: Shelf, query: str, where: str) -> None:
    refused = await api.problem("GET", f"/{shelf.model}/versions?{query}", status=422, code="invalid_request")
    assert refused["errors"][0]["location"].startswith(f"query.{where}"), refused
