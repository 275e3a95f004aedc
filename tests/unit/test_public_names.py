"""What `from modelkeep import …` offers, and that the package itself loads nothing."""

import ast
import subprocess
import sys
from importlib.resources import files

import pytest

import modelkeep
from modelkeep.client import errors as client_errors
from modelkeep.domain import errors
from modelkeep.domain.errors import RegistryError

CLIENT = {"AsyncRegistryClient", "DownloadResult", "Progress", "RegistryClient", "Step", "TokenProvider"}


def error_classes(module: object) -> set[str]:
    return {name for name, each in vars(module).items() if isinstance(each, type) and issubclass(each, RegistryError)}


def test_the_public_names_are_the_clients_and_every_error_class() -> None:
    assert set(modelkeep.__all__) == CLIENT | error_classes(errors) | error_classes(client_errors)
    assert list(modelkeep.__all__) == sorted(modelkeep.__all__)


@pytest.mark.parametrize("name", modelkeep.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(modelkeep, name).__name__ == name if name != "TokenProvider" else modelkeep.TokenProvider
    assert name in dir(modelkeep)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(files("modelkeep").joinpath("__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported == set(modelkeep.__all__)
    assert files("modelkeep").joinpath("py.typed").is_file()


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'modelkeep' has no attribute 'Registry'"):
        _ = modelkeep.Registry


def test_the_package_itself_loads_nothing() -> None:
    script = "import sys; before = set(sys.modules); import modelkeep; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.startswith("modelkeep")] == ["modelkeep"]
    assert not {"httpx", "pydantic", "typing_extensions"} & set(loaded)
