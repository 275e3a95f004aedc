"""What a caller does with an object store's URLs, and a server for those of the local store."""

import hashlib
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import uvicorn
from fastapi import FastAPI, Request
from starlette.types import ASGIApp

from modelkeep.domain.values import Digest, PresignedUrl
from modelkeep.http import error_handlers
from modelkeep.storage.local import file_routes, object_paths
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.objects import ObjectStore

MINUTE = timedelta(minutes=1)


def digest_of(content: bytes) -> Digest:
    return Digest(hashlib.sha256(content).hexdigest())


async def presign(store: ObjectStore, key: str, content: bytes, ttl: timedelta = MINUTE) -> PresignedUrl:
    return await store.presign_put(key, size=len(content), sha256=digest_of(content), ttl=ttl)


async def presign_part(
    store: ObjectStore, key: str, multipart_id: str, number: int, content: bytes, ttl: timedelta = MINUTE
) -> PresignedUrl:
    return await store.presign_part(key, multipart_id, number, size=len(content), sha256=digest_of(content), ttl=ttl)


async def send(
    http: httpx.AsyncClient,
    signed: PresignedUrl,
    content: bytes | AsyncIterator[bytes] = b"",
    *,
    url: str | None = None,
    headers: Mapping[str, str | None] | None = None,
) -> httpx.Response:
    """Do what the URL says, but for another `url` or other `headers`: one that is `None` is left out."""
    wanted = {name: value for name, value in {**signed.headers, **(headers or {})}.items() if value is not None}
    return await http.request(signed.method, url or signed.url, content=content, headers=wanted)


async def store_bytes(http: httpx.AsyncClient, store: ObjectStore, key: str, content: bytes) -> None:
    answer = await send(http, await presign(store, key, content), content)
    assert answer.status_code == 200, answer.text


async def read_all(store: ObjectStore, key: str, version_id: str | None = None) -> bytes:
    return b"".join([block async for block in store.read(key, version_id=version_id)])


def local_app(folder: Path) -> FastAPI:
    """The file routes, and how the service answers errors."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        yield {"files": await FileStore.open(folder, public_url="http://unused")}

    def opened(request: Request) -> FileStore:
        return cast("FileStore", request.state.files)

    app = FastAPI(lifespan=lifespan)
    app.include_router(file_routes.create_router(opened))
    error_handlers.install(app)
    return app


@contextmanager
def serving(app: ASGIApp, port: int, **options: Any) -> Iterator[str]:
    """Serve on loopback from a thread until the block ends."""
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def as_earlier_releases_did(root: Path) -> None:
    """Put the folder of each model in a data folder where it was before: under the model's name as it is."""
    for kind in ("objects", "checksums"):
        for folder in list((root / kind / "models").iterdir()):
            folder.rename(folder.with_name(object_paths.key_at(f"models/{folder.name}").removeprefix("models/")))
