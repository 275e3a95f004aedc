"""A table and a bucket of the public recipe: taken over without a rewrite, and read by its own readers ever after."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from modelkeep.settings import Settings
from tests.support.api import Api, serving
from tests.support.backends import aws_environment, environment
from tests.support.programs import operate, operating
from tests.support.recipe import Recipe
from tests.support.servers import AwsServer


@pytest.fixture
def variables(ministack: AwsServer) -> dict[str, str]:
    return aws_environment(ministack)


@pytest.fixture
def recipe(ministack: AwsServer, variables: dict[str, str]) -> Iterator[Recipe]:
    """`fraud` is in order: 2 is production, 1 was before. Of `churn` two versions are production: a crash did that."""
    recipe = Recipe(ministack, variables["MODELKEEP_TABLE"], variables["MODELKEEP_BUCKET"])
    recipe.create()
    for number in (1, 2, 3):
        recipe.register("fraud", f"fraud {number}".encode(), {"accuracy": 0.9 + number / 1000, "f1": 0.941})
        recipe.register("churn", f"churn {number}".encode(), {"auc": 0.75})
    recipe.promote("fraud", 1)
    recipe.promote("fraud", 2)
    recipe.promote("churn", 1)
    recipe.promote("churn", 2, crash=True)
    yield recipe
    recipe.close()


@pytest.fixture
def settings(variables: dict[str, str], recipe: Recipe) -> Iterator[Settings]:
    with environment(variables) as settings:
        yield settings


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    async with serving(settings) as api:
        yield api


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The version items that are not to the letter what they were."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


# taking over


def test_adoption_adds_what_is_missing_and_rewrites_nothing_but_strays(
    recipe: Recipe, variables: dict[str, str]
) -> None:
    before = recipe.raw()
    said = operate(variables, "init", "--adopt")
    assert said.status == 0, said.err
    assert f"Table '{variables['MODELKEEP_TABLE']}' was there." in said.out
    assert [line for line in said.out if line.endswith("is added.")] == ["Index 'catalog-index' is added."]
    assert f"Bucket '{variables['MODELKEEP_BUCKET']}' is there already." in said.out
    assert said.out[-3:] == [
        "churn: version(s) 1, 2 claimed production; 2 has it, 1 archived",
        "churn: 3 version(s), production is 2",
        "fraud: 3 version(s), production is 2",
    ]
    assert changed(before, recipe.raw()) == {"churn 1"}
    assert operate(variables, "check").out == ["clean"]


def test_a_stray_keeps_all_that_the_recipe_wrote_but_its_stage(recipe: Recipe, variables: dict[str, str]) -> None:
    before = recipe.get("churn", 1)
    operate(variables, "init", "--adopt")
    after = recipe.get("churn", 1)
    assert {**before, "stage": "archived"}.items() <= after.items()


def test_adoption_repeated_changes_nothing(recipe: Recipe, variables: dict[str, str]) -> None:
    operate(variables, "init", "--adopt")
    before = recipe.raw()
    said = operate(variables, "init", "--adopt")
    assert said.out[-2:] == ["churn: 3 version(s), production is 2", "fraud: 3 version(s), production is 2"]
    assert changed(before, recipe.raw()) == set()


def test_verification_notes_size_and_digest_of_every_object(recipe: Recipe, variables: dict[str, str]) -> None:
    said = operate(variables, "init", "--adopt", "--verify")
    assert said.status == 0, said.err
    for number in (1, 2, 3):
        digest = hashlib.sha256(f"fraud {number}".encode()).hexdigest()
        assert f"fraud {number}: verified, SHA-256 {digest}" in said.out
        assert recipe.get("fraud", number)["registry"]["artifacts"][0]["sha256"] == digest
    assert not [line for line in operate(variables, "init", "--verify").out if "verified" in line], "each is read once"
    assert operate(variables, "check").out == ["clean"]


def test_what_cannot_be_served_is_named(recipe: Recipe, variables: dict[str, str]) -> None:
    elsewhere, gone = "s3://another-bucket/model.pt", f"s3://{recipe.bucket}/models/lost/v2/model.pt"
    recipe.register("lost", b"x", {}, s3_path=elsewhere)
    recipe.register("lost", b"x", {}, s3_path=gone.replace("model.pt", "absent.pt"))
    recipe.table.put_item(Item={"model_name": "lost", "version": 3, "stage": "staging"})
    recipe.register("not a name!", b"x", {})
    said = operate(variables, "init", "--adopt")
    assert said.status == 0, said.err
    for line in (
        f"lost: version 1 'model.pt' is at {elsewhere}, which is not in this store",
        "lost: version 2 'absent.pt' has no object at models/lost/v2/absent.pt",
        "lost 3: it names no object and cannot be served",
        "not a name!: no model can have this name here; its versions cannot be served",
    ):
        assert line in said.out
    assert [fault for fault in operate(variables, "check").out if fault.startswith(("lost", "not a name"))] == [
        "lost: version 2 'absent.pt' has no object at models/lost/v2/absent.pt",
        f"lost: version 1 'model.pt' is at {elsewhere}, which is not in this store",
        "not a name!: no model can have this name here; its versions cannot be served",
    ]


def test_a_program_reads_what_was_taken_over_as_json(recipe: Recipe, variables: dict[str, str]) -> None:
    said = operate(variables, "-o", "json", "init", "--adopt")
    assert (said.status, said.err) == (0, [])
    document = json.loads("\n".join(said.out))
    assert document["complete"] is True
    assert document["count"] == len(document["findings"])
    assert document["findings"][0] == {
        "code": "setup_step",
        "detail": f"Table '{variables['MODELKEEP_TABLE']}' was there.",
    }
    conflict, churn, fraud = document["findings"][-3:]
    assert conflict == {
        "code": "production_conflict_resolved",
        "detail": "churn: version(s) 1, 2 claimed production; 2 has it, 1 archived",
        "model": "churn",
        "claimed": [1, 2],
        "production": 2,
        "archived": [1],
    }
    assert [found["code"] for found in (churn, fraud)] == ["model_adopted"] * 2


def test_many_strays_are_archived_in_steps(recipe: Recipe, variables: dict[str, str]) -> None:
    for _ in range(35):
        recipe.register("wild", b"x", {}, stage="production")
    said = operate(variables, "init", "--adopt")
    assert "wild: 35 version(s), production is 35" in said.out
    assert [int(item["version"]) for item in recipe.in_stage("wild", "production")] == [35]
    assert operate(variables, "check").out == ["clean"]


def test_what_a_writer_of_the_recipe_adds_later_is_found_and_taken_over(
    recipe: Recipe, variables: dict[str, str]
) -> None:
    operate(variables, "init", "--adopt")
    assert recipe.register("fraud", b"fraud 4", {}) == 4
    found = operate(variables, "check").out
    assert "fraud: number 4 was never given out: the next one is 4" in found
    before = recipe.raw()
    assert operate(variables, "init", "--adopt").out[-1] == "fraud: 4 version(s), production is 2"
    assert changed(before, recipe.raw()) == set()
    assert operate(variables, "check").out == ["clean"]


# serving what was taken over


async def test_the_service_serves_what_the_recipe_wrote(api: Api, recipe: Recipe, variables: dict[str, str]) -> None:
    assert (await operating(variables, "init", "--adopt")).status == 0
    before = recipe.raw()

    models = (await api.ask("GET", ""))["items"]
    assert [(model["model"], model["production_version"], model["latest_version"]) for model in models] == [
        ("churn", 2, 3),
        ("fraud", 2, 3),
    ]
    versions = (await api.ask("GET", "/fraud/versions"))["items"]
    assert [(version["version"], version["stage"]) for version in versions] == [
        (3, "staging"),
        (2, "production"),
        (1, "archived"),
    ]
    newest = versions[0]
    assert (newest["metrics"], newest["framework"]) == ({"accuracy": 0.903, "f1": 0.941}, "pytorch")
    assert (newest["description"], newest["created_at"]) == ("version 3", "2025-03-04T12:30:00Z")
    assert newest["artifacts"] == [{"path": "model.pt", "size": 7, "sha256": None, "executable": False}]
    assert await api.fetch("fraud") == {"model.pt": b"fraud 2"}
    assert changed(before, recipe.raw()) == set(), "reading writes nothing"

    await api.promote("fraud", 3, expected_production=2)
    assert await api.fetch("fraud") == {"model.pt": b"fraud 3"}
    await api.ask("POST", "/fraud/rollback", {"expected_production": 3})
    assert await api.fetch("fraud") == {"model.pt": b"fraud 2"}
    assert await api.register("fraud", {"model.pt": b"fraud 4"}) == 4
    assert (await operating(variables, "check")).out == ["clean"]


async def test_the_first_touch_takes_a_model_over(api: Api, recipe: Recipe, variables: dict[str, str]) -> None:
    """Without `--adopt`: a model is taken over when it is first asked for, and lists it from then on."""
    assert (await operating(variables, "init")).status == 0
    before = recipe.raw()
    assert (await api.ask("GET", ""))["items"] == []

    assert await api.fetch("churn") == {"model.pt": b"churn 2"}
    assert changed(before, recipe.raw()) == {"churn 1"}
    await api.promote("churn", 3, expected_production=2)
    assert (await api.ask("GET", "/fraud"))["production_version"] == 2
    assert [model["model"] for model in (await api.ask("GET", ""))["items"]] == ["churn", "fraud"]


async def test_a_promotion_leaves_the_recipe_s_attributes_as_they_were(
    api: Api, recipe: Recipe, variables: dict[str, str]
) -> None:
    assert (await operating(variables, "init", "--adopt")).status == 0
    before = recipe.raw()
    await api.promote("fraud", 3)
    after = recipe.raw()
    assert changed(before, after) == {"fraud 2", "fraud 3"}
    for number in (2, 3):
        was, now = before[f"fraud {number}"], after[f"fraud {number}"]
        assert {name for name in was if now[name] != was[name]} == {"stage"}


# the recipe's readers


async def test_readers_of_the_recipe_go_on_reading(api: Api, recipe: Recipe, variables: dict[str, str]) -> None:
    assert (await operating(variables, "init", "--adopt")).status == 0
    fields: dict[str, Any] = {"metrics": {"accuracy": 0.967}, "framework": "onnx", "description": "by the service"}
    assert await api.register("fraud", {"model.onnx": b"fraud 4"}, **fields) == 4
    await api.promote("fraud", 4, expected_production=2)
    await api.begin("fraud", {"model.onnx": b"never completed"})
    await api.register("fresh", {"model.pt": b"fresh 1"})
    await api.ask("PUT", "/fresh/aliases/canary", {"version": 1})

    assert [int(item["version"]) for item in recipe.versions("fraud")] == [1, 2, 3, 4]
    latest = recipe.latest("fraud")
    assert latest == recipe.get("fraud", 4)
    assert {name: latest[name] for name in ("stage", "metrics", "framework", "description")} == {
        "stage": "production",
        "metrics": {"accuracy": Decimal("0.967")},
        "framework": "onnx",
        "description": "by the service",
    }
    assert latest["s3_path"] == f"s3://{recipe.bucket}/models/fraud/v4/model.onnx"
    assert latest["created_at"] > recipe.get("fraud", 3)["created_at"], "times are compared as texts"

    (production,) = recipe.in_stage("fraud", "production")
    assert recipe.download(production) == b"fraud 4"
    assert [int(item["version"]) for item in recipe.in_stage("fraud", "archived")] == [1, 2]
    assert [int(item["version"]) for item in recipe.versions("fraud") if item["stage"] == "staging"] == [3]
    assert recipe.download(recipe.get("fraud", 1)) == b"fraud 1"
    assert [int(item["version"]) for item in recipe.versions("fresh")] == [1]
    assert recipe.download(recipe.get("fresh", 1)) == b"fresh 1"


async def test_what_was_uploaded_before_versioning_was_on_is_served(
    api: Api, recipe: Recipe, variables: dict[str, str]
) -> None:
    """The version id of such an object is `null`."""
    assert (await operating(variables, "init", "--adopt", "--verify")).status == 0
    assert await api.fetch("fraud", "1") == {"model.pt": b"fraud 1"}
    async with httpx.AsyncClient(trust_env=False) as http:
        (artifact,) = (await api.download("fraud"))["artifacts"]
        assert (await http.get(artifact["url"])).content == b"fraud 2"
    assert artifact["sha256"] == hashlib.sha256(b"fraud 2").hexdigest()
