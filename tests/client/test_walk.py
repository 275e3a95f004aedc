"""The main job through the Python client, over a real socket, on both backends."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelkeep.client import AsyncRegistryClient, RegistryClient
from modelkeep.domain.errors import (
    InvalidRequestError,
    MetadataTooLargeError,
    ModelNotFoundError,
    NotNewerError,
    ProductionChangedError,
    VersionInUseError,
    VersionNotFoundError,
)
from tests.support.programs import REPOSITORY

MIB = 1024 * 1024
Write = Callable[..., Path]


async def test_a_file_is_registered_promoted_and_downloaded(
    registry: AsyncRegistryClient, model: str, write: Write, tmp_path: Path
) -> None:
    source = write(3 * MIB + 17)
    version = await registry.register(model, source, metrics={"accuracy": 0.967}, tags={"owner": "risk"})
    await registry.promote(model, version.version, "production")
    path = (await registry.download(model, dest=tmp_path / "serving")).path
    assert path == tmp_path / "serving" / "model.pt"
    assert path.read_bytes() == source.read_bytes()
    names = {entry.name for entry in path.parent.iterdir()}
    assert names == {"model.pt", f".modelkeep.{model}.json"}
    assert (version.metrics, version.tags, version.size) == ({"accuracy": 0.967}, {"owner": "risk"}, 3 * MIB + 17)


async def test_a_folder_is_registered_and_downloaded(
    registry: AsyncRegistryClient, model: str, write: Write, tmp_path: Path
) -> None:
    source = write(**{"weights/a.bin": 2 * MIB, "weights/b.bin": 1, "config.json": 200, "empty": 0})
    version = await registry.register(model, source)
    path = (await registry.download(model, version.version, dest=tmp_path / "serving")).path
    assert path == tmp_path / "serving" / model
    assert _contents(path) == _contents(source)
    assert [artifact.path for artifact in version.artifacts] == [
        "config.json",
        "empty",
        "weights/a.bin",
        "weights/b.bin",
    ]


async def test_a_large_file_goes_up_in_parts(
    registry: AsyncRegistryClient, model: str, write: Write, tmp_path: Path
) -> None:
    source = write(130 * MIB + 5)
    version = await registry.register(model, source)
    path = (await registry.download(model, "latest", dest=tmp_path / "serving")).path
    assert path.read_bytes() == source.read_bytes()
    assert version.size == 130 * MIB + 5


async def test_everything_else_a_caller_can_do(registry: AsyncRegistryClient, model: str, write: Write) -> None:
    first = (await registry.register(model, write(10), description="the first")).version
    second = (await registry.register(model, write(11))).version
    await registry.promote(model, first, expected_production=None)
    await registry.promote(model, second, comment="better", only_newer=True)
    with pytest.raises(ProductionChangedError) as changed:
        await registry.promote(model, first, expected_production=first)
    assert (changed.value.holder, changed.value.expected) == (second, first)
    with pytest.raises(NotNewerError):
        await registry.promote(model, first, only_newer=True)
    assert (await registry.rollback(model, expected_production=second)).version == first
    assert (await registry.set_alias(model, "canary", second)).version == second
    assert (await registry.get_version(model, "canary")).version == second
    with pytest.raises(VersionInUseError):
        await registry.delete_version(model, second)
    await registry.remove_alias(model, "canary")
    await registry.delete_version(model, second)
    with pytest.raises(VersionNotFoundError):
        await registry.get_version(model, second)
    assert (await registry.restore(model, second)).version == second
    edited = await registry.edit_version(model, first, metrics={"f1": 0.5}, tags={"a": "b"}, description="edited")
    assert (edited.metrics, edited.tags, edited.description) == ({"f1": 0.5}, {"a": "b"}, "edited")
    assert (await registry.edit_version(model, first, metrics={"f1": None})).metrics == {}
    assert (await registry.edit_model(model, description="fraud")).description == "fraud"
    assert (await registry.get_model(model)).production_version == first
    assert [each.model for each in await registry.list_models(prefix=model)] == [model]
    assert [each.version for each in await registry.list_versions(model)] == [second, first]
    assert [each.version for each in await registry.list_versions(model, stage="production")] == [first]
    assert [each.version for each in await registry.list_versions(model, limit=1)] == [second]
    history = await registry.list_events(model)
    assert [event.generation for event in history] == list(range(1, len(history) + 1))
    assert await registry.list_events(model, after=history[-2].generation) == history[-1:]
    await registry.promote(model, first, "archived")
    await registry.delete_model(model)
    with pytest.raises(ModelNotFoundError) as absent:
        await registry.get_model(model)
    assert absent.value.model == model
    assert absent.value.__notes__[0].startswith("request_id ")


async def test_a_model_is_created_before_its_versions(registry: AsyncRegistryClient, model: str, write: Write) -> None:
    created = await registry.create_model(model, description="fraud", tags={"team": "risk"})
    assert (created.description, created.tags, created.latest_version) == ("fraud", {"team": "risk"}, None)
    assert await registry.create_model(model) == created
    assert (await registry.register(model, write(5))).version == 1
    with pytest.raises(MetadataTooLargeError):
        await registry.create_model(f"{model}-2", tags=dict.fromkeys(map(str, range(65)), "x"))


async def test_a_version_is_copied_with_its_metadata_or_others(
    registry: AsyncRegistryClient, model: str, write: Write
) -> None:
    source = await registry.register(model, write(**{"a.bin": 5, "b.bin": 6}), metrics={"f1": 0.9}, tags={"a": "1"})
    copied = await registry.copy(model, 1, f"{model}-2", idempotency_key="k")
    assert (copied.model, copied.version, copied.stage) == (f"{model}-2", 1, "staging")
    assert (copied.artifacts, copied.metrics, copied.tags) == (source.artifacts, source.metrics, source.tags)
    assert copied.source == f"models:/{model}/1"
    assert await registry.copy(model, 1, f"{model}-2", idempotency_key="k") == copied
    other = await registry.copy(
        model, 1, model, metrics={"auc": 1}, tags={"a": "2"}, description="again", run_id="7", source_uri="here"
    )
    assert (other.version, other.metrics, other.tags) == (2, {"f1": 0.9, "auc": 1.0}, {"a": "2"})
    assert (other.description, other.run_id, other.source) == ("again", "7", "here")
    with pytest.raises(VersionNotFoundError):
        await registry.copy(model, 9, f"{model}-2")


async def test_every_page_of_a_list_is_read(registry: AsyncRegistryClient, model: str, write: Write) -> None:
    source = write(5)
    version = (await registry.register(model, source)).version
    for number in range(110):
        await registry.set_alias(model, "canary" if number % 2 else "champion", version, comment=str(number))
        await registry.remove_alias(model, "canary" if number % 2 else "champion")
    assert len(await registry.list_events(model)) == 222
    assert len(await registry.list_events(model, limit=150)) == 150


async def test_what_is_no_name_is_refused_before_it_is_sent(registry: AsyncRegistryClient) -> None:
    with pytest.raises(InvalidRequestError, match="model name"):
        await registry.get_model("no such/name")
    with pytest.raises(InvalidRequestError, match="a ref is"):
        await registry.get_version("fraud", "NO REF")
    with pytest.raises(InvalidRequestError, match="an alias"):
        await registry.set_alias("fraud", "No Alias", 1)


def test_the_blocking_client_does_the_same(url: str, model: str, write: Write, tmp_path: Path) -> None:
    source = write(1000)
    with RegistryClient(url) as registry:
        version = registry.register(model, source, metrics={"accuracy": 0.9})
        registry.promote(model, version.version)
        assert registry.download(model, dest=tmp_path / "serving").path.read_bytes() == source.read_bytes()
        with pytest.raises(VersionNotFoundError):
            registry.download(model, 99, dest=tmp_path / "serving")


def test_the_result_of_a_download_is_a_path(dev_url: str, model: str, write: Write, tmp_path: Path) -> None:
    with RegistryClient(dev_url) as registry:
        registry.register(model, write(1000), framework="onnx")
        registry.register(model, write(**{"a.bin": 10, "b.bin": 20}))
        file = registry.download(model, 1, dest=tmp_path / "serving")
        folder = registry.download(model, 2, dest=tmp_path / "serving", paths=["a.*"])
    with open(file, "rb") as opened:  # noqa: PTH123 -- what a caller may write
        assert opened.read() == (tmp_path / "model.pt").read_bytes()
    assert Path(file) == file.path == tmp_path / "serving" / "model.pt"
    assert set(os.listdir(folder)) == {".modelkeep.json", "a.bin"}  # noqa: PTH208 -- see above
    assert f"{folder}" == os.fspath(folder) == str(folder.path) == str(tmp_path / "serving" / model)
    assert file.changed
    assert (file.model, file.version, file.size, file.resolved.framework) == (model, 1, 1000, "onnx")
    assert (folder.version, folder.size, [each.path for each in folder.artifacts]) == (2, 10, ["a.bin"])


def test_the_blocking_client_keeps_no_program_from_ending(dev_url: str) -> None:
    script = "import sys, modelkeep; print(modelkeep.RegistryClient(sys.argv[1]).list_models(prefix='none'))"
    ended = subprocess.run(
        [sys.executable, "-c", script, dev_url], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=30
    )
    assert ended.stdout == "[]\n"


def test_the_blocking_client_may_be_closed_twice(dev_url: str) -> None:
    registry = RegistryClient(dev_url)
    registry.close()
    registry.close()


async def test_the_blocking_client_works_beside_a_running_loop(dev_url: str, model: str, write: Write) -> None:
    with RegistryClient(dev_url) as registry:
        assert registry.register(model, write(10)).version == 1


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".modelkeep.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
