"""The list of models, and the page of one, on both backends."""

from modelkeep.settings import Settings
from tests.support.api import PRODUCTION, Api, Shelf
from tests.support.backends import prepare
from tests.support.html import page


async def test_the_root_leads_to_the_pages(api: Api) -> None:
    answer = await api.http.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui")


async def test_the_list_has_what_is_in_production_and_who_put_it_there(api: Api, shelf: Shelf) -> None:
    found = await page(api, f"?prefix={shelf.model}")
    assert found.title == "Models · modelkeep"
    header, row = found.table()
    assert header == ["Model", "Production", "Latest", "Aliases", "Last change"]
    assert row == [shelf.model, f"v{PRODUCTION} just now by anonymous", "v3", "champion", "just now"]
    assert found.links("tbody th a") == [f"/ui/models/{shelf.model}"]


async def test_a_search_that_finds_nothing_says_so(api: Api) -> None:
    found = await page(api, "?prefix=absent-<b>")
    assert "begins with “absent-<b>”" in found.text(".empty")


async def test_an_empty_registry_says_what_to_type(alone: tuple[Api, Settings]) -> None:
    api, settings = alone
    await prepare(settings)
    assert (await page(api, "")).text("pre") == "modelkeep register my-model ./model.pt"


async def test_the_list_goes_on_by_pages(api: Api, model: str) -> None:
    for number in range(52):
        await api.begin(f"{model}-{number:02}", {"model.pt": b"one"})
    first = await page(api, f"?prefix={model}")
    second = await page(api, first.links("a[rel=next]")[0].removeprefix("/ui"))
    names = [row[0] for each in (first, second) for row in each.table()[1:]]
    assert names == [f"{model}-{number:02}" for number in range(52)]
    assert second.all("a[rel=next]") == []


async def test_a_model_has_its_versions_with_a_column_for_each_metric(api: Api, model: str) -> None:
    await api.register(model, metrics={"f1": 0.9})
    await api.register(model, metrics={"accuracy": 0.5, "f1": 0.91}, description="The second")
    found = await page(api, f"/models/{model}")
    assert found.title == f"{model} · modelkeep"
    assert [row[:4] for row in found.table()] == [
        ["Version", "Stage", "accuracy", "f1"],
        ["v2 The second", "staging", "0.5", "0.91"],
        ["v1", "staging", "", "0.9"],
    ]


async def test_a_model_without_a_version_says_what_to_type(api: Api, model: str) -> None:
    await api.begin(model, {"model.pt": b"never sent"})
    assert (await page(api, f"/models/{model}")).text("pre") == f"modelkeep register {model} ./model.pt"


async def test_an_absent_model_is_a_page_too(api: Api, model: str) -> None:
    found = await page(api, f"/models/{model}", status=404)
    assert found.title == "There is no such thing here · modelkeep"
    assert model in found.text(".lead")
