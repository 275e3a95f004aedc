"""Storage that is ready for the service, by name."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest import mock
from uuid import uuid4

from modelkeep.admin.installation import install
from modelkeep.admin.wording import sentence
from modelkeep.settings import Settings
from tests.support.api import BASE
from tests.support.servers import AwsServer

COMMON = {"MODELKEEP_AUTH": "none", "MODELKEEP_LOG_LEVEL": "WARNING", "MODELKEEP_SHUTDOWN_DELAY_SECONDS": "0"}


def local_environment(folder: Path) -> dict[str, str]:
    """The variables of a service on the embedded store."""
    return COMMON | {"MODELKEEP_BACKEND": "local", "MODELKEEP_DATA_DIR": str(folder), "MODELKEEP_PUBLIC_URL": BASE}


def aws_environment(server: AwsServer) -> dict[str, str]:
    """The variables of a service on AWS's protocols, with a table and a bucket of its own."""
    name = f"registry-{uuid4().hex[:12]}"
    return (
        COMMON | server.environment() | {"MODELKEEP_BACKEND": "aws", "MODELKEEP_TABLE": name, "MODELKEEP_BUCKET": name}
    )


def another_of(variables: Mapping[str, str], number: int) -> dict[str, str]:
    """The variables of another registry on the same backend."""
    places = {"MODELKEEP_DATA_DIR", "MODELKEEP_TABLE", "MODELKEEP_BUCKET"}
    return {name: f"{value}-{number}" if name in places else value for name, value in variables.items()}


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[Settings]:
    """Let this process have these variables, and no other `MODELKEEP_…`, to the end of the block."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELKEEP_")}
    with mock.patch.dict(os.environ, kept | dict(variables), clear=True):
        yield Settings()


async def prepare(settings: Settings) -> list[str]:
    """What `modelkeep init` does."""
    return [sentence(finding) async for finding in install(settings)]


def prepare_now(settings: Settings) -> list[str]:
    """The same, outside an event loop."""
    return asyncio.run(prepare(settings))
