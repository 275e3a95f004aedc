"""The compose file, as far as it can be run without a container engine.

The commands and the environments of its own services run as child processes, against local servers that stand in for
its images; nothing but the hosts and ports of endpoints is replaced.
"""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from tests.support import servers
from tests.support.dockerfile import image
from tests.support.journeys.release import Walk
from tests.support.programs import EXECUTABLE, REPOSITORY, Server, operate, serving
from tests.support.servers import AwsServer, free_port

IMAGE = image()
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
ENVIRONMENT: dict[str, str] = SERVICES["registry"]["environment"]


def arguments_of(service: str) -> list[str]:
    """What the image's entry point is given."""
    command = SERVICES[service].get("command") or yaml.safe_load(IMAGE["CMD"])
    assert yaml.safe_load(IMAGE["ENTRYPOINT"]) == ["modelkeep"]
    return list(command)


def test_images_are_pinned_and_the_service_is_built_here() -> None:
    assert SERVICES["dynamodb"]["image"].startswith("amazon/dynamodb-local:3.3.1@sha256:")
    assert SERVICES["s3"]["image"].startswith("rustfs/rustfs:1.0.0@sha256:")
    assert SERVICES["registry"]["build"] == "."
    assert SERVICES["registry"]["image"] == SERVICES["init"]["image"]
    assert SERVICES["init"]["pull_policy"] == "never", "the image is nobody else's"


def test_every_published_port_is_a_loopback_one() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_services_wait_for_each_other() -> None:
    healthy, completed = {"condition": "service_healthy"}, {"condition": "service_completed_successfully"}
    assert SERVICES["init"]["depends_on"] == {"dynamodb": healthy, "s3": healthy}
    assert SERVICES["registry"]["depends_on"] == {"init": completed, "dynamodb": healthy, "s3": healthy}
    assert all("test" in SERVICES[name]["healthcheck"] for name in ("registry", "dynamodb", "s3"))
    assert SERVICES["init"]["restart"] == "no"
    assert SERVICES["registry"]["stop_grace_period"] == "30s", "longer than requests under way are given"


def test_volumes_are_named_and_all_are_used() -> None:
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


def test_both_services_have_one_environment_which_the_servers_accept() -> None:
    assert SERVICES["init"]["environment"] == ENVIRONMENT
    open_to_all = {"MODELKEEP_AUTH": "none", "MODELKEEP_INSECURE": "true"}
    assert ENVIRONMENT.items() >= open_to_all.items(), "that anybody may call is said, not assumed"
    assert ENVIRONMENT["AWS_ACCESS_KEY_ID"].isalnum(), "DynamoDB Local takes letters and digits only"
    store = SERVICES["s3"]["environment"]
    keys = (store["RUSTFS_ACCESS_KEY"], store["RUSTFS_SECRET_KEY"])
    assert keys == (ENVIRONMENT["AWS_ACCESS_KEY_ID"], ENVIRONMENT["AWS_SECRET_ACCESS_KEY"])


def test_endpoints_name_services_and_the_public_one_a_published_port() -> None:
    for variable, service in (("AWS_ENDPOINT_URL_S3", "s3"), ("AWS_ENDPOINT_URL_DYNAMODB", "dynamodb")):
        assert urlsplit(ENVIRONMENT[variable]).hostname == service
    public = urlsplit(ENVIRONMENT["MODELKEEP_S3_PUBLIC_URL"])
    assert public.hostname == "localhost"
    assert f"127.0.0.1:{public.port}:9000" in SERVICES["s3"]["ports"]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsServer]:
    """An S3 that knows the very keys of the compose file: URLs are signed with them."""
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    server = AwsServer(
        f"http://127.0.0.1:{port}",
        ENVIRONMENT["AWS_REGION"],
        ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
    )
    variables = server.environment() | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "SERVICES": "s3,dynamodb",
        "AUTH": "true",
        "LOG_LEVEL": "WARNING",
        "STATE_DIR": str(folder / "state"),
    }
    variables.pop("AWS_ENDPOINT_URL")
    command = ["uvx", "--from", servers.MINISTACK, "ministack"]
    ready = f"{server.endpoint}/_ministack/health"
    with servers.running(command, environment=variables, log=folder / "s3.log", ready=ready, status=200):
        yield server


@pytest.fixture(scope="module")
def dynamodb(request: pytest.FixtureRequest, s3: AwsServer) -> AwsServer:
    """The engine of the compose file; where it cannot run, the one that also speaks DynamoDB."""
    if servers.why_no_dynamodb_local():
        return s3
    server: AwsServer = request.getfixturevalue("dynamodb_local")
    return replace(server, access_key=s3.access_key, secret_key=s3.secret_key)


@pytest.fixture(scope="module")
def variables(s3: AwsServer, dynamodb: AwsServer) -> dict[str, str]:
    port = urlsplit(s3.endpoint).port
    return ENVIRONMENT | {
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb.endpoint,
        "MODELKEEP_S3_PUBLIC_URL": f"http://localhost:{port}",
    }


@pytest.fixture(scope="module")
def initialised(variables: dict[str, str]) -> list[str]:
    said = operate(variables, *arguments_of("init"))
    assert said.status == 0, said.err
    return said.out


@pytest.fixture
def registry(variables: dict[str, str], initialised: list[str], tmp_path: Path) -> Iterator[Server]:
    port = free_port()
    arguments = [str(port) if argument == "8000" else argument for argument in arguments_of("registry")]
    with serving([EXECUTABLE, *arguments], variables, port=port, log=tmp_path / "registry.log") as server:
        server.wait("/readyz")
        yield server


def test_init_makes_what_is_missing_and_a_second_time_finds_it(
    initialised: list[str], variables: dict[str, str]
) -> None:
    assert any("is created" in line for line in initialised)
    again = operate(variables, *arguments_of("init"))
    assert again.status == 0, again.err
    assert "Table 'modelkeep' was there." in again.out
    assert "Bucket 'modelkeep' is there already." in again.out


def test_a_model_is_registered_promoted_and_downloaded_by_the_public_address(
    registry: Server, variables: dict[str, str]
) -> None:
    files = {"model.pt": b"w" * 100_000, "tokenizer/vocab.txt": b"a b c"}
    public = variables["MODELKEEP_S3_PUBLIC_URL"]
    with Walk(registry.url) as walk:
        number, uploads = walk.register("fraud-detector", files, metrics={"f1": 0.94})
        walk.promote("fraud-detector", number)
        fetched, downloads = walk.fetch("fraud-detector")
    assert fetched == files
    assert all(url.startswith(f"{public}/") for url in [*uploads, *downloads])


def test_host_and_other_containers_are_answered_and_no_page_of_a_stranger(registry: Server) -> None:
    port = urlsplit(registry.url).port
    answers = {
        host: httpx.get(f"{registry.url}/v1/models", headers={"host": f"{host}:{port}"}, trust_env=False).status_code
        for host in ("127.0.0.1", "localhost", "registry", "attacker.example")
    }
    assert answers == {"127.0.0.1": 200, "localhost": 200, "registry": 200, "attacker.example": 421}
    assert "registry" in SERVICES


def test_the_health_checks_of_image_and_compose_file_tell_a_service_from_none(registry: Server) -> None:
    _, *of_image = yaml.safe_load(f"[CMD, {IMAGE['HEALTHCHECK'].partition('[')[2]}")
    _, *compose = SERVICES["registry"]["healthcheck"]["test"]
    port, nobody = urlsplit(registry.url).port, free_port()
    for (program, flag, code), path in ((of_image, "/healthz"), (compose, "/readyz")):
        assert f"8000{path}" in code
        for there, status in ((port, 0), (nobody, 1)):
            command = [sys.executable, flag, code.replace("8000", str(there))]
            assert program == "python"
            assert subprocess.run(command, capture_output=True, check=False).returncode == status


def test_a_request_under_way_ends_before_the_service_does(registry: Server) -> None:
    """The service is asked to stop when it has begun to read a promotion, whose body follows later."""
    with Walk(registry.url) as walk:
        number, _ = walk.register("slow-caller", {"model.pt": b"x"})
    body = b'{"stage": "production"}'
    head = (
        f"PUT /v1/models/slow-caller/versions/{number}/stage HTTP/1.1\r\nHost: registry\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    stopped: list[int] = []
    with socket.create_connection(("127.0.0.1", urlsplit(registry.url).port)) as caller:
        caller.sendall(head.encode())
        assert caller.recv(65536).startswith(b"HTTP/1.1 100 ")
        stopping = threading.Thread(target=lambda: stopped.append(registry.stop()))
        stopping.start()
        assert _refuses_new_connections(registry.url)
        caller.sendall(body)
        answer = b"".join(iter(lambda: caller.recv(65536), b""))
    stopping.join()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"stage":"production"' in answer
    assert stopped == [0], registry.said()


def _refuses_new_connections(url: str) -> bool:
    """One that was waiting to be accepted when the service stopped listening is reset."""
    for _ in range(200):
        try:
            httpx.get(f"{url}/healthz", timeout=1, trust_env=False)
        except httpx.NetworkError:
            return True
        threading.Event().wait(0.02)
    return False
