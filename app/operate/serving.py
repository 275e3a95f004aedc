"""Run the service."""

import os
from pathlib import Path
from typing import Final

import typer
import uvicorn

from app.main import AUTH_SENTENCE
from app.operate.settings import read_settings

GRACE_SECONDS: Final = 25
"""Requests under way get this long to end when the service is stopped."""


def serve(*, host: str, port: int, workers: int) -> None:
    """Serve what the environment describes, until stopped."""
    if read_settings().auth is None:
        typer.echo(AUTH_SENTENCE, err=True)
        raise typer.Exit(2)
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
    os.environ.setdefault("REGISTRY_PUBLIC_URL", f"http://{host}:{port}")
    typer.echo(f"Model registry on http://{host}:{port} (docs at /docs), data in {data_dir.absolute()}")
    serve(host=host, port=port, workers=workers)
