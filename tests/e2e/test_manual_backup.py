"""The manual's page on backup: its commands, beside a service in use, and what is in the way of a restore."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelkeep import ProductionChangedError, RegistryClient, SizeMismatchError, VersionNotFoundError
from tests.support.pages import manual
from tests.support.programs import EXECUTABLE, Server, clean_environment, operate, serving
from tests.support.servers import free_port

BY_MIGRATE, BY_COPY = manual("backup-and-restore").blocks("bash backup")


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


def run(script: str, folder: Path) -> None:
    variables = {"PATH": f"{Path(EXECUTABLE).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", script]
    ended = subprocess.run(
        command, cwd=folder, env=clean_environment(variables), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout


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
    variables = {"MODELKEEP_BACKEND": "local", "MODELKEEP_DATA_DIR": str(tmp_path / "registry-data")}
    assert operate(variables, "check").out == ["clean"]
    with registry(tmp_path) as (client, _):
        with pytest.raises(VersionNotFoundError):
            client.download("demo", 2, dest=tmp_path / "serving")
        assert register(client, tmp_path, b"another") == 2


def test_metadata_of_yesterday_beside_bytes_of_today_refuse_what_is_registered(tmp_path: Path) -> None:
    """What the page warns of; when this fails, the page has something better to say."""
    with registry(tmp_path) as (client, server):
        register(client, tmp_path, b"one")
        assert server.stop() == 0
    shutil.copy(tmp_path / "registry-data" / "registry.db", tmp_path / "yesterday.db")
    with registry(tmp_path) as (client, server):
        register(client, tmp_path, b"two")
        assert server.stop() == 0
    for file in (tmp_path / "registry-data").glob("registry.db*"):
        file.unlink()
    (tmp_path / "yesterday.db").rename(tmp_path / "registry-data" / "registry.db")
    with registry(tmp_path) as (client, _), pytest.raises(SizeMismatchError):
        register(client, tmp_path, b"another length")
