"""The wheel alone, without the extra `server`: a client, in an environment of its own."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.processes.cli import Cli
from tests.support.programs import REPOSITORY, clean_environment

MAX_PACKAGES = 22
MAX_KILOBYTES = 25 * 1024

IMPORTS = """
import modelkeep
from modelkeep import AsyncRegistryClient, ProductionChangedError, RegistryClient
print(modelkeep.__file__)
"""

BLOCKING = """
import sys
from pathlib import Path
from modelkeep import RegistryClient
with RegistryClient() as registry:
    print(Path(registry.download(sys.argv[1], dest="serving")).read_text())
"""

Run = Callable[..., str]


def _run(*command: str | Path) -> str:
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run("uv", "build", "--quiet", "--wheel", "--out-dir", folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path) -> Path:
    """A virtual environment of the wheel and its base dependencies."""
    folder = wheel.parent / "environment"
    _run("uv", "venv", "--quiet", "--python", sys.executable, folder)
    _run("uv", "pip", "install", "--quiet", "--no-compile-bytecode", "--python", folder, wheel)
    return folder


@pytest.fixture
def run(environment: Path, tmp_path: Path, dev_url: str) -> Run:
    """Run a program of the environment from the folder of a service that has its own package `app` on PYTHONPATH.

    Returns what it printed on standard output, or, if it is to fail, on standard error.
    """
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise RuntimeError('this is the package of a service')")
    variables = {**Cli(dev_url).environment, "PYTHONPATH": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}

    def run(program: str, *arguments: object, status: int = 0) -> str:
        command = [str(environment / "bin" / program), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, env=clean_environment(variables), capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout

    return run


def test_the_wheel_has_one_package_and_it_is_typed(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"modelkeep"}
    assert "modelkeep/py.typed" in names


def test_the_environment_of_a_client_is_small(environment: Path) -> None:
    packages = json.loads(_run("uv", "pip", "list", "--quiet", "--format", "json", "--python", environment))
    (folder,) = environment.glob("lib/python*/site-packages")
    kilobytes = int(_run("du", "--summarize", "--block-size=1K", "--exclude=__pycache__", folder).split()[0])
    assert len(packages) <= MAX_PACKAGES, sorted(each["name"] for each in packages)
    assert kilobytes <= MAX_KILOBYTES


def test_the_client_is_imported_beside_another_package_app(run: Run, environment: Path) -> None:
    assert Path(run("python", "-c", IMPORTS).strip()).is_relative_to(environment)


def test_the_commands_of_the_client_need_nothing_else(run: Run, model: str, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("weights")
    assert run("modelkeep", "--version").startswith("modelkeep ")
    assert "Operate" in run("modelkeep", "--help")
    assert run("modelkeep", "docs", "python").startswith("# Python")
    assert run("modelkeep", "register", model, "model.pt", "--promote", "production") == "1\n"
    assert model in run("modelkeep", "list")
    assert run("python", "-c", BLOCKING, model) == "weights\n"


@pytest.mark.parametrize("command", [["dev"], ["sweep", "--dry-run"], ["token", "list", "--direct"]], ids=" ".join)
def test_a_command_of_the_operator_says_what_to_install(run: Run, command: list[str]) -> None:
    (sentence,) = run("modelkeep", *command, status=2).splitlines()
    assert "pip install 'modelkeep[server]'" in sentence
