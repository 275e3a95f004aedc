"""Run the service."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Final

import structlog
import typer
import uvicorn
from fastapi import FastAPI

from modelkeep.admin.access import check_access_configured
from modelkeep.admin.maintenance import exposure_of
from modelkeep.admin.settings import read_settings
from modelkeep.bootstrap import open_storage, ownership_of
from modelkeep.domain.values import is_loopback
from modelkeep.http.server.hardened_protocol import HardenedHttpProtocol
from modelkeep.http.server.process_limits import raise_connection_limits
from modelkeep.main import create_app
from modelkeep.settings import Settings
from modelkeep.telemetry import logging, tracing

GRACE_SECONDS: Final = 25
"""How long requests under way may take to end when the service is stopped."""

KEEP_ALIVE_SECONDS: Final = 125
"""Must exceed the load balancer's idle timeout, so that the balancer closes idle connections first."""

WORKER_HEALTHCHECK_SECONDS: Final = 60
"""How long a worker may leave uvicorn's health checks unanswered before it is killed.

While it starts it answers none, and on a busy machine that takes long: with a short timeout no worker would ever serve.
"""

_log = structlog.get_logger("modelkeep.serving")

_ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- no client can connect to these


def serve(*, host: str, port: int, workers: int) -> None:
    """Serve what the environment describes, until stopped.

    Raises `ValueError` and `UnavailableError` before anything is served: for settings, storage and access rules that
    cannot be used.
    """
    settings = read_settings()
    asyncio.run(_preflight(settings, host))
    signal.signal(signal.SIGTERM, _exit_cleanly)
    uvicorn.run(
        "modelkeep.admin.serving:create_ready_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        loop="uvloop",
        http=HardenedHttpProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=WORKER_HEALTHCHECK_SECONDS,
    )


def create_ready_app() -> FastAPI:
    """Build the app, in a process that may have thousands of connections."""
    raise_connection_limits()
    return create_app()


def serve_dev(*, host: str, port: int, workers: int, data_dir: Path) -> None:
    """Serve the embedded store with docs: on loopback to every client, elsewhere to those with a token."""
    own = {
        "MODELKEEP_BACKEND": "local",
        "MODELKEEP_AUTH": "none" if is_loopback(host) else "",
        "MODELKEEP_DOCS": "true",
        "MODELKEEP_SHUTDOWN_DELAY_SECONDS": "0",
        "MODELKEEP_DATA_DIR": str(data_dir.absolute()),
    }
    os.environ.update(own)
    public_host = "127.0.0.1" if host in _ANY_ADDRESS else f"[{host}]" if ":" in host else host
    os.environ.setdefault("MODELKEEP_PUBLIC_URL", f"http://{public_host}:{port}")
    typer.echo(f"Model registry on http://{host}:{port} (docs at /docs), data in {data_dir.absolute()}")
    if not is_loopback(host):
        typer.echo(f"Clients must show a token: MODELKEEP_BACKEND=local MODELKEEP_DATA_DIR={data_dir.absolute()} \\")
        typer.echo("    modelkeep token create NAME --allow admin --days 30")
    serve(host=host, port=port, workers=workers)


async def _preflight(settings: Settings, host: str) -> None:
    """Open storage and read access rules before the workers do: what fails in one is reported with a stack trace.

    Raises `BucketOwnedError` for a bucket of another table; one that cannot be read is no reason not to start.
    """
    tracing.from_environment()
    logging.configure(settings.log_level)
    async with open_storage(settings) as (table, store):
        await ownership_of(table, store, settings).refuse_foreign()
    await check_access_configured(settings, host)
    if exposure := exposure_of(settings):
        _log.warning("data_folder_exposed", detail=exposure)


def _exit_cleanly(*_: object) -> None:
    """End with status 0 after SIGTERM: once it has shut down, uvicorn raises the signal again for this handler."""
    raise SystemExit(0)
