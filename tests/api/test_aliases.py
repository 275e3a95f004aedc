"""Aliases: movable names, each for one version."""

import pytest

from tests.support.api import OPEN, TRASHED, Api, Shelf


async def test_an_alias_names_a_version_and_moves(api: Api, model: str) -> None:
    await api.register(model)
    await api.register(model)
    commits = {number: (await api.ask("GET", f"/{model}/versions/{number}"))["commit"] for number in (1, 2)}
    for number in (1, 2):
        alias = await api.ask("PUT", f"/{model}/aliases/eu-prod", {"version": number, "comment": "move"})
        assert alias == {"model": model, "alias": "eu-prod", "version": number, "commit": commits[number]}
        assert (await api.ask("GET", f"/{model}/versions/eu-prod"))["version"] == number
    assert (await api.model(model))["aliases"] == {"eu-prod": 2}
    assert (await api.ask("GET", f"/{model}/versions/1"))["aliases"] == []
    assert (await api.ask("GET", f"/{model}/versions/2"))["aliases"] == ["eu-prod"]


async def test_a_version_may_have_several_aliases_by_name(api: Api, model: str) -> None:
    await api.register(model)
    for alias in ("b", "a.1", "c_d-e", "z" * 64):
        await api.ask("PUT", f"/{model}/aliases/{alias}", {"version": 1})
    assert (await api.ask("GET", f"/{model}/versions/1"))["aliases"] == ["a.1", "b", "c_d-e", "z" * 64]


async def test_an_alias_is_found_in_any_case_and_shown_as_written(api: Api, model: str) -> None:
    await api.register(model)
    await api.register(model)
    written = await api.ask("PUT", f"/{model}/aliases/Champion", {"version": 1})
    assert written["alias"] == "Champion"
    for ref in ("Champion", "champion", "CHAMPION"):
        assert (await api.ask("GET", f"/{model}/versions/{ref}"))["aliases"] == ["Champion"]
        assert (await api.download(model, ref))["version"] == 1
        found = (await api.ask("GET", f"/{model}/versions?alias={ref}"))["items"]
        assert [each["version"] for each in found] == [1]
    assert (await api.ask("PUT", f"/{model}/aliases/champion", {"version": 2}))["alias"] == "champion"
    assert (await api.model(model))["aliases"] == {"champion": 2}
    await api.ask("PUT", f"/{model}/aliases/CHAMPION", {"version": 2})
    await api.ask("PUT", f"/{model}/aliases/b", {"version": 2})
    assert list((await api.model(model))["aliases"].items()) == [("b", 2), ("CHAMPION", 2)]
    assert (await api.ask("GET", f"/{model}/versions/2"))["aliases"] == ["b", "CHAMPION"]
    await api.ask("DELETE", f"/{model}/aliases/champIon", status=204)
    assert (await api.model(model))["aliases"] == {"b": 2}
    events = [(event["alias"], event["from"], event["to"]) for event in await api.events(model) if event["alias"]]
    assert events == [
        ("Champion", None, "1"),
        ("champion", "1", "2"),
        ("CHAMPION", "2", "2"),
        ("b", None, "2"),
        ("CHAMPION", "2", None),
    ]


async def test_pointing_an_alias_where_it_points_writes_nothing(api: Api, model: str) -> None:
    await api.register(model)
    first = await api.ask("PUT", f"/{model}/aliases/champion", {"version": 1})
    before = await api.model(model)
    assert await api.ask("PUT", f"/{model}/aliases/champion", {"version": 1, "comment": "again"}) == first
    assert await api.model(model) == before


async def test_a_removed_alias_is_gone(api: Api, model: str) -> None:
    await api.register(model)
    await api.ask("PUT", f"/{model}/aliases/champion", {"version": 1})
    await api.ask("DELETE", f"/{model}/aliases/champion", status=204)
    before = await api.model(model)
    assert before["aliases"] == {}
    await api.problem("GET", f"/{model}/versions/champion", status=404, code="version_not_found")
    refused = await api.problem("DELETE", f"/{model}/aliases/champion", status=404, code="alias_not_found")
    assert (refused["model"], refused["alias"]) == (model, "champion")
    assert await api.model(model) == before


@pytest.mark.parametrize(
    "alias",
    [
        *["latest", "main", "production", "staging", "archived", "none", "v1", "v007", "v99999999999", "a" * 40],
        *["Production", "LATEST", "V1", "A" * 40],
    ],
)
async def test_an_alias_that_means_something_already_is_reserved(api: Api, shelf: Shelf, alias: str) -> None:
    refused = await api.problem(
        "PUT", f"/{shelf.model}/aliases/{alias}", {"version": 1}, status=409, code="alias_reserved"
    )
    assert refused["alias"] == alias
    await api.problem("DELETE", f"/{shelf.model}/aliases/{alias}", status=404, code="alias_not_found")
    assert await api.generation(shelf.model) == shelf.generation


@pytest.mark.parametrize("alias", ["1", "1a", "-a", ".a", "_a", "a b", "a@b", "a" * 65, "ä", "Ä"])
async def test_an_alias_is_spelled_by_its_grammar(api: Api, shelf: Shelf, alias: str) -> None:
    path = f"/{shelf.model}/aliases/{alias}"
    await api.problem("PUT", path, {"version": 1}, status=422, code="invalid_request")
    await api.problem("DELETE", path, status=422, code="invalid_request")
    assert await api.generation(shelf.model) == shelf.generation


@pytest.mark.parametrize("alias", ["v", "va", "v1a", "lates", "latest2", "a" * 39, "g" * 40, "productions"])
async def test_what_only_looks_like_a_ref_may_be_an_alias(api: Api, model: str, alias: str) -> None:
    await api.register(model)
    await api.ask("PUT", f"/{model}/aliases/{alias}", {"version": 1})
    assert (await api.ask("GET", f"/{model}/versions/{alias}"))["version"] == 1


@pytest.mark.parametrize("number", [TRASHED, OPEN, 99])
async def test_an_alias_names_only_complete_versions(api: Api, shelf: Shelf, number: int) -> None:
    body = {"version": number}
    await api.problem("PUT", f"/{shelf.model}/aliases/new", body, status=404, code="version_not_found")
    assert await api.generation(shelf.model) == shelf.generation


async def test_a_model_has_at_most_a_hundred_aliases(api: Api, model: str) -> None:
    await api.register(model)
    await api.register(model)
    for number in range(100):
        await api.ask("PUT", f"/{model}/aliases/alias-{number}", {"version": 1})
    before = await api.model(model)
    refused = await api.problem(
        "PUT", f"/{model}/aliases/another", {"version": 1}, status=413, code="metadata_too_large"
    )
    assert (refused["what"], refused["limit"]) == ("aliases", 100)
    assert await api.model(model) == before
    await api.ask("PUT", f"/{model}/aliases/alias-7", {"version": 2})


async def test_setting_and_removing_under_a_key_take_effect_once(api: Api, model: str) -> None:
    await api.register(model)
    await api.register(model)
    put, delete = {"idempotency-key": "put-1"}, {"idempotency-key": "delete-1"}
    path = f"/{model}/aliases/champion"
    first = await api.ask("PUT", path, {"version": 1}, headers=put)
    await api.ask("PUT", path, {"version": 2})
    assert await api.ask("PUT", path, {"version": 1}, headers=put) == first
    assert (await api.model(model))["aliases"] == {"champion": 2}
    await api.problem("PUT", path, {"version": 2}, headers=put, status=422, code="idempotency_key_reused")

    await api.ask("DELETE", path, status=204, headers=delete)
    await api.ask("PUT", path, {"version": 2})
    before = await api.model(model)
    await api.ask("DELETE", path, status=204, headers=delete)
    await api.problem("DELETE", path, {}, headers=delete, status=422, code="idempotency_key_reused")
    assert await api.model(model) == before
