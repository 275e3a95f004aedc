"""The README's pages for pipelines, containers and Python: every block runs as it stands, on both backends."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.client import Registry
from tests.support.programs import EXECUTABLE, REPOSITORY, clean_environment

README = (REPOSITORY / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8000"
WEIGHTS = bytes(range(256)) * 5000


def blocks(fence: str) -> list[str]:
    return re.findall(rf"^```{fence}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def document(key: str) -> Any:
    """The YAML block that has a key at its top, or is the deployment of that name."""
    (found,) = (
        each for each in map(yaml.safe_load, blocks("yaml")) if key in {*each, each.get("metadata", {}).get("name")}
    )
    return found


@pytest.fixture
def fresh(url: str, model: str) -> tuple[str, str]:
    """The registry, and a name to use in place of the README's, which other tests use as well."""
    return url, model


def run(command: list[str], folder: Path, fresh: tuple[str, str], variables: Mapping[str, str]) -> str:
    """Run with the program on the path, the README's address and model replaced; return what it printed."""
    url, model = fresh
    program = f"{Path(EXECUTABLE).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"PATH": program, "REGISTRY_URL": url, "PYTHONPATH": str(REPOSITORY), **variables}
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
    with Registry(fresh[0]) as registry:
        return registry.version(fresh[1], "production")


def test_the_four_commands(fresh: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "model.pt").write_bytes(WEIGHTS)
    (script,) = blocks("bash")
    said = run(["bash", "-euo", "pipefail", "-c", script], tmp_path, fresh, {})
    assert said.splitlines()[0] == "1"
    assert said.splitlines()[-1] == "serving/model.pt"
    assert (tmp_path / "serving" / "model.pt").read_bytes() == WEIGHTS
    found = production(fresh)
    assert (found.framework, found.metrics) == ("pytorch", {"accuracy": 0.967, "f1": 0.941})
    assert found.description == "Retrained on Jan 2026 data"


def test_python(fresh: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(WEIGHTS)
    waiting, blocking = blocks("python")
    assert run([sys.executable, "-c", waiting], tmp_path, fresh, {}) == "serving/model.pt\n"
    assert (tmp_path / "serving" / "model.pt").read_bytes() == WEIGHTS
    assert run([sys.executable, "-c", blocking], tmp_path, fresh, {}) == ""
    assert production(fresh).version == 2
    assert run([sys.executable, "-c", blocking], tmp_path, fresh, {}) == "version 2 came first\n"


def test_github_actions(fresh: tuple[str, str], tmp_path: Path) -> None:
    checkpoint(tmp_path)
    (job,) = document("jobs")["jobs"].values()
    assert set(job["env"]) == {"REGISTRY_URL", "REGISTRY_TOKEN"}
    (step,) = (step for step in job["steps"] if "run" in step)
    variables = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_RUN_ID": "8841",
        "GITHUB_JOB": "register",
        "GITHUB_REPOSITORY": "example/fraud",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_SHA": "1f3e5a7" + "0" * 33,
        "GITHUB_REF_NAME": "main",
    }
    command = [step["shell"], "-e", "-c", step["run"]]
    run(command, tmp_path, fresh, variables)
    run(command, tmp_path, fresh, variables | {"GITHUB_RUN_ATTEMPT": "2"})
    found = production(fresh)
    assert (found.version, found.metrics, found.description) == (1, {"accuracy": 0.967}, "main")
    assert found.tags == {
        "git_commit": "1f3e5a7" + "0" * 33,
        "run_url": "https://github.com/example/fraud/actions/runs/8841",
    }
    (tmp_path / "checkpoint" / "model" / "weights.bin").write_bytes(WEIGHTS[1:])
    run(command, tmp_path, fresh, variables | {"GITHUB_RUN_ATTEMPT": "3"})
    assert production(fresh).version == 2


def test_gitlab(fresh: tuple[str, str], tmp_path: Path) -> None:
    checkpoint(tmp_path)
    job = document("register")["register"]
    variables = {
        "GITLAB_CI": "true",
        "CI_PIPELINE_ID": "77",
        "CI_JOB_NAME": "register",
        "CI_JOB_URL": "https://gitlab.com/example/fraud/-/jobs/5",
        "CI_COMMIT_SHA": "2" * 40,
    }
    command = ["sh", "-e", "-c", "\n".join(job["script"])]
    run(command, tmp_path, fresh, variables)
    run(command, tmp_path, fresh, variables)
    found = production(fresh)
    assert (found.version, found.tags["git_commit"]) == (1, "2" * 40)


def registered(fresh: tuple[str, str], folder: Path) -> None:
    checkpoint(folder)
    with Registry(fresh[0]) as registry:
        registry.promote(fresh[1], registry.register(fresh[1], folder / "checkpoint" / "model").version)


def test_an_init_container(fresh: tuple[str, str], tmp_path: Path) -> None:
    registered(fresh, tmp_path)
    pod = document("fraud-service")["spec"]["template"]["spec"]
    (container,) = pod["initContainers"]
    (mount,) = container["volumeMounts"]
    assert mount["mountPath"] == pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/models"
    arguments = [word.replace("/models", str(tmp_path)) for word in container["args"]]
    for _ in range(2):
        assert run(["model-registry", *arguments], tmp_path, fresh, {}) == f"{tmp_path / fresh[1]}\n"
    assert (tmp_path / fresh[1] / "weights.bin").read_bytes() == WEIGHTS


@pytest.mark.parametrize("which", [0, 1], ids=["by-the-program", "by-curl"])
def test_an_entry_point(fresh: tuple[str, str], tmp_path: Path, which: int) -> None:
    registered(fresh, tmp_path)
    script = tmp_path / "entrypoint.sh"
    script.write_text(blocks("sh entrypoint")[which].replace("fraud-detector", fresh[1]))
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
    script = blocks("sh entrypoint")[1].replace("fraud-detector", fresh[1])
    models = tmp_path / "models"
    models.mkdir()
    (models / "weights.bin").write_bytes(WEIGHTS[:-1])
    run(["sh", "-c", script, "sh", "true"], tmp_path, fresh, {"MODEL_DIR": str(models)})
    assert (models / "weights.bin").read_bytes() == WEIGHTS
