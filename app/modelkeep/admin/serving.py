"""Run the service."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
import typer
import uvicorn
from fastapi import FastAPI

from modelkeep.admin import dev_announcement
from modelkeep.admin.access import check_access_configured
from modelkeep.admin.maintenance import exposure_of
from modelkeep.admin.ports import require_free_port
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


def serve(*, host: str, port: int, workers: int, announcement: Sequence[str] = ()) -> None:
    """Serve what the environment describes, until stopped; print `announcement` once nothing stands against it.

    Raises `ValueError` and `UnavailableError` before anything is served: for settings, storage and access rules that
    cannot be used.
    """
    settings = read_settings()
    asyncio.run(_preflight(settings, host))
    for line in announcement:
        typer.echo(line)
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
    """Serve the embedded store with docs: on loopback to every client, elsewhere to those with a token.

    Raises `ValueError` for a port that is in use, before anything is made or printed, and what `serve` raises.
    """
    require_free_port(host, port)
    folder = data_dir.absolute()
    folder.mkdir(0o700, parents=True, exist_ok=True)
    address = f"http://{_connectable(host)}:{port}"
    _set_environment(host, folder, address)
    token = () if is_loopback(host) else dev_announcement.how_to_make_a_token(folder)
    announcement = [*dev_announcement.lines(address, folder), *token]
    try:
        serve(host=host, port=port, workers=workers, announcement=announcement)
    except ValueError:
        for line in token:
            typer.echo(line)
        raise


def _set_environment(host: str, folder: Path, address: str) -> None:
    """Set the variables of a service on a folder, for this process and its workers."""
    own = {
        "MODELKEEP_BACKEND": "local",
        "MODELKEEP_AUTH": "none" if is_loopback(host) else "",
        "MODELKEEP_DOCS": "true",
        "MODELKEEP_SHUTDOWN_DELAY_SECONDS": "0",
        "MODELKEEP_DATA_DIR": str(folder),
    }
    os.environ.update(own)
    os.environ.setdefault("MODELKEEP_PUBLIC_URL", address)
    os.environ.setdefault("MODELKEEP_LOG_FORMAT", "text" if sys.stderr.isatty() else "json")


def _connectable(host: str) -> str:
    """A host to connect to, as it is written in an address."""
    if host in _ANY_ADDRESS:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


async def _preflight(settings: Settings, host: str) -> None:
    """Open storage and read access rules before the workers do: what fails in one is reported with a stack trace.

    Raises `BucketOwnedError` for a bucket of another table; one that cannot be read is no reason not to start.
    """
    tracing.from_environment()
    logging.configure(settings.log_level, settings.log_format)
    async with open_storage(settings) as (table, store):
        await ownership_of(table, store, settings).refuse_foreign()
    await check_access_configured(settings, host)
    if exposure := exposure_of(settings):
        _log.warning("data_folder_exposed", detail=exposure)


def _exit_cleanly(*_: object) -> None:
    """End with status 0 after SIGTERM: once it has shut down, uvicorn raises the signal again for this handler."""
    raise SystemExit(0)
