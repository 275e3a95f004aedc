"""The manual's page on backup: its commands, beside a service in use, and what is in the way of a restore."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelkeep import ProductionChangedError, RegistryClient, VersionNotFoundError
from modelkeep.settings import Settings
from modelkeep.storage.aws import dynamodb, dynamodb_setup
from modelkeep.storage.aws.session import new_session
from tests.support.api import serving as serving_app
from tests.support.backends import aws_environment, environment, prepare
from tests.support.pages import manual
from tests.support.programs import EXECUTABLE, Server, clean_environment, operate, serving
from tests.support.servers import AwsServer, free_port
from tests.support.upkeep import looking_into

BY_MIGRATE, BY_COPY, ONLINE = manual("backup-and-restore").blocks("bash backup")
ON_ONE_MACHINE, ON_AWS = manual("backup-and-restore").blocks("bash restore")


@contextmanager
def registry(folder: Path, data: str = "registry-data") -> Iterator[tuple[RegistryClient, Server]]:
    """`dev` on a data folder below `folder`."""
    port = free_port()
    command = [EXECUTABLE, "dev", "--port", str(port), "--data-dir", data]
    with serving(command, {}, port=port, log=folder / "server.log", folder=folder) as server:
        server.wait("/readyz")
        with RegistryClient(server.url) as client:
            yield client, server


def register(client: RegistryClient, folder: Path, content: bytes) -> int:
    (folder / "model.pt").write_bytes(content)
    return client.register("demo", folder / "model.pt").version


def local(data: str, folder: Path) -> dict[str, str]:
    """The variables of commands on a data folder below `folder`."""
    return {"MODELKEEP_BACKEND": "local", "MODELKEEP_DATA_DIR": str(folder / data)}


def token(variables: Mapping[str, str]) -> str:
    """The id of a new token."""
    said = operate(variables, "token", "create", "--direct", "ci", "--allow", "reader", "--days", "1")
    (found,) = set(re.findall(r"mr_([0-9A-Za-z]+)_", "\n".join([*said.out, *said.err])))
    return str(found)


def is_revoked(token: str, variables: Mapping[str, str]) -> bool:
    (line,) = [line for line in operate(variables, "token", "list", "--direct").out if line.startswith(token)]
    return "revoked" in line


def run(script: str, folder: Path, more: Mapping[str, str] | None = None) -> list[str]:
    """What a script of the page prints."""
    path = f"{Path(EXECUTABLE).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    variables = {**(more or {}), "PATH": path}
    command = ["bash", "-euo", "pipefail", "-c", script]
    ended = subprocess.run(
        command, cwd=folder, env=clean_environment(variables), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return (ended.stdout + ended.stderr).splitlines()


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_a_copy_by_migrate_is_made_beside_the_service_and_can_be_served(tmp_path: Path) -> None:
    with registry(tmp_path) as (client, _):
        client.promote("demo", register(client, tmp_path, b"one"))
        run(BY_MIGRATE, tmp_path)
        client.promote("demo", register(client, tmp_path, b"two, longer"))
        with pytest.raises(ProductionChangedError):
            client.promote("demo", 1, expected_production=1)
        run(BY_MIGRATE, tmp_path)
    shutil.rmtree(tmp_path / "registry-data")
    with registry(tmp_path, "backup") as (client, _):
        assert client.download("demo", dest=tmp_path / "serving")
        assert (tmp_path / "serving" / "model.pt").read_bytes() == b"two, longer"
        assert register(client, tmp_path, b"three") == 3


def test_a_copy_of_the_folder_is_made_while_the_service_is_stopped(tmp_path: Path) -> None:
    with registry(tmp_path) as (client, server):
        client.promote("demo", register(client, tmp_path, b"one"))
        assert server.stop() == 0
    run(BY_COPY, tmp_path)
    with registry(tmp_path) as (client, server):
        register(client, tmp_path, b"lost by the restore")
        assert server.stop() == 0
    shutil.rmtree(tmp_path / "registry-data")
    (tmp_path / "registry-data.copy").rename(tmp_path / "registry-data")
    assert operate(local("registry-data", tmp_path), "check").out == ["clean"]
    with registry(tmp_path) as (client, _):
        with pytest.raises(VersionNotFoundError):
            client.download("demo", 2, dest=tmp_path / "serving")
        assert register(client, tmp_path, b"another") == 2


def test_a_copy_is_made_while_the_service_runs(tmp_path: Path) -> None:
    with registry(tmp_path) as (client, _):
        client.promote("demo", register(client, tmp_path, b"one"))
        run(ONLINE, tmp_path)
        register(client, tmp_path, b"two")
    shutil.rmtree(tmp_path / "registry-data")
    assert operate(local("registry-data.online", tmp_path), "check").out == ["clean"]
    with registry(tmp_path, "registry-data.online") as (client, _):
        client.download("demo", dest=tmp_path / "serving")
        assert (tmp_path / "serving" / "model.pt").read_bytes() == b"one"
        assert register(client, tmp_path, b"two") == 2


@pytest.mark.timeout(300)
def test_metadata_of_yesterday_is_served_beside_bytes_of_today(tmp_path: Path) -> None:
    with registry(tmp_path) as (client, server):
        register(client, tmp_path, b"one")
        assert server.stop() == 0
    here = local("registry-data", tmp_path)
    stolen = token(here)
    assert not is_revoked(stolen, here)
    shutil.copy(tmp_path / "registry-data" / "registry.db", tmp_path / "yesterday.db")
    assert operate(here, "token", "revoke", "--direct", stolen).status == 0
    (tmp_path / "revoked-since").write_text(f"{stolen}\n")
    with registry(tmp_path) as (client, server):
        assert [register(client, tmp_path, content) for content in (b"two", b"three")] == [2, 3]
        assert server.stop() == 0
    said = run(ON_ONE_MACHINE, tmp_path)
    assert [line for line in said if "never given out" in line] == [
        f"demo: number {number} has 1 object(s) and was never given out: the next one is 2" for number in (2, 3)
    ]
    assert is_revoked(stolen, here)
    with registry(tmp_path) as (client, _):
        assert register(client, tmp_path, b"another length") == 4
        client.download("demo", 4, dest=tmp_path / "serving")
        assert (tmp_path / "serving" / "model.pt").read_bytes() == b"another length"


async def restored_table(settings: Settings) -> None:
    """A table such as AWS restores into: beside a bucket that still belongs to the old one."""
    async with dynamodb.open_client(new_session(), settings.table) as client:
        assert [step async for step in dynamodb_setup.set_up_table(client, settings.table)]


@pytest.mark.timeout(300)
async def test_a_table_of_yesterday_is_served_beside_the_bucket_of_today(ministack: AwsServer, tmp_path: Path) -> None:
    variables = aws_environment(ministack)
    restored = {**variables, "MODELKEEP_TABLE": f"{variables['MODELKEEP_TABLE']}-restored"}
    with environment(variables) as settings:
        await prepare(settings)
        async with serving_app(settings) as api, looking_into(settings) as storage:
            await api.register("demo", {"model.pt": b"one"})
            stolen = await asyncio.to_thread(token, variables)
            yesterday = await storage.items()
            (tmp_path / "revoked-since").write_text(f"{stolen}\n")
            assert await api.register("demo", {"model.pt": b"two"}, multipart=True) == 2
    with environment(restored) as settings:
        await restored_table(settings)
        async with looking_into(settings) as storage:
            await storage.restore(yesterday)
            said = await asyncio.to_thread(run, ON_AWS, tmp_path, variables)
            assert "demo: number 2 has 1 object(s) and was never given out: the next one is 2" in said
            assert await asyncio.to_thread(is_revoked, stolen, restored)
        async with serving_app(settings) as api:
            assert await api.register("demo", {"model.pt": b"new"}, multipart=True) == 3
            assert await api.fetch("demo", "3") == {"model.pt": b"new"}
