"""The manual: its curl script runs as it stands against both backends, and its tables say what the code does."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)

from modelkeep.admin import serving as operate_serving
from modelkeep.cli.exit_status import Status
from modelkeep.domain.access.actions import Action
from modelkeep.main import create_app
from modelkeep.program import program
from modelkeep.settings import Settings
from modelkeep.storage.aws.errors import Resource, explain
from modelkeep.telemetry.metrics import Metrics, SweepMetrics
from tests.support.backends import aws_environment
from tests.support.dockerfile import image
from tests.support.journeys.release import Walk
from tests.support.pages import ADDRESS, manual
from tests.support.programs import EXECUTABLE, REPOSITORY, Server, clean_environment, operate, serving
from tests.support.servers import AwsServer, free_port

# the walk


@dataclass(frozen=True)
class Walked:
    """A server, and the token that it asks for, if it does."""

    server: Server
    token: str = ""


@pytest.fixture(params=["dev", "aws"])
def walked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Walked]:
    """`dev`, and `serve` over AWS's protocols, which asks who comes; the port is another."""
    port, token = free_port(), ""
    if request.param == "dev":
        arguments, variables = ["dev"], {}
    else:
        ministack: AwsServer = request.getfixturevalue("ministack")
        arguments = ["serve", "--host", "127.0.0.1"]
        variables = aws_environment(ministack) | {"MODELKEEP_AUTH": "", "MODELKEEP_LOG_LEVEL": "INFO"}
        assert operate(variables, "init").status == 0
        (token,) = operate(variables, "token", "create", "--direct", "admin", "--allow", "admin", "--days", "30").out
    command = [EXECUTABLE, *arguments, "--port", str(port)]
    with serving(command, variables, port=port, log=tmp_path / "server.log", folder=tmp_path) as server:
        server.wait("/readyz")
        yield Walked(server, token)


def run_the_walk(walked: Walked, folder: Path) -> None:
    url = walked.server.url
    script = "\n".join(manual("http-api").blocks("sh")).replace(ADDRESS, url)
    assert script.count(url) == 1, "the address is said once"
    (folder / "walk.sh").write_text(script)
    command = ["bash", "-euo", "pipefail", "-x", "walk.sh"]
    variables = clean_environment({"MODELKEEP_TOKEN": walked.token})
    ended = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]


def test_the_walk_goes_from_a_registration_to_a_rollback(walked: Walked, tmp_path: Path) -> None:
    folder, server = tmp_path / "walk", walked.server
    folder.mkdir()
    run_the_walk(walked, folder)

    weights = folder / "weights.bin"
    assert weights.stat().st_size >= 200_000_000
    requests = [json.loads(line) for line in server.said().splitlines() if '"path"' in line]
    signed = [request for request in requests if request["path"].endswith("/versions/1/upload/parts")]
    assert len(signed) == 4, "the weights went up in parts"
    assert {request["status"] for request in requests} <= {200, 201, 204, 304, 307, 412}

    with Walk(server.url, token=walked.token) as walk:
        model = walk.ask("GET", "/fraud-detector")
        assert (model["production_version"], model["latest_version"], model["aliases"]) == (1, 2, {"canary": 2})
        types = [event["type"] for event in walk.ask("GET", "/fraud-detector/events")["items"]]
    assert types == [
        "upload_begun",
        "version_completed",
        "stage_changed",
        "upload_begun",
        "version_completed",
        "stage_changed",
        "rolled_back",
        "alias_set",
    ]
    assert server.stop() == 0
    shutil.rmtree(folder)


# what it says


def test_routes_are_those_of_the_service() -> None:
    paths = create_app(Settings(auth="none", backend="local")).openapi()["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods if method != "head"}
    assert all(("get" in methods) == ("head" in methods) for methods in paths.values())
    assert {(method, _plain(path)) for method, path, *_ in manual("http-api").table("method")} == {
        (m, _plain(path)) for m, path in served
    }


def test_routes_need_what_the_page_says() -> None:
    paths = create_app(Settings(auth="none", backend="local")).openapi()["paths"]
    needed = {
        (method.upper(), _plain(path)): {re.sub(r"^stage.set:.*", "stage.set:*", action) for action in actions}
        for path, methods in paths.items()
        for method, operation in methods.items()
        if method != "head" and len(actions := operation.get("x-actions", []))
    }
    told = {
        (method, _plain(path)): set(needs.replace("`", "").split())
        for method, path, needs, _ in manual("http-api").table("method")
        if needs
    }
    everything = {re.sub(r"^stage.set:.*", "stage.set:*", action) for action in Action}
    told = {route: everything if needs == {"*"} else needs for route, needs in told.items()}
    assert told == needed | {("POST", "/v1/models/{}/rollback"): {"stage.set:production"}}


def _plain(path: str) -> str:
    """A path without the names of its parameters: a number is a ref as well, and routes may call it either."""
    return re.sub(r"\{[a-z]+\}", "{}", path)


def test_options_before_the_command_are_those_of_the_program() -> None:
    (line,) = re.findall(r"^Before the command: (.*?)^$", manual("command-line").text, re.MULTILINE | re.DOTALL)
    root = typer.main.get_command(program)
    options = {option for each in root.params for option in each.opts if option.startswith("--")}
    assert set(re.findall(r"`(--[a-z-]+)", line)) == options


def test_exit_statuses_are_those_of_the_program() -> None:
    assert {int(status) for status, _ in manual("command-line").table("exit status")} == {0, *Status}


def test_variables_of_the_client_are_those_that_it_reads() -> None:
    sources = [
        path.read_text()
        for part in ("client", "cli")
        for path in (REPOSITORY / "app" / "modelkeep" / part).glob("*.py")
    ]
    read = {name for source in sources for name in re.findall(r'"(MODELKEEP_[A-Z_]+)"', source)}
    assert {name for name, _, _ in manual("settings").table("client variable")} == read - {"MODELKEEP_LOG_LEVEL"}


def test_metrics_are_those_of_the_service_and_of_the_sweep(tmp_path: Path) -> None:
    SweepMetrics().write(tmp_path / "sweep.prom")
    served, swept = Metrics().render().decode(), (tmp_path / "sweep.prom").read_text()
    assert {name for name, *_ in manual("operations").table("metric")} == _metrics_in(served)
    named = set(re.findall(r"\bmodelkeep_\w+", manual("operations").text))
    assert {name.removesuffix("_count") for name in named} == _metrics_in(served) | _metrics_in(swept)


def _metrics_in(text: str) -> set[str]:
    """The names of metrics in Prometheus's text, without the moments at which they were made."""
    return {name for name in re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE) if not name.endswith("_created")}


def test_log_events_are_those_that_are_written() -> None:
    sources = [path.read_text() for path in (REPOSITORY / "app" / "modelkeep").rglob("*.py")]
    written = {event for source in sources for event in re.findall(r'_log\.\w+\(\s*"([^"]+)"', source)}
    assert {event for event, _ in manual("operations").table("event")} == written


def _refusal(code: str, operation: str) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(response, operation)


def test_what_aws_refuses_reads_as_the_service_says_it() -> None:
    kept = Resource("table", "model-registry", "eu-west-1")
    bucket = Resource("bucket", "example-models", "eu-west-1")
    said = [
        explain(_refusal("ResourceNotFoundException", "GetItem"), kept),
        explain(_refusal("NoSuchBucket", "PutObject"), bucket),
        explain(_refusal("PermanentRedirect", "PutObject"), bucket),
        explain(_refusal("AccessDeniedException", "Query"), kept),
        explain(_refusal("AccessDenied", "GetObject"), bucket),
        explain(_refusal("403", "HeadObject"), bucket),
        explain(_refusal("400", "HeadObject"), bucket),
        explain(NoCredentialsError(), kept),
        explain(NoRegionError(), kept),
        explain(_refusal("ExpiredTokenException", "Query"), kept),
        explain(_refusal("RequestTimeTooSkewed", "PutObject"), bucket),
        explain(EndpointConnectionError(endpoint_url="x"), kept),
        explain(_refusal("ThrottlingException", "Query"), kept),
        explain(ProfileNotFound(profile="x"), kept),
    ]
    documented = [sentence for sentence, _ in manual("aws").table("it says")]
    assert len(documented) == len(said)
    for sentence, part in zip(said, documented, strict=True):
        assert part in sentence


def test_what_a_load_balancer_is_told_is_what_the_service_does() -> None:
    told = dict(manual("aws").table("what"))
    assert (
        f"at most 120 s; the service keeps quiet connections for {operate_serving.KEEP_ALIVE_SECONDS} s"
        in told["idle timeout"]
    )
    assert operate_serving.KEEP_ALIVE_SECONDS > 120
    assert f"requests under way have {operate_serving.GRACE_SECONDS} s" in told["stop"]


def test_the_deployment_fits_the_image() -> None:
    pod = manual("kubernetes-and-ecs").document("modelkeep")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    user = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert user == image()["USER"]
    assert str(container["ports"][0]["containerPort"]) == image()["EXPOSE"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > operate_serving.GRACE_SECONDS + pause
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    set_here = {variable["name"]: variable["value"] for variable in container["env"]}
    assert set(set_here) == {"MODELKEEP_BUCKET", "AWS_REGION"}


@pytest.mark.parametrize("role", ["serve", "sweep", "init", "migrate"])
def test_commands_of_the_page_can_be_typed(ministack: AwsServer, role: str) -> None:
    """Each `uv run modelkeep …` line is taken as it stands; the ones that need AWS have tests of their own."""
    lines = [
        line
        for block in manual("aws").blocks("console")
        for line in block.splitlines()
        if f"iam-policy {role} " in line
    ]
    (line,) = lines
    arguments = line.removeprefix("uv run modelkeep ").partition(" >")[0].split()
    said = operate(aws_environment(ministack), *arguments)
    assert said.status == 0
    assert json.loads("\n".join(said.out))["Statement"]
