"""Blocks of the README and the manual that call the client: they run as they stand, on both backends."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from modelkeep.client import RegistryClient
from tests.support.pages import ADDRESS, README, manual
from tests.support.programs import EXECUTABLE, REPOSITORY, clean_environment

ENTRY_POINTS = manual("kubernetes-and-ecs").blocks("sh entrypoint")
WEIGHTS = bytes(range(256)) * 5000


@pytest.fixture
def fresh(url: str, model: str) -> tuple[str, str]:
    """The registry, and a name to use in place of the page's, which other tests use as well."""
    return url, model


def run(command: list[str], folder: Path, fresh: tuple[str, str], variables: Mapping[str, str]) -> str:
    """Run with the program on the path, the page's address and model replaced; return what it printed."""
    url, model = fresh
    program = f"{Path(EXECUTABLE).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"PATH": program, "MODELKEEP_URL": url, "PYTHONPATH": str(REPOSITORY), **variables}
    replaced = [word.replace(ADDRESS, url).replace("fraud-detector", model) for word in command]
    ended = subprocess.run(
        replaced, cwd=folder, env=clean_environment(own), capture_output=True, text=True, check=False, timeout=100
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def checkpoint(folder: Path) -> None:
    (folder / "checkpoint" / "model" / "a folder").mkdir(parents=True)
    (folder / "checkpoint" / "model" / "weights.bin").write_bytes(WEIGHTS)
    (folder / "checkpoint" / "model" / "a folder" / "tokenizer.json").write_text("{}")
    (folder / "checkpoint" / "metrics.json").write_text('{"accuracy": 0.967}')


def production(fresh: tuple[str, str]) -> Any:
    with RegistryClient(fresh[0]) as registry:
        return registry.get_version(fresh[1], "production")


def test_the_four_commands(fresh: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "model.pt").write_bytes(WEIGHTS)
    (script,) = README.blocks("bash")
    said = run(["bash", "-euo", "pipefail", "-c", script], tmp_path, fresh, {})
    assert said.splitlines()[0] == "1"
    assert said.splitlines()[-1] == "serving/model.pt"
    assert (tmp_path / "serving" / "model.pt").read_bytes() == WEIGHTS
    found = production(fresh)
    assert (found.framework, found.metrics) == ("pytorch", {"accuracy": 0.967, "f1": 0.941})
    assert found.description == "Retrained on Jan 2026 data"


def test_python(fresh: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(WEIGHTS)
    blocking, waiting = manual("python").blocks("python")
    assert run([sys.executable, "-c", waiting], tmp_path, fresh, {}) == "serving/model.pt 1 True\n"
    assert (tmp_path / "serving" / "model.pt").read_bytes() == WEIGHTS
    assert run([sys.executable, "-c", blocking], tmp_path, fresh, {}) == ""
    assert production(fresh).version == 2
    assert run([sys.executable, "-c", blocking], tmp_path, fresh, {}) == "version 2 came first\n"
    (shortest,) = README.blocks("python")
    assert run([sys.executable, "-c", shortest], tmp_path, fresh, {}) == "version 2 came first\n"


def test_python_shows_progress(fresh: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(WEIGHTS)
    (script,) = manual("python").blocks("python progress")
    said = run([sys.executable, "-c", script], tmp_path, fresh, {})
    assert said == f"hashing: 1 file(s), {len(WEIGHTS)} bytes\nuploading: 1 file(s), {len(WEIGHTS)} bytes\n"


def registered(fresh: tuple[str, str], folder: Path) -> None:
    checkpoint(folder)
    with RegistryClient(fresh[0]) as registry:
        registry.promote(fresh[1], registry.register(fresh[1], folder / "checkpoint" / "model").version)


@pytest.mark.parametrize("which", [0, 1], ids=["by-the-program", "by-curl"])
def test_an_entry_point(fresh: tuple[str, str], tmp_path: Path, which: int) -> None:
    registered(fresh, tmp_path)
    script = tmp_path / "entrypoint.sh"
    script.write_text(ENTRY_POINTS[which].replace("fraud-detector", fresh[1]))
    models = tmp_path / "models"
    for _ in range(2):
        said = run(["sh", str(script), "echo", "serving"], tmp_path, fresh, {"MODEL_DIR": str(models)})
        assert said.splitlines()[-1] == "serving"
        folder = models / fresh[1] if which == 0 else models
        assert (folder / "weights.bin").read_bytes() == WEIGHTS
        assert (folder / "a folder" / "tokenizer.json").read_text() == "{}"
    assert which == 0 or not (models / "download.json").exists(), "signed URLs are not left behind"


def test_a_damaged_file_is_fetched_again_by_curl(fresh: tuple[str, str], tmp_path: Path) -> None:
    registered(fresh, tmp_path)
    script = ENTRY_POINTS[1].replace("fraud-detector", fresh[1])
    models = tmp_path / "models"
    models.mkdir()
    (models / "weights.bin").write_bytes(WEIGHTS[:-1])
    run(["sh", "-c", script, "sh", "true"], tmp_path, fresh, {"MODEL_DIR": str(models)})
    assert (models / "weights.bin").read_bytes() == WEIGHTS


def test_the_entry_point_of_the_readme_is_that_of_the_manual() -> None:
    assert README.blocks("sh entrypoint") == ENTRY_POINTS[:1]
