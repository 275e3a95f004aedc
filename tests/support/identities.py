"""A registry that asks who comes, and GitHub's side of a job that has an identity."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from modelkeep.settings import Settings
from tests.support.backends import environment, local_environment
from tests.support.faults.proxy import Fault, Proxy, Reply, Request
from tests.support.observed import observed_service

ANYWHERE: Final = "https://models.example.com"
"""The registry's address in rules and scripts."""


@dataclass(frozen=True)
class AskingRegistry:
    """A registry behind a proxy, which is its address; its storage has an address of its own."""

    proxy: Proxy
    storage: Proxy
    settings: Settings

    @property
    def url(self) -> str:
        return self.proxy.url

    def tokens_shown(self) -> list[str]:
        """What came as bearer token, request by request."""
        requests = self.proxy.asked(".*", "^/v1/")
        return [request.headers.get("authorization", "").removeprefix("Bearer ") for request in requests]


@contextmanager
def asking_registry(folder: Path, rules: Mapping[str, Any]) -> Iterator[AskingRegistry]:
    """Serve, with issuers and trust rules that call the registry `ANYWHERE`, until the block ends."""
    folder.mkdir()
    file = folder / "access.json"
    with Proxy().running() as proxy, Proxy().running() as storage:
        file.write_text(json.dumps(rules).replace(ANYWHERE, proxy.url))
        variables = {
            "MODELKEEP_AUTH": "",
            "MODELKEEP_ACCESS_FILE": str(file),
            "MODELKEEP_PUBLIC_URL": f"http://localhost:{storage.port}",
        }
        with (
            observed_service(folder, variables) as observed,
            environment(local_environment(folder) | variables) as settings,
        ):
            proxy.behind = storage.behind = int(observed.url.rpartition(":")[2])
            yield AskingRegistry(proxy, storage, settings)


class GitHub:
    """Where a job asks for its identity; `sign` makes a token for an audience."""

    bearer: Final = "runtime-canary-7f3a"

    def __init__(self, proxy: Proxy, sign: Callable[[str], str]) -> None:
        self.proxy = proxy
        self.audiences: list[str] = []
        self._sign = sign
        self.meets()

    def meets(self, *faults: Fault) -> None:
        """Forget who asked; let each fault meet one request, and then work as it should."""
        self.proxy.reset()
        self.audiences = []
        for fault in faults:
            self.proxy.when("GET", "^/token", fault, times=1)
        self.proxy.when("GET", "^/token", lambda request, _: self._answer(request))

    @property
    def variables(self) -> dict[str, str]:
        """What the runner tells a job with `permissions: id-token: write`."""
        url = f"{self.proxy.url}/token?api-version=2.0"
        return {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.bearer}

    def _answer(self, request: Request) -> Reply:
        query = parse_qs(request.query)
        if request.headers.get("authorization") != f"Bearer {self.bearer}" or query.get("api-version") != ["2.0"]:
            return Reply(status=401)
        (audience,) = query["audience"]
        self.audiences.append(audience)
        body = json.dumps({"count": 1, "value": self._sign(audience)}).encode()
        return Reply(status=200, headers={"content-type": "application/json"}, body=body)


@contextmanager
def github(sign: Callable[[str], str]) -> Iterator[GitHub]:
    """Answer jobs until the block ends."""
    with Proxy().running() as proxy:
        yield GitHub(proxy, sign)
