"""Owners and `main` as the settings name them."""

import pytest

from modelkeep.settings import Settings
from tests.support.api import Api, serving
from tests.support.hub import Book, Hub

pytestmark = pytest.mark.one_backend


@pytest.mark.parametrize(
    ("owners", "found", "absent", "listed"),
    [
        (("ml", "team"), ["ml/{M}", "team/{M}", "{M}"], ["registry/{M}", "sentence-transformers/{M}"], "ml/{M}"),
        (("*",), ["a/{M}", "registry/{M}", "{M}"], ["datasets/{M}", "spaces/{M}", "a/b/{M}"], "registry/{M}"),
        (("*", "ml"), ["a/{M}"], ["datasets/{M}"], "ml/{M}"),
    ],
)
async def test_models_are_found_under_the_owners_that_are_set(
    settings: Settings, api: Api, book: Book, owners: tuple[str, ...], found: list[str], absent: list[str], listed: str
) -> None:
    async with serving(settings.model_copy(update={"hf_owners": owners})) as own:
        hub = Hub(own.http)
        for repository in found:
            name = repository.replace("{M}", book.model)
            assert (await hub.read(f"/api/models/{name}"))["id"] == name
            await hub.ask("HEAD", f"/{name}/resolve/main/config.json")
        for repository in absent:
            await hub.ask("GET", f"/{repository.replace('{M}', book.model)}/resolve/main/config.json", status=404)
        (entry,) = await hub.read(f"/api/models?search={book.model}")
        assert entry["id"] == listed.replace("{M}", book.model)


def test_owners_are_read_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELKEEP_HF_OWNERS", "ml, team")
    assert Settings(backend="local").hf_owners == ("ml", "team")


async def test_main_is_the_latest_where_that_is_set(settings: Settings, api: Api, book: Book, unpromoted: str) -> None:
    async with serving(settings.model_copy(update={"hf_main": "latest"})) as own:
        hub = Hub(own.http)
        for revision in ("", "/revision/main"):
            assert (await hub.read(f"/api/models/{book.repository}{revision}"))["sha"] == book.commit(3)
        (production,) = {(await hub.read(f"/api/models/{book.repository}/revision/production"))["sha"]}
        assert production == book.commit(2)
        branches = (await hub.read(f"/api/models/{book.repository}/refs"))["branches"]
        assert (branches[0]["name"], branches[0]["targetCommit"]) == ("main", book.commit(3))
        await hub.ask("HEAD", f"/registry/{unpromoted}/resolve/main/model.pt")
        assert [each["name"] for each in (await hub.read(f"/api/models/registry/{unpromoted}/refs"))["branches"]] == [
            "main",
            "staging",
        ]
