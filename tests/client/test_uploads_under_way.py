"""An upload that was interrupted: it is listed, resumed, abandoned, and a list of versions says that it is there."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from modelkeep.client import AsyncRegistryClient, registry_transport, uploader
from modelkeep.client.upload_url_cache import UploadUnit
from modelkeep.domain.errors import ModelNotFoundError, UploadNotFoundError
from tests.support.processes.cli import Cli

MIB = 1024 * 1024
Write = Callable[..., Path]
Interrupt = Callable[..., None]


@pytest.fixture
def cli(url: str) -> Cli:
    return Cli(url)


@pytest.fixture
def interrupted(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Interrupt:
    """Run a registration that ends before `missing` is sent; everything else has arrived then."""

    def interrupted(model: str, source: Path, missing: str) -> None:
        upload = uploader.Uploader._upload

        async def lose_power(self: uploader.Uploader, unit: UploadUnit, *arguments: object) -> None:
            if unit.path != missing:
                await upload(self, unit, *arguments)  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr(uploader.Uploader, "_upload", lose_power)
            assert cli("register", model, source).status == 1

    return interrupted


@pytest.fixture
def source(write: Write) -> Path:
    """A folder of 3.5 MiB, of which `weights.bin` is 2 MiB."""
    return write(**{"weights.bin": 2 * MIB, "optimizer.bin": MIB + MIB // 2})


def test_an_upload_is_listed_with_what_has_arrived(cli: Cli, model: str, source: Path, interrupted: Interrupt) -> None:
    interrupted(model, source, "weights.bin")
    header, row = cli.does("uploads", model)
    assert header.split() == ["version", "arrived", "files", "begun", "expires", "by"]
    assert re.split(r"  +", re.sub(r"\S+T\S+Z", "T", row)) == ["v1", "1.5 of 3.5 MiB", "1 of 2", "T", "T", "anonymous"]
    (found,) = cli.answer("uploads", model)
    assert (found["version"], found["arrived_size"], found["size"]) == (1, MIB + MIB // 2, 3 * MIB + MIB // 2)
    assert cli.does("-o", "csv", "uploads", model)[1].split(",")[:3] == [model, "1", "2"]


def test_a_list_of_versions_says_that_only_an_upload_is_there(
    cli: Cli, model: str, source: Path, write: Write, interrupted: Interrupt
) -> None:
    interrupted(model, source, "weights.bin")
    said = cli("list", model)
    sentence = f"{model} has no complete version; under way: v1 (1.5 of 3.5 MiB)."
    assert (said.out, " ".join(said.err)) == ([], f"{sentence} `modelkeep uploads {model}` says when they expire.")
    assert cli("list", model, "--stage", "staging").err == ["There are no such versions."]
    assert (cli.answer("list", model), cli("list", model, "-q").err) == ([], [])
    cli.does("register", model, write(10))
    assert len(cli.does("list", model)) == 2
    cli.does("delete", model, 2, "--yes")
    cli.does("abandon", model, 1)
    assert cli("list", model).err == [f"{model} has no versions."]


def test_a_service_of_an_earlier_release_has_no_such_list(
    cli: Cli, model: str, source: Path, interrupted: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(model, source, "weights.bin")
    get = registry_transport.RegistryTransport.get

    async def without_uploads(
        self: registry_transport.RegistryTransport, *arguments: object, **query: object
    ) -> object:
        if arguments[-1] == "uploads":
            arguments = (*arguments, "absent")
        return await get(self, *arguments, **query)  # type: ignore[arg-type]

    monkeypatch.setattr(registry_transport.RegistryTransport, "get", without_uploads)
    assert cli("list", model).err == [f"{model} has no versions."]


def test_a_registration_that_is_resumed_says_what_is_there(
    cli: Cli, model: str, source: Path, interrupted: Interrupt
) -> None:
    interrupted(model, source, "weights.bin")
    said = cli("register", model, source)
    assert (said.status, said.out) == (0, ["1"])
    assert "Resuming v1: 1.5 of 3.5 MiB are there." in said.err
    assert cli("uploads", model).err == ["No upload is under way."]


def test_one_that_is_not_resumed_says_nothing_of_it(url: str, model: str, source: Path) -> None:
    job = Cli(url, {"GITHUB_RUN_ID": "8841", "GITHUB_JOB": "train"})
    for _ in range(2):
        said = job("register", model, source)
        assert (said.status, said.out) == (0, ["1"])
        assert "Resuming" not in " ".join(said.err)


def test_an_upload_is_abandoned(cli: Cli, model: str, source: Path, interrupted: Interrupt) -> None:
    interrupted(model, source, "weights.bin")
    assert cli("abandon", model, "production").status == 2
    assert cli("abandon", model).status == 2
    assert cli.does("abandon", f"{model}@1") == [f"The upload of {model} v1 is abandoned"]
    assert cli("uploads", model).err == ["No upload is under way."]
    assert cli.does("register", model, source) == ["2"]
    assert cli.refusal("abandon", model, 2)[0] == "upload_not_found"
    assert cli.answer("show", model, 2)["size"] == 3 * MIB + MIB // 2


@pytest.fixture
def begun(url: str, model: str) -> str:
    """A model with three uploads of which nothing has arrived."""
    body = {"artifacts": [{"path": "model.pt", "size": 7, "sha256": "9f" * 32}]}
    for _ in range(3):
        assert httpx.post(f"{url}/v1/models/{model}/versions", json=body, trust_env=False).status_code == 201
    return model


async def test_the_client_lists_and_abandons(registry: AsyncRegistryClient, begun: str) -> None:
    model = begun
    assert [each.version for each in await registry.list_uploads(model)] == [3, 2, 1]
    assert [each.version for each in await registry.list_uploads(model, limit=2)] == [3, 2]
    await registry.abandon_upload(model, 2)
    assert [each.version for each in await registry.list_uploads(model)] == [3, 1]
    with pytest.raises(UploadNotFoundError):
        await registry.abandon_upload(model, 2)
    with pytest.raises(ModelNotFoundError):
        await registry.list_uploads("absent")
