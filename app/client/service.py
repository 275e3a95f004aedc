"""The registry over HTTP: one request at a time, repeated where that is safe, its problems raised as errors."""

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final, Self, TypeVar
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError

from app.client.errors import NotARegistryError, UnreachableError, from_problem
from app.client.retries import ATTEMPTS, pause, reason_of, retry_after

Answer = TypeVar("Answer", bound=BaseModel)

USER_AGENT: Final = f"model-registry/{version('model-registry')}"

_TIMEOUT: Final = httpx.Timeout(connect=5, read=150, write=30, pool=None)
"""Reading is patient: `complete` of a version with very large files takes minutes at S3."""

_AGAIN: Final = frozenset({429, 502, 503, 504})


class Service:
    """Asks one registry. Every change carries an Idempotency-Key, so repeating it after a lost reply is safe."""

    def __init__(self, url: str, *, token: str | None = None) -> None:
        """Raises `ValueError` if `url` is not an address of HTTP."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"'{url}' is not an address like http://registry:8000")
        self.url = url.rstrip("/")
        headers = {"user-agent": USER_AGENT, "accept": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self._http = httpx.AsyncClient(headers=headers, timeout=_TIMEOUT, follow_redirects=False)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._http.aclose()

    async def get(self, answer: type[Answer], *path: str | int, **query: str | int | None) -> Answer:
        """Read. Raises the registry's error, `UnreachableError` or `NotARegistryError`."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._read(answer, await self._ask("GET", path, query=given))

    async def change(
        self, answer: type[Answer], method: str, *path: str | int, body: BaseModel | None = None, key: str | None = None
    ) -> Answer:
        """Change something, once, however often it has to be sent. Raises as `get` does."""
        return self._read(answer, await self._ask(method, path, body=body, key=key or uuid4().hex))

    async def remove(self, *path: str | int, key: str | None = None) -> None:
        """Delete something, once. Raises as `get` does."""
        await self._ask("DELETE", path, key=key or uuid4().hex)

    async def _ask(
        self,
        method: str,
        path: tuple[str | int, ...],
        *,
        query: Mapping[str, str | int] | None = None,
        body: BaseModel | None = None,
        key: str | None = None,
    ) -> httpx.Response:
        request = self._http.build_request(
            method,
            "/".join([self.url, "v1", *(quote(str(segment), safe="@=+") for segment in path)]),
            params=query,
            content=body.model_dump_json(exclude_unset=True) if body else None,
            headers={"content-type": "application/json"} if body else None,
        )
        if key:
            request.headers["idempotency-key"] = key
        return await self._send(request)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        attempt = 0
        while True:
            attempt += 1
            last = attempt == ATTEMPTS
            try:
                response = await self._http.send(request)
            except httpx.RequestError as error:
                if last:
                    raise UnreachableError(self.url, reason_of(error)) from error
                await asyncio.sleep(pause(attempt))
                continue
            if response.status_code not in _AGAIN or last:
                return self._accepted(response)
            await asyncio.sleep(pause(attempt, retry_after(response)))

    def _accepted(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        if response.is_redirect:
            raise NotARegistryError(self.url, f"it redirects to {response.headers.get('location', 'nowhere')}")
        try:
            problem = response.json()
        except ValueError:
            problem = None
        if not isinstance(problem, dict) or "code" not in problem:
            media_type = response.headers.get("content-type", "no content type")
            raise NotARegistryError(self.url, f"status {response.status_code} with {media_type}")
        raise from_problem(response.status_code, problem)

    def _read(self, answer: type[Answer], response: httpx.Response) -> Answer:
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            raise NotARegistryError(self.url, f"its answer is no {answer.__name__}") from error
