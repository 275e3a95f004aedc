"""The service in a process of its own, over a real socket; every test of the client has its state folder to itself."""

import asyncio
import hashlib
import logging
import os
import re
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from modelkeep.client import AsyncRegistryClient, RegistryClient
from tests.support.backends import aws_environment, local_environment
from tests.support.faults.proxy import Proxy
from tests.support.observed import Observed, observed_service
from tests.support.programs import EXECUTABLE, Server, operate, serving
from tests.support.servers import AwsServer, free_port


@contextmanager
def _running(folder: Path, variables: Mapping[str, str], *arguments: str) -> Iterator[Server]:
    port = free_port()
    command = [EXECUTABLE, *arguments, "--port", str(port)]
    with serving(command, variables, port=port, log=folder / "server.log", folder=folder) as server:
        server.wait("/readyz")
        yield server


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`modelkeep dev`."""
    with _running(tmp_path_factory.mktemp("dev"), {}, "dev") as server:
        yield server


@pytest.fixture(scope="session")
def dev_url(dev: Server) -> str:
    return dev.url


@pytest.fixture(scope="session")
def dev_behind_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Server]]:
    """`modelkeep dev` behind a proxy, which also the URLs of its storage point at."""
    with Proxy().running() as proxy:
        variables = {"MODELKEEP_PUBLIC_URL": proxy.url, "MODELKEEP_MULTIPART_THRESHOLD_BYTES": str(25 * 1024 * 1024)}
        with _running(tmp_path_factory.mktemp("behind"), variables, "dev") as server:
            proxy.behind = int(server.url.rpartition(":")[2])
            yield proxy, server


@pytest.fixture
def proxy(dev_behind_proxy: tuple[Proxy, Server]) -> Iterator[Proxy]:
    """Between the client and both registry and storage; well-behaved until told otherwise."""
    proxy, _ = dev_behind_proxy
    proxy.reset()
    yield proxy
    assert [get for get in proxy.asked("GET", ".*") if "if-range" in get.headers] == [], "no server heeds If-Range"
    proxy.reset()


@pytest.fixture
def token(dev_behind_proxy: tuple[Proxy, Server]) -> str:
    """An administrator's token for the registry behind the proxy."""
    (folder,) = re.findall(r"^Data +(\S+)", dev_behind_proxy[1].said(), re.MULTILINE)
    made = operate(
        local_environment(Path(folder)), *["token", "create", "--direct", "dev", "--allow", "admin", "--days", "30"]
    )
    (token,) = made.out
    return token


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client waited each time, without the waiting; servers in other threads wait as ever."""
    seconds: list[float] = []
    really = asyncio.sleep

    async def note(delay: float) -> None:
        if threading.current_thread() is not threading.main_thread():
            await really(delay)
            return
        seconds.append(delay)
        await really(0)

    monkeypatch.setattr(asyncio, "sleep", note)
    return seconds


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Every record, also of the libraries that speak HTTP."""
    with (
        caplog.at_level(logging.DEBUG),
        caplog.at_level(logging.DEBUG, "httpx"),
        caplog.at_level(logging.DEBUG, "httpcore"),
    ):
        yield caplog


@pytest.fixture(scope="session")
def aws(ministack: AwsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`modelkeep serve` over AWS's protocols."""
    variables = aws_environment(ministack)
    assert operate(variables, "init").status == 0
    with _running(tmp_path_factory.mktemp("aws"), variables, "serve", "--host", "127.0.0.1") as server:
        yield server


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """The service in this process, so that its storage tells what it took in and gave out."""
    folder = tmp_path_factory.mktemp("observed")
    try:
        with observed_service(folder, {"MODELKEEP_MULTIPART_THRESHOLD_BYTES": str(32 * 1024 * 1024)}) as observed:
            yield observed
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def client(observed: Observed) -> Iterator[RegistryClient]:
    """A client of it that does not await."""
    with RegistryClient(observed.url) as client:
        yield client


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB; skipped where mounting is not allowed."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("only root may mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(params=["dev", "aws"])
def url(request: pytest.FixtureRequest) -> str:
    """A registry on each backend."""
    server: Server = request.getfixturevalue(request.param)
    return server.url


@pytest.fixture
async def registry(url: str) -> AsyncIterator[AsyncRegistryClient]:
    async with AsyncRegistryClient(url) as registry:
        yield registry


@pytest.fixture
def model() -> str:
    """A name that no other test uses."""
    return f"model-{uuid4().hex[:12]}"


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the client remembers between calls, and nothing of the environment's."""
    for name in os.environ:
        if name.startswith(("MODELKEEP_", "ACTIONS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "modelkeep"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of files of random bytes: `write(**{"weights.bin": 1_000})`, or one file by `write(1_000)`."""

    def write(size: int | None = None, *, folder: str = "run-7", **sizes: int) -> Path:
        if size is not None:
            return _file(tmp_path / "model.pt", size)
        for path, bytes_ in sizes.items():
            _file(tmp_path / folder / path, bytes_)
        return tmp_path / folder

    return write


def _file(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
