"""MLflow's client itself, in an environment of its own, over a real socket: with a token, bytes on another port."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from tests.support.hub_server import HubServer, hub_server, last_json, publisher, python
from tests.support.pages import manual

FILES: Final = {"MLmodel": b"flavors: {}\n", "data/model.pkl": b"weights", "data/empty.txt": b""}

RELEASES: Final = [
    ("mlflow-skinny==3.17.2",),
    pytest.param(("mlflow-skinny==2.16.2", "setuptools<81"), marks=pytest.mark.thorough),
]


@pytest.fixture(scope="module")
def server(variables: Mapping[str, str]) -> Iterator[HubServer]:
    with hub_server(variables) as server:
        yield server


def run(server: HubServer, folder: Path, requirements: tuple[str, ...], script: str, **variables: str) -> Any:
    foreign = ("MLFLOW_", "MODELKEEP_", "AWS_", "VIRTUAL_ENV", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    own = {
        "MLFLOW_TRACKING_URI": server.url,
        "MLFLOW_TRACKING_TOKEN": server.admin_token,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    done = subprocess.run(
        python(*requirements, script=script),
        env={**kept, **own, **variables},
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return last_json(done.stdout)


WALK = """
import json, pathlib
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

said = {}

def refused(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except MlflowException as error:
        return error.error_code
    return "accepted"

client = MlflowClient()
client.create_registered_model("taxi", tags={"team": "rides"}, description="fares")
said["again"] = refused(client.create_registered_model, "taxi")
first = client.create_model_version("taxi", "models:/seed/1", run_id="run-1", tags={"data": "2026"})
said["first"] = [first.version, first.current_stage, first.status, first.source, first.run_id, first.tags["data"]]
client.create_model_version("taxi", "models:/seed/1")
said["elsewhere"] = refused(client.create_model_version, "taxi", "runs:/0123/model")
client.set_registered_model_alias("taxi", "Champion", "1")
said["champion"] = client.get_model_version_by_alias("taxi", "champion").version
client.set_registered_model_alias("taxi", "production", "1")
moved = client.transition_model_version_stage("taxi", "2", "Production")
said["moved"] = moved.current_stage
said["stages"] = {each.version: each.current_stage for each in client.search_model_versions("name = 'taxi'")}
said["production"] = client.get_model_version_by_alias("taxi", "production").version
said["latest"] = [each.version for each in client.get_latest_versions("taxi", ["Production"])]
said["no alias"] = refused(client.get_model_version_by_alias, "taxi", "nobody")
said["no version"] = refused(client.get_model_version, "taxi", "9")
said["no model"] = refused(client.get_registered_model, "absent")
client.set_model_version_tag("taxi", "1", "checked", "yes")
said["found"] = [each.version for each in client.search_model_versions("name = 'taxi' AND tags.checked = 'yes'")]
said["by run"] = [each.version for each in client.search_model_versions("run_id IN ('run-1')")]
said["models"] = [each.name for each in client.search_registered_models("name ILIKE 'TA%'")]
said["filter"] = refused(client.search_registered_models, "name = 'a' OR name = 'b'")
client.update_model_version("taxi", "1", "the first")
client.delete_model_version_tag("taxi", "1", "checked")
described = client.get_model_version("taxi", "1")
said["described"] = [described.description, described.tags, list(described.aliases)]
said["rename"] = refused(client.rename_registered_model, "taxi", "cab")
said["in use"] = refused(client.delete_registered_model, "taxi")
for place in ("models:/taxi@champion", "models:/taxi/Production", "models:/taxi/2"):
    folder = pathlib.Path(mlflow.artifacts.download_artifacts(place, dst_path=f"to-{len(said)}"))
    said[place] = {str(each.relative_to(folder)): each.read_text() for each in folder.rglob("*") if each.is_file()}
print(json.dumps(said))
"""


@pytest.mark.parametrize("requirements", RELEASES)
async def test_a_client_registers_promotes_and_downloads(
    server: HubServer, tmp_path: Path, requirements: tuple[str, ...]
) -> None:
    async with publisher(server) as api:
        await api.register("seed", FILES)
    model = f"taxi-{uuid4().hex[:8]}"
    script = WALK.replace("taxi", model).replace("run-1", f"run-{model}").replace("TA%", f"{model[:-1].upper()}%")
    said = run(server, tmp_path, requirements, script)
    files = {path: content.decode() for path, content in FILES.items()}
    for place in (f"models:/{model}@champion", f"models:/{model}/Production", f"models:/{model}/2"):
        found = said.pop(place)
        assert {path: found[path] for path in files} == files
    assert said == {
        "again": "RESOURCE_ALREADY_EXISTS",
        "first": ["1", "None", "READY", "models:/seed/1", f"run-{model}", "2026"],
        "elsewhere": "INVALID_PARAMETER_VALUE",
        "champion": "1",
        "moved": "Production",
        "stages": {"1": "Archived", "2": "Production"},
        "production": "2",
        "latest": ["2"],
        "no alias": "INVALID_PARAMETER_VALUE",
        "no version": "RESOURCE_DOES_NOT_EXIST",
        "no model": "RESOURCE_DOES_NOT_EXIST",
        "found": ["1"],
        "by run": ["1"],
        "models": [model],
        "filter": "INVALID_PARAMETER_VALUE",
        "described": ["the first", {"data": "2026"}, ["Champion"]],
        "rename": "INVALID_PARAMETER_VALUE",
        "in use": "INVALID_PARAMETER_VALUE",
    }
    async with publisher(server) as api:
        assert (await api.ask("GET", f"/{model}/versions/production"))["version"] == 2


def test_a_wrong_token_is_said(server: HubServer, tmp_path: Path) -> None:
    script = """
import json
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
try:
    MlflowClient().get_registered_model("absent")
except MlflowException as error:
    print(json.dumps([error.error_code, str(error)]))
"""
    code, message = run(server, tmp_path, ("mlflow-skinny==3.17.2",), script, MLFLOW_TRACKING_TOKEN="mk_wrong")
    assert code == "UNAUTHENTICATED"
    assert "mk_wrong" not in json.dumps(message)
    basic = {"MLFLOW_TRACKING_TOKEN": "", "MLFLOW_TRACKING_USERNAME": "ann"}
    code, _ = run(server, tmp_path, ("mlflow-skinny==3.17.2",), script, **basic, MLFLOW_TRACKING_PASSWORD=server.token)
    assert code == "RESOURCE_DOES_NOT_EXIST"


async def test_the_block_of_the_manual_works_as_it_is(server: HubServer, tmp_path: Path) -> None:
    async with publisher(server) as api:
        for _ in range(3):
            await api.register("fraud-detector", FILES)
    (block,) = manual("mlflow").blocks("python")
    script = block.replace("https://registry.example", server.url) + "\nprint('{}')"
    assert run(server, tmp_path, ("mlflow-skinny==3.17.2",), script) == {}
    assert (tmp_path / "serving" / "data" / "model.pkl").read_bytes() == FILES["data/model.pkl"]
    async with publisher(server) as api:
        assert (await api.ask("GET", "/fraud-detector/versions/production"))["version"] == 3
