"""The service on one machine, killed while it works: what it acknowledged is there, and nothing is half."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.support.api import Api
from tests.support.servers import free_port

KILLS, QUICK_KILLS = 20, 10
"""How many there are if there is time, and if not."""

REGISTRARS = 2
MODELS = ["fraud-detector", "churn"]


@dataclass
class Acknowledged:
    """What the callers were told of one model."""

    versions: dict[int, bytes] = field(default_factory=dict)
    generation: int = 0
    promoted: list[int | None] = field(default_factory=lambda: [None])
    """Which version may be production: the last that was acknowledged, if any, and what came unanswered after."""


def content_of(model: str, attempt: int) -> bytes:
    return f"{model} {attempt}".encode() * 100


@contextmanager
def service(port: int, folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    command = [sys.executable, "-m", "app", "dev", "--port", str(port), "--data-dir", str(folder)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    with (folder.parent / "service.log").open("ab") as log:
        process = subprocess.Popen(command, env=kept | {"REGISTRY_LOG_LEVEL": "ERROR"}, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Api]:
    """A client of the service, once it is ready."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10) as http:
        async with asyncio.timeout(30):
            while not await is_ready(http):  # noqa: ASYNC110 -- the service has no way to call
                await asyncio.sleep(0.02)
        yield Api(http)


async def is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def register_for_ever(api: Api, model: str, told: Acknowledged) -> None:
    """Register versions until the service is gone."""
    try:
        for attempt in range(10_000):
            content = content_of(model, attempt)
            number = await api.register(model, {"model.pt": content})
            told.versions[number] = content
    except httpx.TransportError:
        return


async def promote_for_ever(api: Api, model: str, told: Acknowledged) -> None:
    """Promote versions until the service is gone."""
    try:
        while True:
            await asyncio.sleep(0.005)
            if not told.versions:
                await api.http.get("/healthz")
            else:
                number = random.choice(list(told.versions))
                told.promoted.append(number)
                await api.promote(model, number)
                told.promoted = [number]
    except httpx.TransportError:
        return


async def check(api: Api, model: str, told: Acknowledged) -> None:
    """Read everything back."""
    found = await versions_of(api, model)
    assert set(told.versions) <= set(found)
    production = [number for number, stage in found.items() if stage == "production"]
    assert len(production) == bool(production)
    holder = production[0] if production else None
    assert holder in told.promoted
    told.promoted = [holder]
    head = await api.ask("GET", f"/{model}")
    assert head["production_version"] == holder
    assert head["generation"] >= told.generation
    told.generation = head["generation"]
    for number in [*production, *random.sample(list(told.versions), min(3, len(told.versions)))]:
        assert await api.fetch(model, str(number)) == {"model.pt": told.versions[number]}


async def versions_of(api: Api, model: str) -> dict[int, str]:
    found: dict[int, str] = {}
    cursor = ""
    while cursor is not None:
        page = await api.ask("GET", f"/{model}/versions?limit=100{cursor and f'&cursor={cursor}'}")
        found |= {version["version"]: version["stage"] for version in page["items"]}
        cursor = page["next_cursor"]
    return found


def run_check(folder: Path) -> str:
    """What `model-registry check` says."""
    environment = {"REGISTRY_BACKEND": "local", "REGISTRY_DATA_DIR": str(folder)}
    command = [sys.executable, "-m", "app", "check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | environment)
    return done.stdout + done.stderr


@pytest.mark.timeout(180)
async def test_a_killed_service_keeps_what_it_acknowledged(tmp_path: Path, *, thorough: bool) -> None:
    kills = KILLS if thorough else QUICK_KILLS
    folder, port = tmp_path / "data", free_port()
    told = {model: Acknowledged() for model in MODELS}
    for kill in range(kills):
        with service(port, folder) as process:
            async with connected(port) as api:
                if kill:
                    await asyncio.gather(*(check(api, model, told[model]) for model in MODELS))
                callers = [
                    asyncio.create_task(work(api, model, told[model]))
                    for model in MODELS
                    for work in [register_for_ever] * REGISTRARS + [promote_for_ever]
                ]
                await asyncio.sleep(random.uniform(0.05, 0.4))
                process.kill()
                await asyncio.gather(*callers)
        if kill % 5 == 4:
            assert await asyncio.to_thread(run_check, folder) == "clean\n"
    with service(port, folder):
        async with connected(port) as api:
            await asyncio.gather(*(check(api, model, told[model]) for model in MODELS))
    assert sum(len(acknowledged.versions) for acknowledged in told.values()) > kills
