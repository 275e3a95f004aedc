"""Storage that is ready for the service, by name."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest import mock
from uuid import uuid4

from app.operate.installing import install
from app.settings import Settings
from tests.support.api import BASE
from tests.support.servers import AwsServer

COMMON = {"REGISTRY_AUTH": "none", "REGISTRY_LOG_LEVEL": "WARNING", "REGISTRY_STOP_NOTICE": "0"}


def local_environment(folder: Path) -> dict[str, str]:
    """The variables of a service on the embedded store."""
    return COMMON | {"REGISTRY_BACKEND": "local", "REGISTRY_DATA_DIR": str(folder), "REGISTRY_PUBLIC_URL": BASE}


def aws_environment(server: AwsServer) -> dict[str, str]:
    """The variables of a service on AWS's protocols, with a table and a bucket of its own."""
    name = f"registry-{uuid4().hex[:12]}"
    return COMMON | server.environment() | {"REGISTRY_BACKEND": "aws", "REGISTRY_TABLE": name, "REGISTRY_BUCKET": name}


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[Settings]:
    """Let this process have these variables, and no other `REGISTRY_…`, to the end of the block."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    with mock.patch.dict(os.environ, kept | dict(variables), clear=True):
        yield Settings()


async def prepare(settings: Settings) -> list[str]:
    """What `model-registry init` does."""
    return [sentence async for sentence in install(settings)]


def prepare_now(settings: Settings) -> list[str]:
    """The same, outside an event loop."""
    return asyncio.run(prepare(settings))
