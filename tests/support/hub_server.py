"""The face over a real socket, for clients in environments of their own: with tokens, and bytes on another port."""

import asyncio
import json
import os
import subprocess
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from modelkeep.main import create_app
from tests.support.access import token_for
from tests.support.api import Api
from tests.support.backends import environment, prepare
from tests.support.programs import REPOSITORY
from tests.support.servers import free_port
from tests.support.stores import serving

NEWEST_FROM: Final = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["uv"]["exclude-newer"]
"""What the clients' newest releases are: those of the day that everything else is resolved for."""


@dataclass
class HubServer:
    """A running service, a token that reads its models, and the requests below `/hf` as they came."""

    url: str
    admin_token: str
    token: str
    requests: list[str] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"{self.url}/hf"

    def asked(self) -> list[str]:
        """The requests since the last call of this."""
        asked, self.requests[:] = list(self.requests), []
        return asked


class _Noting:
    """Plain ASGI, around everything else."""

    def __init__(self, app: ASGIApp, requests: list[str]) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/hf/"):
            self._requests.append(f"{scope['method']} {scope['raw_path'].decode()}")
        await self._app(scope, receive, send)


@contextmanager
def hub_server(variables: Mapping[str, str]) -> Iterator[HubServer]:
    """Serve until the block ends. The local store's URLs lead to a second port, as those of S3 would."""
    port, bytes_port = free_port(), free_port()
    own = {**variables, "MODELKEEP_PUBLIC_URL": f"http://127.0.0.1:{bytes_port}"}
    own.pop("MODELKEEP_AUTH", None)
    with ExitStack() as stack:
        settings = stack.enter_context(environment(own))
        asyncio.run(prepare(settings))
        server = HubServer(
            f"http://127.0.0.1:{port}",
            asyncio.run(token_for(settings, allow=["admin"], principal="admin")),
            asyncio.run(token_for(settings, allow=["reader"], principal="serving")),
        )
        app = create_app(settings)
        app.add_middleware(_Noting, requests=server.requests)
        stack.enter_context(serving(app, port))
        stack.enter_context(serving(create_app(settings), bytes_port))
        yield server


@asynccontextmanager
async def publisher(server: HubServer) -> AsyncIterator[Api]:
    """The service as an administrator uses it, to put models into it."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as http:
        yield Api(http, token=server.admin_token)


def run_client(server: HubServer, folder: Path, command: list[str], **variables: str) -> str:
    """What a client prints that finds the registry by the Hub's own variables, and nothing of this machine's."""
    foreign = ("HF_", "HUGGING", "MODELKEEP_", "AWS_", "VIRTUAL_ENV", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    own = {
        "HF_ENDPOINT": server.endpoint,
        "HF_TOKEN": server.token,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        command, env={**kept, **own, **variables}, cwd=folder, check=False, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def python(*requirements: str, script: str) -> list[str]:
    """A command: a script with these packages, in an environment that uv keeps."""
    return [*_uv(*requirements), "python", "-c", script]


def tool(name: str, *arguments: str, requirements: tuple[str, ...]) -> list[str]:
    """A command: a program that these packages bring."""
    return [*_uv(*requirements), name, *arguments]


def _uv(*requirements: str) -> list[str]:
    wanted = [part for each in requirements for part in ("--with", each)]
    return ["uv", "run", "--no-project", "--quiet", "--python", "3.11", "--exclude-newer", NEWEST_FROM, *wanted]


def last_json(printed: str) -> Any:
    """The last line that a script printed."""
    return json.loads(printed.strip().splitlines()[-1])
