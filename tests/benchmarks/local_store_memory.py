"""How much memory the local store takes to store and serve one large file, and for uploads that stand still.

    uv run python -m tests.benchmarks.local_store_memory --gib 5 --stalled 500

The first must not depend on the file's size.

The service runs in a process of its own. The folder is removed afterwards.
"""

import argparse
import asyncio
import hashlib
import multiprocessing
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import ExitStack
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx
import uvicorn

from modelkeep.domain.values import Digest, PresignedUrl
from modelkeep.storage.local.files import FileStore
from tests.support.servers import free_port
from tests.support.stalled_uploads import stalled_upload, wait_until_read
from tests.support.stores import local_app

MIB = 1024 * 1024
LIMIT = 50 * MIB
STALLED_LIMIT = 128 * 1024
BLOCK = bytes(range(256)) * (MIB // 256)


class Gauge:
    """Watches how much resident memory a process has at most."""

    def __init__(self, process: BaseProcess) -> None:
        self._status = Path(f"/proc/{process.pid}/status")
        self.peak = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def now(self) -> int:
        line = next(line for line in self._status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def _watch(self) -> None:
        while True:
            try:
                self.peak = max(self.peak, self.now())
            except (FileNotFoundError, StopIteration):
                return
            time.sleep(0.02)


def serve(folder: str, port: int) -> None:
    uvicorn.run(local_app(Path(folder)), port=port, log_level="warning", access_log=False)


def digest_of(blocks: int) -> Digest:
    digest = hashlib.sha256()
    for _ in range(blocks):
        digest.update(BLOCK)
    return Digest(digest.hexdigest())


async def body(blocks: int) -> AsyncIterator[bytes]:
    for _ in range(blocks):
        yield BLOCK


async def put(http: httpx.AsyncClient, url: PresignedUrl, blocks: int) -> None:
    (await http.put(url.url, headers=url.headers, content=body(blocks))).raise_for_status()


async def get(http: httpx.AsyncClient, url: PresignedUrl, expected: Digest) -> None:
    digest = hashlib.sha256()
    async with http.stream("GET", url.url) as answer:
        answer.raise_for_status()
        async for chunk in answer.aiter_raw():
            digest.update(chunk)
    assert digest.hexdigest() == expected.hex


async def wait_for(http: httpx.AsyncClient, url: str) -> None:
    while True:
        try:
            await http.get(url)
        except httpx.TransportError:
            await asyncio.sleep(0.05)
        else:
            return


async def measure(folder: Path, port: int, gauge: Gauge, blocks: int) -> None:
    root = f"http://127.0.0.1:{port}"
    day = timedelta(days=1)
    async with httpx.AsyncClient(trust_env=False, timeout=600) as http:
        await wait_for(http, root)
        store = await FileStore.open(folder, public_url=root)
        for name, count in (("warm up", 8), ("large", blocks)):
            digest = digest_of(count)
            put_url = await store.presign_put(name, size=count * MIB, sha256=digest, ttl=day)
            get_url = await store.presign_get(name, version_id=None, filename=name, ttl=day)
            for verb, work in (("PUT", put(http, put_url, count)), ("GET", get(http, get_url, digest))):
                await report(f"{name}: {verb} {count} MiB", work, gauge, count)


async def stall(folder: Path, port: int, gauge: Gauge, count: int) -> None:
    """Let so many uploads stand still at once, after a few that show the process what it needs anyway."""
    store = await FileStore.open(folder, public_url=f"http://127.0.0.1:{port}")
    with ExitStack() as clients:
        for name, number in (("first", 20), ("then", count)):
            before = gauge.now()
            for index in range(number):
                url = await store.presign_put(
                    f"{name}-{index}", size=2 * MIB, sha256=digest_of(2), ttl=timedelta(days=1)
                )
                clients.enter_context(await asyncio.to_thread(stalled_upload, url.url, url.headers))
            await asyncio.to_thread(wait_until_read, port)
        each = (gauge.now() - before) / count
    print(f"{count} uploads that stand still, {each / 1024:.0f} KiB each")
    assert each < STALLED_LIMIT


async def report(what: str, work: Awaitable[None], gauge: Gauge, mebibytes: int) -> None:
    before, began = gauge.now(), time.monotonic()
    gauge.peak = before
    await work
    speed, grown = mebibytes / (time.monotonic() - began), gauge.peak - before
    print(f"{what}, {speed:.0f} MiB/s, grew by {grown / MIB:.1f} MiB to {gauge.peak / MIB:.0f} MiB")
    assert grown < LIMIT


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, default=5)
    parser.add_argument("--stalled", type=int, default=500)
    options = parser.parse_args()
    blocks = int(options.gib * 1024)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, port))
        process.start()
        try:
            gauge = Gauge(process)
            asyncio.run(measure(Path(folder), port, gauge, blocks))
            asyncio.run(stall(Path(folder), port, gauge, options.stalled))
        finally:
            process.terminate()
            process.join()


if __name__ == "__main__":
    main()
