"""`modelkeep dev`: what it prints, to whom it logs in which form, and what it refuses before it does anything."""

import json
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.programs import EXECUTABLE, Server, clean_environment, operate, serving
from tests.support.servers import free_port

_FOR_A_REQUEST = re.compile(r"\d\d:\d\d:\d\d GET /v1/models: 200 in \d+ ms, by anonymous")


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is called without `uv run`."""
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)


@pytest.fixture
def port() -> int:
    return free_port()


def command(port: int, data: Path) -> list[str]:
    return [EXECUTABLE, "dev", "--port", str(port), "--data-dir", str(data)]


@pytest.fixture
def dev(tmp_path: Path, port: int) -> Iterator[Server]:
    with serving(command(port, tmp_path / "data"), {}, port=port, log=tmp_path / "log", folder=tmp_path) as server:
        server.wait("/readyz")
        yield server


def test_it_prints_where_it_is_and_three_lines_that_work_as_they_are(dev: Server, tmp_path: Path) -> None:
    page, docs, data, _, *lines = dev.said().splitlines()[:7]
    assert [page, docs] == [f"Web page  {dev.url}/ui", f"API       {dev.url}/docs"]
    assert data == f"Data      {tmp_path / 'data'}"
    for line in (page, docs):
        assert httpx.get(line.split()[-1], trust_env=False).status_code == 200
    assert lines == [
        f"    export MODELKEEP_URL={dev.url}",
        "    modelkeep register my-model ./model.pt",
        "    modelkeep download my-model@latest --dest ./serving",
    ]
    export, *commands = (line.split() for line in lines)
    (tmp_path / "model.pt").write_bytes(b"weights")
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        for _, *words in commands:
            assert operate({"MODELKEEP_URL": export[1].partition("=")[2]}, *words).status == 0
    finally:
        os.chdir(here)
    assert (tmp_path / "serving" / "model.pt").read_bytes() == b"weights"


def test_called_by_uv_run_it_prints_commands_with_uv_run(tmp_path: Path, port: int) -> None:
    variables = {"UV_RUN_RECURSION_DEPTH": "1"}
    with serving(command(port, tmp_path / "data"), variables, port=port, log=tmp_path / "log") as server:
        server.wait()
        assert "    uv run modelkeep register my-model ./model.pt" in server.said().splitlines()


def test_its_folder_is_closed_to_other_users_and_holds_no_token(dev: Server, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert "data_folder_exposed" not in dev.said()
    variables = {"MODELKEEP_BACKEND": "local", "MODELKEEP_DATA_DIR": str(tmp_path / "data")}
    assert operate(variables, "token", "list").out == []
    assert "mr_" not in dev.said()


def test_without_a_terminal_its_log_is_json(dev: Server) -> None:
    httpx.get(f"{dev.url}/v1/models", trust_env=False)
    logged = [line for line in dev.said().splitlines() if line.startswith("{")]
    assert "http_request" in {json.loads(line)["event"] for line in logged}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_for_people_its_log_is_text(tmp_path: Path, port: int, workers: str) -> None:
    variables = {"MODELKEEP_LOG_FORMAT": "text"}
    arguments = [*command(port, tmp_path / "data"), "--workers", workers]
    with serving(arguments, variables, port=port, log=tmp_path / "log") as server:
        server.wait("/readyz")
        httpx.get(f"{server.url}/v1/models", trust_env=False)
        assert server.stop() == 0
        lines = server.said().splitlines()
    assert [line for line in lines if _FOR_A_REQUEST.fullmatch(line)]
    assert not [line for line in lines if line.startswith("{")]


def test_on_a_terminal_its_log_is_text(tmp_path: Path, port: int) -> None:
    terminal, its_end = os.openpty()
    arguments = command(port, tmp_path / "data")
    pid = os.posix_spawn(
        EXECUTABLE,
        arguments,
        clean_environment({}),
        file_actions=[(os.POSIX_SPAWN_DUP2, its_end, 1), (os.POSIX_SPAWN_DUP2, its_end, 2)],
    )
    os.close(its_end)
    seen = ""
    try:
        while "running on" not in seen:
            seen += os.read(terminal, 4096).decode()
        httpx.get(f"http://127.0.0.1:{port}/v1/models", trust_env=False)
        while not _FOR_A_REQUEST.search(seen):
            seen += os.read(terminal, 4096).decode()
    finally:
        os.kill(pid, 15)
        os.waitpid(pid, 0)
        os.close(terminal)
    assert '{"' not in seen


def test_a_port_that_is_in_use_is_said_before_anything_else(tmp_path: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        said = operate({}, *command(port, tmp_path / "data")[1:])
    assert (said.status, said.out) == (2, [])
    assert said.err == [f"Port {port} of 127.0.0.1 is in use. Stop what listens there, or choose another with --port."]
    assert not (tmp_path / "data").exists()


def test_an_address_of_another_machine_is_said(tmp_path: Path, port: int) -> None:
    said = operate({}, *command(port, tmp_path / "data")[1:], "--host", "192.0.2.1")
    assert (said.status, said.out) == (2, [])
    assert said.err == ["192.0.2.1 is no address of this machine. Choose another with --host."]


def test_storage_that_cannot_be_used_is_said_without_an_address(tmp_path: Path, port: int) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "registry.db").mkdir()
    shutil.copy(__file__, data / "objects")
    said = operate({}, *command(port, data)[1:])
    assert said.status
    assert said.out == []
