"""The service, as its callers see it."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from asgi_lifespan import LifespanManager

from app.main import create_app
from app.settings import Settings

BASE = "http://registry"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def declare(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    return [{"path": path, "size": len(content), "sha256": sha256(content)} for path, content in files.items()]


class Api:
    """What a pipeline or a container does, in one line each. Answers are asserted to be the expected ones."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def ask(
        self, method: str, path: str, body: Any = None, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send JSON, expect a status, return the JSON answer."""
        answer = await self.http.request(method, f"/v1/models{path}", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def begin(self, model: str, files: Mapping[str, bytes], *, key: str | None = None, **fields: Any) -> Any:
        headers = {"idempotency-key": key} if key else None
        body = {"artifacts": declare(files), **fields}
        return await self.ask("POST", f"/{model}/versions", body, status=201, headers=headers)

    async def send(self, signed: Mapping[str, Any], content: bytes = b"") -> httpx.Response:
        """Do exactly what a presigned URL says."""
        return await self.http.request(signed["method"], signed["url"], headers=signed["headers"], content=content)

    async def upload(self, begun: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        """Send every missing artifact, in parts where the service says so."""
        for artifact in begun["artifacts"]:
            content = files[artifact["path"]]
            if artifact["multipart"]:
                await self.upload_parts(begun, artifact, content)
            elif artifact["state"] == "missing":
                answer = await self.send(artifact["upload"], content)
                assert answer.status_code == 200, answer.text

    async def upload_parts(self, begun: Mapping[str, Any], artifact: Mapping[str, Any], content: bytes) -> None:
        size = artifact["multipart"]["part_size"]
        parts = {
            number: content[(number - 1) * size : number * size]
            for number in range(1, artifact["multipart"]["part_count"] + 1)
            if number not in artifact["multipart"]["parts_done"]
        }
        if not parts:
            return
        signed = await self.ask(
            "POST",
            f"/{begun['model']}/versions/{begun['version']}/upload/parts",
            {"path": artifact["path"], "parts": [{"number": n, "sha256": sha256(part)} for n, part in parts.items()]},
        )
        for part in signed["parts"]:
            answer = await self.send(part, parts[part["number"]])
            assert answer.status_code == 200, answer.text

    async def complete(self, model: str, number: int, *, status: int = 200) -> Any:
        return await self.ask("POST", f"/{model}/versions/{number}/complete", status=status)

    async def register(self, model: str, files: Mapping[str, bytes] | None = None, **fields: Any) -> int:
        """Begin, upload, complete; return the version's number."""
        files = files or {"model.pt": model.encode()}
        begun = await self.begin(model, files, **fields)
        await self.upload(begun, files)
        return int((await self.complete(model, begun["version"]))["version"])

    async def promote(self, model: str, number: int, *, status: int = 200, **fields: Any) -> Any:
        body = {"stage": "production", **fields}
        return await self.ask("PUT", f"/{model}/versions/{number}/stage", body, status=status)

    async def download(self, model: str, ref: str = "production", *, status: int = 200) -> Any:
        return await self.ask("GET", f"/{model}/versions/{ref}/download", status=status)

    async def fetch(self, model: str, ref: str = "production") -> dict[str, bytes]:
        """Read every artifact of a version through its presigned URL."""
        found = await self.download(model, ref)
        files = {}
        for artifact in found["artifacts"]:
            answer = await self.send(artifact)
            assert answer.status_code == 200, answer.text
            files[artifact["path"]] = answer.content
        return files


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Api]:
    """The app in this process; storage URLs of the local store lead back into it, others over the network."""
    app = create_app(settings)
    async with LifespanManager(app) as manager:
        transport = httpx.ASGITransport(manager.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(base_url=BASE, mounts={BASE: transport}, trust_env=False, timeout=30) as http:
            yield Api(http)
