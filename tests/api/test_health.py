"""Liveness, readiness and metrics."""

import sqlite3
from contextlib import closing
from typing import Any

from modelkeep.settings import Settings
from tests.support.api import Api, Shelf, check_problem


async def test_a_service_that_can_serve_is_ready(api: Api) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await api.http.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_service_whose_table_is_gone_lives_and_is_not_ready(alone: tuple[Api, Settings]) -> None:
    api, settings = alone
    if settings.backend == "local":
        with closing(sqlite3.connect(settings.data_dir / "registry.db")) as database:
            database.execute("DROP TABLE items")
    assert (await api.http.get("/healthz")).status_code == 200
    problem = check_problem(await api.http.get("/readyz"), 503, "unavailable")
    assert "init" in problem["detail"] or settings.backend == "local"
    asked: list[tuple[str, str, Any]] = [("GET", "/a", None), ("GET", "", None), ("PATCH", "/a", {})]
    for method, path, body in asked:
        answer = await api.http.request(method, f"/v1/models{path}", json=body)
        assert check_problem(answer, 503, "unavailable")["detail"]
        assert answer.headers["retry-after"] == "2"


async def test_metrics_count_requests_by_route_and_status(api: Api, shelf: Shelf) -> None:
    async def counted(text: str) -> float:
        lines = (await api.http.get("/metrics")).text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(text)), 0)

    route = 'method="GET",route="/v1/models/{model}/versions/{version}"'
    found = f'modelkeep_http_requests_total{{code="",{route},status="200"}}'
    missing = f'modelkeep_http_requests_total{{code="version_not_found",{route},status="404"}}'
    timed = 'modelkeep_http_request_duration_seconds_count{route="/v1/models/{model}/versions/{version}"}'
    nowhere = 'modelkeep_http_requests_total{code="not_found",method="GET",route="-",status="404"}'
    before = [await counted(name) for name in (found, missing, timed, nowhere)]
    await api.ask("GET", f"/{shelf.model}/versions/production")
    await api.problem("GET", f"/{shelf.model}/versions/99", status=404, code="version_not_found")
    await api.http.get("/nowhere")
    after = [await counted(name) for name in (found, missing, timed, nowhere)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 2, 1]


async def test_metrics_are_in_the_text_format_and_name_no_model(api: Api, shelf: Shelf) -> None:
    await api.ask("GET", f"/{shelf.model}")
    answer = await api.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "# TYPE modelkeep_http_requests_total counter" in answer.text
    assert 'modelkeep_http_request_duration_seconds_bucket{le="+Inf"' in answer.text
    assert shelf.model not in answer.text
