"""The registry over HTTP: one request at a time, repeated where that is safe, its problems raised as errors."""

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from modelkeep.client.errors import NotARegistryError, UnreachableError, from_problem
from modelkeep.client.retries import ATTEMPTS, pause, reason_of, retry_after
from modelkeep.client.token_sources import TokenSource

Answer = TypeVar("Answer", bound=BaseModel)

USER_AGENT: Final = f"modelkeep/{version('modelkeep')}"

_TIMEOUT: Final = httpx.Timeout(connect=5, read=150, write=30, pool=None)
"""Reading is patient: `complete` of a version with very large files takes minutes at S3."""

CONNECT_ATTEMPTS: Final = 4
"""Where nobody listens, nobody should wait long to hear it; `--wait` is for a service that is still to come."""

RETRYABLE: Final = frozenset({429, 502, 503, 504})

_LARGEST_ANSWER: Final = 64 * 1024 * 1024
"""More than a page of a hundred versions with a thousand artifacts each."""

_LARGEST_PORT: Final = 65535


class RegistryTransport:
    """Asks one registry. Every change carries an Idempotency-Key, so repeating it after a lost reply is safe."""

    def __init__(self, url: str, *, credential: TokenSource | None = None) -> None:
        """Raises `ValueError` if `url` is not an address of HTTP."""
        if not _is_address(url):
            raise ValueError(f"'{url}' is not an address like http://registry:8000")
        self.url = url.rstrip("/")
        self._credential = credential
        headers = {"user-agent": USER_AGENT, "accept": "application/json", "accept-encoding": "identity"}
        self._http = httpx.AsyncClient(headers=headers, timeout=_TIMEOUT, follow_redirects=False)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._http.aclose()

    async def get(self, answer: type[Answer], *path: str | int, **query: str | int | None) -> Answer:
        """Read. Raises the registry's error, `UnreachableError` or `NotARegistryError`."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._read(answer, path, await self._ask("GET", path, query=given))

    async def change(
        self, answer: type[Answer], method: str, *path: str | int, body: BaseModel | None = None, key: str | None = None
    ) -> Answer:
        """Change something, once, however often it has to be sent. Raises as `get` does."""
        return self._read(answer, path, await self._ask(method, path, body=body, key=key or uuid4().hex))

    async def remove(self, *path: str | int, key: str | None = None) -> None:
        """Delete something, once. Raises as `get` does."""
        response = await self._ask("DELETE", path, key=key or uuid4().hex)
        if response.status_code != httpx.codes.NO_CONTENT:
            raise NotARegistryError(self.url, f"it answers a DELETE with status {response.status_code}")

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
            try:
                response = await self._exchange(request)
            except httpx.RequestError as error:
                if attempt >= (CONNECT_ATTEMPTS if isinstance(error, httpx.ConnectError) else ATTEMPTS):
                    raise UnreachableError(self.url, reason_of(error)) from error
                await asyncio.sleep(pause(attempt))
                continue
            if response.status_code not in RETRYABLE or attempt >= ATTEMPTS:
                return self._accepted(response)
            await asyncio.sleep(pause(attempt, retry_after(response)))

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        """Send with the token; if it is refused and there is another one, with that: what was refused did nothing."""
        if self._credential is None:
            return await self._once(request)
        token = await self._credential.token()
        response = await self._once(request, token)
        if response.status_code == httpx.codes.UNAUTHORIZED and (other := await self._credential.other_than(token)):
            return await self._once(request, other)
        return response

    async def _once(self, request: httpx.Request, token: str | None = None) -> httpx.Response:
        """Send once, and read the answer to its end, if it has one."""
        if token:
            request.headers["authorization"] = f"Bearer {token}"
        response = await self._http.send(request, stream=True)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise NotARegistryError(self.url, "its answer is compressed, which was not asked for")
            content = bytearray()
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > _LARGEST_ANSWER:
                    raise NotARegistryError(self.url, f"its answer has more than {_LARGEST_ANSWER} bytes")
        finally:
            await response.aclose()
        return httpx.Response(response.status_code, headers=response.headers, content=bytes(content))

    def _accepted(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        if response.is_redirect:
            raise NotARegistryError(self.url, f"it redirects to {response.headers.get('location', 'nowhere')}")
        try:
            problem = from_json(response.content)
        except ValueError:
            problem = None
        if not isinstance(problem, dict) or "code" not in problem:
            media_type = response.headers.get("content-type", "no content type")
            raise NotARegistryError(self.url, f"status {response.status_code} with {media_type}")
        raise from_problem(response.status_code, problem)

    def _read(self, answer: type[Answer], path: tuple[str | int, ...], response: httpx.Response) -> Answer:
        try:
            read = answer.model_validate_json(response.content)
        except ValidationError as error:
            raise NotARegistryError(self.url, f"its answer is no {answer.__name__}") from error
        if len(path) > 1 and getattr(read, "model", path[1]) != path[1]:
            raise NotARegistryError(self.url, f"asked about '{path[1]}', it answers about another model")
        return read


def _is_address(url: str) -> bool:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.host) and (parts.port or 1) <= _LARGEST_PORT
