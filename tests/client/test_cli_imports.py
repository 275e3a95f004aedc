"""The client and its commands need nothing of the server's, and start before anybody waits."""

import subprocess
import sys

from tests.support.programs import REPOSITORY

WITHOUT_A_SERVER = """
import importlib, pkgutil, sys

SERVERS = {"fastapi", "starlette", "uvicorn", "aioboto3", "aiobotocore", "boto3", "botocore"}

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

LOADED = f"import sys{RUN}\nprint(*sorted(sys.modules))"

SERVERS = {
    "fastapi",
    "starlette",
    "aioboto3",
    "botocore",
    "uvicorn",
    "modelkeep.main",
    "modelkeep.bootstrap",
    "modelkeep.services",
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


def test_the_version_is_said_without_waiting_for_the_client() -> None:
    version, modules = _python(LOADED, "--version").splitlines()
    assert version.startswith("modelkeep ")
    assert not {"httpx", "modelkeep.client", *SERVERS} & set(modules.split())


def test_the_client_does_not_wait_for_what_serves(dev_url: str) -> None:
    modules = _python(LOADED, "--url", dev_url, "--output", "json", "list").splitlines()[-1]
    assert "modelkeep.client" in modules.split()
    assert not SERVERS & set(modules.split())
