"""Run the service."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Final

import typer
import uvicorn

from app.domain.errors import RegistryError
from app.lifespan import open_storage
from app.main import AUTH_SENTENCE
from app.operate.settings import read_settings
from app.settings import Settings

GRACE_SECONDS: Final = 25
"""Requests under way get this long to end when the service is stopped."""

KEEP_ALIVE_SECONDS: Final = 125
"""Longer than a load balancer before it keeps a quiet connection: whichever closes first must not be this side."""


_ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- nobody can be sent to these


def serve(*, host: str, port: int, workers: int) -> None:
    """Serve what the environment describes, until stopped. What cannot be opened is said in a sentence."""
    settings = read_settings()
    if settings.auth is None:
        typer.echo(AUTH_SENTENCE, err=True)
        raise typer.Exit(2)
    try:
        asyncio.run(_try_storage(settings))
    except RegistryError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    signal.signal(signal.SIGTERM, _leave)
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def develop(*, host: str, port: int, workers: int, data_dir: Path) -> None:
    """Serve the embedded store with docs, for anybody who reaches the port."""
    own = {
        "REGISTRY_BACKEND": "local",
        "REGISTRY_AUTH": "none",
        "REGISTRY_DOCS": "true",
        "REGISTRY_DATA_DIR": str(data_dir.absolute()),
    }
    os.environ.update(own)
    seen_as = "127.0.0.1" if host in _ANY_ADDRESS else f"[{host}]" if ":" in host else host
    os.environ.setdefault("REGISTRY_PUBLIC_URL", f"http://{seen_as}:{port}")
    typer.echo(f"Model registry on http://{host}:{port} (docs at /docs), data in {data_dir.absolute()}")
    serve(host=host, port=port, workers=workers)


async def _try_storage(settings: Settings) -> None:
    """Open and close what every worker will open: it costs no request, and workers report with a stack trace."""
    async with open_storage(settings):
        pass


def _leave(*_: object) -> None:
    """Being asked to stop is no failure: uvicorn, when all is done, raises the signal again for a handler like this."""
    raise SystemExit(0)
