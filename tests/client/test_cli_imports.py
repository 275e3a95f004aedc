"""The client and its commands need nothing of the server's or the operator's, and start fast."""

import re
import subprocess
import sys

import pytest

from tests.support.programs import REPOSITORY

WITHOUT_A_SERVER = """
import importlib, pkgutil, sys

SERVERS = {
    "fastapi", "starlette", "uvicorn", "uvloop", "aioboto3", "aiobotocore", "boto3", "botocore", "pydantic_settings",
    "jwt", "cryptography", "structlog", "cachetools", "limits", "opentelemetry", "prometheus_client",
}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in SERVERS:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import modelkeep.cli, modelkeep.client
for package in (modelkeep.client, modelkeep.cli):
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
"""

RUN = """
import runpy
sys.argv = ["modelkeep", *sys.argv[1:]]
try:
    runpy.run_module("modelkeep", run_name="__main__")
except SystemExit as ended:
    assert not ended.code, ended.code
"""

MODULES_FOR_THE_VERSION = 160
"""About half of them are there before anything is imported, or belong to `importlib.metadata`."""

LOADED = f"import sys{RUN}\nprint(*sorted(sys.modules))"

SERVERS = {
    "fastapi",
    "starlette",
    "aioboto3",
    "botocore",
    "uvicorn",
    "pydantic_settings",
    "modelkeep.main",
    "modelkeep.bootstrap",
    "modelkeep.services",
    "modelkeep.settings",
    "modelkeep.admin",
}


def _python(script: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


def test_client_and_commands_work_where_no_server_could() -> None:
    loaded = "\nprint(*sorted(name for name in sys.modules if name.startswith('modelkeep.')))"
    names = _python(WITHOUT_A_SERVER + loaded).split()
    servers = (
        "modelkeep.main",
        "modelkeep.bootstrap",
        "modelkeep.settings",
        "modelkeep.routers",
        "modelkeep.services",
        "modelkeep.repositories",
    )
    assert {"modelkeep.client.async_client", "modelkeep.cli.commands", "modelkeep.cli.progress"} <= set(names)
    assert not [name for name in names if name.startswith((*servers, "modelkeep.storage", "modelkeep.admin"))]
    assert _python(WITHOUT_A_SERVER + RUN, "--version").startswith("modelkeep ")


def test_help_lists_the_operator_s_commands_where_no_server_could_run() -> None:
    _, client, operator = re.split("─ (?:Client|Operate) ─", _python(WITHOUT_A_SERVER + RUN, "--help"))
    assert {"register", "promote", "alias", "token", "access"} <= set(re.findall(r"^│ (\S+)", client, re.MULTILINE))
    assert {"serve", "dev", "sweep"} <= set(re.findall(r"^│ (\S+)", operator, re.MULTILINE))


def _loaded_by(*arguments: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    return set(_python(LOADED, *arguments).splitlines()[-1].split())


def test_the_version_needs_no_client() -> None:
    assert _python(LOADED, "--version").startswith("modelkeep ")
    loaded = _loaded_by("--version")
    assert not {"typer", "rich", "pydantic", "httpx", "asyncio", "modelkeep.client", *SERVERS} & loaded
    assert len(loaded) < MODULES_FOR_THE_VERSION


@pytest.mark.parametrize("command", ["register", "list", "promote"])
def test_the_help_of_a_client_command_needs_no_client(command: str) -> None:
    assert not {"httpx", "modelkeep.client", *SERVERS} & _loaded_by(command, "--help")


def test_the_help_of_an_operator_command_needs_no_server() -> None:
    server = SERVERS - {"modelkeep.admin"}
    assert not server & _loaded_by("--help")
    assert not server & _loaded_by("serve", "--help")


def test_a_client_command_loads_nothing_of_the_operator_or_the_server(dev_url: str) -> None:
    modules = _loaded_by("--url", dev_url, "--output", "json", "list")
    assert "modelkeep.client" in modules
    assert not SERVERS & modules


def test_httpx_comes_without_its_command_line(dev_url: str) -> None:
    listed = _loaded_by("--url", dev_url, "--output", "json", "list")
    assert "httpx" in listed
    assert not {"click", "pygments", "rich.markdown", "rich.syntax"} & listed
    others = "import modelkeep.client, sys; print(*sorted(sys.modules))"
    assert "httpx._main" in _python(others).split(), "a program that uses the client keeps httpx's own"
