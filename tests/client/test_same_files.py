"""A registration of files that an earlier version has says which version that is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelkeep.client import AsyncRegistryClient, RegistryClient
from modelkeep.domain.errors import ModelNotFoundError
from tests.support.processes.cli import Cli

Write = Callable[..., Path]


@pytest.fixture
def cli(url: str) -> Cli:
    return Cli(url)


def test_the_summary_names_the_earlier_version(cli: Cli, model: str, write: Write) -> None:
    folder = write(**{"a.bin": 100, "b.bin": 200})
    others = write(folder="other", **{"a.bin": 100, "b.bin": 200})
    assert "the files of" not in cli("register", model, folder).err[-1]
    assert "the files of" not in cli("register", model, others).err[-1]
    said = cli("register", model, folder, "--framework", "pytorch")
    assert said.err[-1].startswith(f"Registered {model} v3 (pytorch; the files of v1): 2 files, 300 B in ")
    assert cli.answer("register", model, folder)["same_files_as"] == 3
    assert cli.answer("register", model, others, "--promote", "production")["same_files_as"] == 2
    (others / "a.bin").rename(others / "c.bin")
    assert cli.answer("register", model, others)["same_files_as"] is None


async def test_find_same_files_is_one_request(registry: AsyncRegistryClient, model: str, write: Write) -> None:
    source = write(100)
    versions = [await registry.register(model, source) for _ in range(3)]
    assert [await registry.find_same_files(version) for version in versions] == [None, 1, 2]
    await registry.delete_version(model, 2)
    assert await registry.find_same_files(versions[2]) == 1


async def test_a_service_that_knows_no_such_filter_is_not_believed(
    registry: AsyncRegistryClient, model: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = registry._transport.get
    source = write(100)
    for _ in range(2):
        first = await registry.register(model, source)
    other = await registry.register(model, write(100))

    async def without_filter(*arguments: object, same_files_as: int, **query: object) -> object:
        assert same_files_as
        return await get(*arguments, **query)  # type: ignore[arg-type]

    monkeypatch.setattr(registry._transport, "get", without_filter)
    assert await registry.find_same_files(first) is None
    assert await registry.find_same_files(other) is None


def test_who_may_not_read_may_register(cli: Cli, model: str, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ModelNotFoundError(model)

    source = write(100)
    cli.does("register", model, source)
    monkeypatch.setattr(RegistryClient, "find_same_files", refuse)
    said = cli("register", model, source)
    assert (said.status, said.out) == (0, ["2"])
    assert "the files of" not in said.err[-1]
