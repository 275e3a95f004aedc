"""Finding the right version: who was production then, lists with metrics, two versions side by side."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelkeep.client import AsyncRegistryClient
from modelkeep.domain.errors import InvalidRequestError, ProductionNotFoundError
from tests.support.processes.cli import Cli

Write = Callable[..., Path]
Ask = Callable[[str], Any]


@pytest.fixture
def cli(url: str) -> Cli:
    return Cli(url)


@pytest.fixture
def api(url: str) -> Ask:
    """What the registry itself answers."""
    return lambda path: httpx.get(f"{url}/v1/models{path}", trust_env=False).json()


@pytest.fixture
def registered(cli: Cli, model: str, write: Write) -> str:
    """A model with three versions, of which the second and then the third were production."""
    for number in range(1, 4):
        cli.does("register", model, write(1000), "--metrics", f'{{"f1": 0.{number}}}')
    for number in (2, 3):
        cli.does("promote", model, number)
    return model


# who was production


def test_show_says_what_was_production_at_a_time(cli: Cli, api: Ask, registered: str) -> None:
    promoted = [event["at"] for event in api(f"/{registered}/events")["items"] if event["to"] == "production"]
    assert cli.answer("show", registered, "production", "--at", promoted[0])["version"] == 2
    assert cli.answer("show", registered, "production", "--at", "2999-01-01") == api(f"/{registered}/versions/3")
    said = cli("show", registered, "production", "--at", "2020-01-31")
    sentence = f"Error: No version of '{registered}' was in production at 2020-01-31T00:00:00Z."
    assert (said.status, said.err[0]) == (1, f"{sentence} Its history says when one was.")
    assert cli("show", registered, "production", "--at", "yesterday").status == 2
    for of in ([registered], [registered, "1"]):
        said = cli("show", *of, "--at", "2020-01-31")
        assert (said.status, "Write NAME@production." in said.err[0]) == (2, True), said


async def test_get_version_takes_a_time(registry: AsyncRegistryClient, registered: str) -> None:
    found = await registry.get_version(registered, "production", at=datetime.now(UTC))
    assert found == await registry.get_version(registered, 3)
    with pytest.raises(ProductionNotFoundError) as refused:
        await registry.get_version(registered, "production", at=datetime(2020, 1, 31, tzinfo=UTC))
    assert (refused.value.model, refused.value.at) == (registered, "2020-01-31T00:00:00Z")
    assert refused.value.version is None
    for ref, at in [("production", datetime(2020, 1, 31)), ("latest", datetime.now(UTC))]:  # noqa: DTZ001
        with pytest.raises(InvalidRequestError):
            await registry.get_version(registered, ref, at=at)


# lists


async def test_list_versions_selects_and_sorts(registry: AsyncRegistryClient, registered: str) -> None:
    await registry.edit_version(registered, 1, tags={"dataset": "2026-03", "team": "a"})
    await registry.edit_version(registered, 2, tags={"dataset": "2026-03"}, metrics={"f1": None})
    await registry.set_alias(registered, "champion", 2)

    async def numbers(**query: Any) -> list[int]:
        return [version.version for version in await registry.list_versions(registered, **query)]

    assert await numbers(sort="-metrics.f1") == [3, 1, 2]
    assert await numbers(sort="metrics.f1", limit=1) == [1]
    assert await numbers(sort="created_at") == [1, 2, 3]
    assert await numbers(tags={"dataset": "2026-03"}) == [2, 1]
    assert await numbers(tags={"dataset": "2026-03", "team": "a"}) == [1]
    assert await numbers(alias="*") == await numbers(alias="champion") == [2]
    with pytest.raises(InvalidRequestError):
        await numbers(sort="f1")


def test_list_shows_a_column_for_each_metric_and_the_best_first(cli: Cli, model: str, write: Write) -> None:
    for metrics in ('{"f1": 0.5, "loss": 2}', '{"f1": 0.9, "size": 7}', '{"loss": 0.25}'):
        cli.does("register", model, write(1000), "--metrics", metrics, "--tag", "dataset=2026-03")
    cli.does("alias", "set", model, "champion", 2)
    header, *rows = cli.does("list", model, "--sort", "f1")
    assert re.split(r"  +", header) == [
        "version",
        "stage",
        "aliases",
        "size",
        "framework",
        "f1",
        "metrics.size",
        "loss",
        "created",
    ]
    assert [row.split()[0] for row in rows] == ["v2", "v1", "v3"]
    assert "0.9" in rows[0]
    numbers = {
        ("--sort", "-f1"): ["1", "2", "3"],
        ("--sort", "-loss", "--limit", 1): ["3"],
        ("--sort", "created"): ["3", "2", "1"],
        ("--sort", "-created", "--limit", 2): ["1", "2"],
        ("--has-alias",): ["2"],
        ("--tag", "dataset=2026-03", "--stage", "staging"): ["3", "2", "1"],
        ("--tag", "dataset=2026-04"): [],
    }
    for options, expected in numbers.items():
        assert cli.does("list", model, *options, "-q") == expected, options
    assert [each["version"] for each in cli.answer("list", model, "--sort", "f1", "-q")] == [2, 1, 3]
    assert model in cli.does("list", "-q")
    for wrong in (["--sort", "f1"], ["--has-alias"], ["--tag", "a=b"], [model, "--sort", ""], [model, "--tag", "a"]):
        assert cli("list", *wrong).status == 2, wrong


def test_a_list_is_not_sorted_by_a_metric_that_none_of_its_versions_has(cli: Cli, model: str, write: Write) -> None:
    cli.does("register", model, write(10), "--tag", "team=a")
    cli.does("register", model, write(10), "--metric", "f1=0.5", "--metric", "loss=2")
    for mistaken, options in {"F1": [], "-F1": ["--limit", "2", "-q"], "metrics.f1": []}.items():
        code, sentence = cli.refusal("list", model, "--sort", mistaken, *options, status=2)
        assert code == "usage"
        assert f"no such version has a metric '{mistaken.removeprefix('-')}'. Sort by f1 or loss." in sentence
    assert "They have no metrics." in cli.refusal("list", model, "--tag", "team=a", "--sort", "f1", status=2)[1]
    assert cli("list", model, "--tag", "team=b", "--sort", "F1").err == ["There are no such versions."]


def test_alias_list_shows_each_alias_with_its_version(cli: Cli, registered: str) -> None:
    assert cli("alias", "list", registered).err == ["There are no aliases."]
    for alias, number in (("eu", 3), ("champion", 2)):
        cli.does("alias", "set", registered, alias, number)
    assert [line.split() for line in cli.does("alias", "list", registered)] == [
        ["alias", "version"], ["champion", "v2"], ["eu", "v3"]
    ]  # fmt: skip
    assert cli.answer("alias", "list", registered) == [
        {"alias": "champion", "version": 2}, {"alias": "eu", "version": 3}
    ]  # fmt: skip


def test_diff_shows_what_differs(cli: Cli, api: Ask, model: str, write: Write) -> None:
    first = write(folder="one", **{"same.bin": 1000, "weights.bin": 2048, "gone.txt": 10})
    second = write(folder="two", **{"weights.bin": 4096, "added.txt": 20})
    (second / "same.bin").write_bytes((first / "same.bin").read_bytes())
    cli.does("register", model, first, "--metrics", '{"f1": 0.5, "loss": 2}', "--tag", "team=a", "--tag", "run=1")
    cli.does("register", model, second, "--metrics", '{"f1": 0.75}', "--tag", "team=a", "--tag", "run=2")
    cli.does("promote", model, 1)
    lines = cli.does("diff", model, "production", 2)
    assert "" not in (lines[0], lines[-1])
    said = [re.split(r"  +", line) for line in lines if line]
    assert said == [
        ["metric", "v1", "v2", "difference"],
        ["f1", "0.5", "0.75", "+0.25"],
        ["loss", "2", "-", ""][:3],
        ["tag", "v1", "v2"],
        ["run", "1", "2"],
        ["team", "a", "a"],
        ["file", "change", "v1", "v2"],
        ["added.txt", "added", "-", "20 B"],
        ["gone.txt", "removed", "10 B", "-"],
        ["same.bin", "same", "1000 B", "1000 B"],
        ["weights.bin", "changed", "2.0 KiB", "4.0 KiB"],
    ]
    assert cli.answer("diff", model, 1, 2) == api(f"/{model}/compare?a=1&b=2")
    assert cli("diff", model, 1, 9).status == 1
