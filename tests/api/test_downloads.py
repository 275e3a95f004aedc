"""Downloads: everything that a container needs in one answer, and a redirect for `curl -L`."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from modelkeep.settings import Settings
from tests.support.api import Api, Shelf, sha256, signed_until, when

FIELDS = {"model", "version", "stage", "commit", "generation", "framework", "s3_path", "artifacts", "empty_folders"}
ARTIFACT_FIELDS = {"path", "size", "sha256", "executable", "method", "url", "headers", "expires_at"}


async def get(api: Api, model: str, ref: str = "production", known: str | None = None) -> httpx.Response:
    headers = {} if known is None else {"if-none-match": known}
    return await api.http.get(f"/v1/models/{model}/versions/{ref}/download", headers=headers)


def saved_as(url: str, sent: httpx.Response) -> str:
    """What a browser is told; ministack leaves the header out, so there it is what S3 is asked for."""
    asked = parse_qs(urlsplit(url).query).get("response-content-disposition", [""])[0]
    return str(sent.headers.get("content-disposition", asked))


async def test_a_download_has_all_that_a_container_needs(api: Api, settings: Settings, model: str) -> None:
    files = {"model.pt": b"weights", "config/tokenizer.json": b"{}"}
    await api.register(model, files, framework="onnx")
    await api.promote(model, 1)
    version = await api.ask("GET", f"/{model}/versions/1")

    began = datetime.now(UTC).replace(microsecond=0)
    answer = await get(api, model)
    ended = datetime.now(UTC)
    assert answer.headers["etag"] == f'"{version["commit"]}"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert found.keys() == FIELDS
    assert {name: found[name] for name in FIELDS - {"artifacts", "generation"}} == {
        name: version[name] for name in FIELDS - {"artifacts", "generation"}
    }
    assert found["generation"] == await api.generation(model)
    assert [artifact["path"] for artifact in found["artifacts"]] == sorted(files)
    life = timedelta(seconds=settings.download_url_ttl_seconds)
    for artifact in found["artifacts"]:
        assert artifact.keys() == ARTIFACT_FIELDS
        assert (artifact["size"], artifact["sha256"]) == (
            len(files[artifact["path"]]),
            sha256(files[artifact["path"]]),
        )
        assert (artifact["method"], artifact["headers"]) == ("GET", {})
        until = when(artifact["expires_at"])
        assert began + life <= until <= ended + life
        assert until <= signed_until(artifact["url"]) <= until + timedelta(seconds=1)
        sent = await api.send(artifact)
        assert sent.content == files[artifact["path"]]
        assert sent.headers["content-type"] == "application/octet-stream"
        assert saved_as(artifact["url"], sent) == f"attachment; filename*=UTF-8''{artifact['path'].rpartition('/')[2]}"


async def test_every_kind_of_ref_can_be_downloaded(api: Api, shelf: Shelf) -> None:
    commit = (await api.ask("GET", f"/{shelf.model}/versions/production"))["commit"]
    for ref in ("2", "v2", "production", "champion", commit):
        assert (await get(api, shelf.model, ref)).json()["commit"] == commit
    for ref in ("latest", "staging"):
        assert (await get(api, shelf.model, ref)).json()["version"] == 3


async def test_a_version_that_is_known_already_is_not_sent_again(api: Api, shelf: Shelf) -> None:
    etag = (await get(api, shelf.model)).headers["etag"]
    other = '"' + "0" * 40 + '"'
    for known in (etag, f"W/{etag}", f"{other}, {etag}", f"{etag},{other}", f'"x", W/{etag} ', "*", " * "):
        answer = await get(api, shelf.model, known=known)
        assert answer.status_code == 304, known
        assert answer.content == b""
        assert "content-type" not in answer.headers
        assert (answer.headers["etag"], answer.headers["cache-control"]) == (etag, "no-store")
    for unknown in (other, "", '"', "x", etag.strip('"'), etag.upper(), f'"{etag[2:]}', f"{other}, *"):
        assert (await get(api, shelf.model, known=unknown)).status_code == 200, unknown


async def test_the_etag_changes_exactly_when_the_ref_resolves_to_another_version(api: Api, model: str) -> None:
    for _ in range(2):
        await api.register(model, {"model.pt": b"the same bytes"})
    await api.promote(model, 1)
    first = (await get(api, model)).headers["etag"]

    await api.ask("PATCH", f"/{model}/versions/1", {"tags": {"a": "b"}, "metrics": {"f1": 1}, "description": "x"})
    await api.ask("PATCH", f"/{model}", {"description": "x"})
    await api.ask("PUT", f"/{model}/aliases/champion", {"version": 1})
    await api.begin(model, {"model.pt": b"next"})
    assert (await get(api, model, known=first)).status_code == 304
    assert (await get(api, model, "1")).headers["etag"] == first
    assert (await get(api, model, "champion")).headers["etag"] == first

    await api.promote(model, 2)
    second = await get(api, model, known=first)
    assert (second.status_code, second.json()["version"]) == (200, 2)
    assert second.headers["etag"] != first
    assert (await get(api, model, "1", known=first)).status_code == 304

    await api.ask("POST", f"/{model}/rollback", {"expected_production": 2})
    assert (await get(api, model)).headers["etag"] == first


async def test_the_generation_dates_an_answer(api: Api, model: str) -> None:
    await api.register(model)
    for expected in (2, 3, 4):
        assert (await get(api, model, "1")).json()["generation"] == expected
        await api.ask("PATCH", f"/{model}", {"description": f"{expected}"})


async def test_a_redirect_leads_to_the_bytes_and_is_not_cached(api: Api, model: str) -> None:
    files = {"model.pt": b"weights", "a b/c+d=e@f.json": b"{}"}
    await api.register(model, files)
    for path, content in files.items():
        address = path.replace(" ", "%20")
        for ref in ("1", "latest"):
            answer = await api.http.get(f"/v1/models/{model}/versions/{ref}/artifacts/{address}")
            assert answer.status_code == 307
            assert answer.headers["cache-control"] == "no-store"
            assert answer.content == b""
            assert (await api.http.get(answer.headers["location"])).content == content
    await api.problem("GET", f"/{model}/versions/1/artifacts/MODEL.pt", status=404, code="artifact_not_found")
    refused = await api.problem("GET", f"/{model}/versions/latest/artifacts/a", status=404, code="artifact_not_found")
    assert (refused["model"], refused["version"], refused["path"]) == (model, 1, "a")


@pytest.mark.parametrize(
    "path", ["", "x/", "/x", "x/..", ".", "%E2%80%8B", "%5C", "%FF", "e%CC%81", "x%20", "x" * 256, "a/" * 32]
)
async def test_what_is_no_artifact_path_is_refused(api: Api, shelf: Shelf, path: str) -> None:
    answer: Any = await api.http.get(f"/v1/models/{shelf.model}/versions/2/artifacts/{path}")
    assert answer.status_code in {400, 404, 422}
    assert answer.json()["code"] in {"malformed_path", "not_found", "invalid_request"}


async def test_a_url_works_for_its_own_object_and_method_only(api: Api, model: str) -> None:
    await api.register(model, {"a": b"1", "b": b"2"})
    first, second = (await get(api, model, "1")).json()["artifacts"]
    exchanged = first["url"].replace("/v1/a?", "/v1/b?")
    assert exchanged != first["url"]
    assert parse_qs(urlsplit(first["url"]).query) != parse_qs(urlsplit(second["url"]).query)
    assert (await api.http.get(exchanged)).status_code == 403
    assert (await api.http.put(first["url"], content=b"3")).status_code == 403
    assert (await api.http.delete(first["url"])).status_code in {403, 405}
    assert await api.fetch(model, "1") == {"a": b"1", "b": b"2"}


async def test_readers_see_one_production_version_at_every_instant(api: Api, model: str) -> None:
    for _ in range(2):
        await api.register(model)
    await api.promote(model, 1)
    done = asyncio.Event()

    async def promote() -> None:
        for number in [2, 1] * 10:
            await api.promote(model, number)
        done.set()

    async def read() -> int:
        count = 0
        while not done.is_set():
            found = (await get(api, model)).json()
            assert found["stage"] == "production"
            count += 1
        return count

    counts = await asyncio.gather(promote(), read(), read())
    assert sum(count or 0 for count in counts) > 10
