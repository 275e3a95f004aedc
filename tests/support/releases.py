"""Releases of the program beside one another: this one, and an older one from the history of the repository.

The older one is run from its sources with the packages of this environment.
"""

import asyncio
import os
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import httpx

from modelkeep.domain.models import FORMAT
from tests.support.api import Api
from tests.support.programs import REPOSITORY, Said, Server, clean_environment, serving
from tests.support.servers import free_port

IMPATIENT: Final = "tests.support.processes.impatient"


class NoHistoryError(Exception):
    """The repository is not here, or not its history: there is no older release to run."""


@dataclass(frozen=True)
class Release:
    """One release of the program, by the folder of its sources."""

    name: str
    sources: Path

    def command(self, module: str, *arguments: str) -> list[str]:
        """What runs a module with this release's `modelkeep`."""
        path = f"PYTHONPATH={self.sources}{os.pathsep}{REPOSITORY}"
        return ["env", path, sys.executable, "-P", "-m", module, *arguments]

    def run(self, variables: Mapping[str, str], *arguments: str) -> Said:
        """Run a command of the program that ends."""
        command = self.command("modelkeep", *arguments)
        environment = clean_environment(variables)
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=600)
        return Said(done.returncode, done.stdout.splitlines(), done.stderr.splitlines())


PRESENT: Final = Release("this release", REPOSITORY / "app")


def older(folder: Path) -> Release:
    """The first release with the present format of the head, unpacked there. Raises `NoHistoryError`."""
    commit = _first_with_this_format()
    with tarfile.open(fileobj=BytesIO(_git("archive", commit, "app"))) as sources:
        sources.extractall(folder, filter="data")
    return Release("the older release", folder / "app")


def _first_with_this_format() -> str:
    if _git("rev-parse", "--show-prefix").strip() or _git("rev-parse", "--is-shallow-repository").strip() == b"true":
        raise NoHistoryError("the history of the repository is not here; `git fetch --unshallow` brings it")
    found = _git("log", "--reverse", "--format=%H %P", f"-SFORMAT: Final = {FORMAT}\n", "--", "app").decode()
    assert found, f"no commit in the history of app/ has `FORMAT: Final = {FORMAT}`: search for what it reads now"
    commit, *parents = found.splitlines()[0].split()
    if not parents:
        raise NoHistoryError("the history of the repository is not here: it begins with this format")
    return commit


def _git(*arguments: str) -> bytes:
    command = ["git", "-c", "safe.directory=*", *arguments]
    try:
        return subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoHistoryError(f"the history of the repository is not here: {error}") from error


class AnyApi(Api):
    """The service of any release: which headers its URLs sign is its own affair."""

    async def send(self, signed: Mapping[str, Any], content: bytes = b"") -> httpx.Response:
        return await self.http.request(signed["method"], signed["url"], headers=signed["headers"], content=content)


@dataclass(frozen=True)
class Instance:
    """A service of one release."""

    release: Release
    server: Server
    api: Api


@asynccontextmanager
async def side_by_side(
    releases: Sequence[Release], variables: Mapping[str, str], folder: Path
) -> AsyncIterator[Sequence[Instance]]:
    """Serve from one process of each release. Presigned URLs of the local store lead to the next one's."""
    ports = [free_port() for _ in releases]
    addresses = [f"http://127.0.0.1:{port}" for port in ports]
    with ExitStack() as processes:
        servers = []
        for number, (release, port) in enumerate(zip(releases, ports, strict=True)):
            command = release.command(IMPATIENT, "serve", "--host", "127.0.0.1", "--port", str(port))
            own = {"MODELKEEP_PUBLIC_URL": addresses[(number + 1) % len(addresses)]}
            log = folder / f"{number}.log"
            servers.append(processes.enter_context(serving(command, {**variables, **own}, port=port, log=log)))
        async with AsyncExitStack() as clients:
            instances = []
            for release, server in zip(releases, servers, strict=True):
                await asyncio.to_thread(server.wait, "/readyz", patience=120)
                http = httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30)
                instances.append(Instance(release, server, AnyApi(await clients.enter_async_context(http))))
            yield instances
