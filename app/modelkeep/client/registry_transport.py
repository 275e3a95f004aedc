"""The registry over HTTP: each request is repeated where that is safe, and a problem is raised as its error."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from modelkeep.client.addresses import require_address
from modelkeep.client.errors import NotARegistryError, UnreachableError, from_problem
from modelkeep.client.http_transports import AsyncTransport
from modelkeep.client.retries import MAX_ATTEMPTS, reason_of, retry_after, retry_delay
from modelkeep.client.token_sources import TokenSource

Resource = TypeVar("Resource", bound=BaseModel)

USER_AGENT: Final = f"modelkeep/{version('modelkeep')}"

_TIMEOUT: Final = httpx.Timeout(connect=5, read=150, write=30, pool=None)
"""The read timeout is long, because S3 takes minutes to `complete` a version with very large files."""

CONNECT_ATTEMPTS: Final = 4
"""Fewer than for other failures, so that a wrong address fails fast; `--wait` is for a service that is not up yet."""

RETRYABLE: Final = frozenset({429, 502, 503, 504})

_MAX_RESPONSE_BYTES: Final = 64 * 1024 * 1024
"""More than a page of a hundred versions with a thousand artifacts each."""


QueryValue = str | int | Sequence[str] | None
"""The value of a query parameter, or several; without `None`, which is not sent."""


class RegistryTransport:
    """The HTTP API of one registry. Every change has an Idempotency-Key, so it can be repeated after a lost reply.

    `max_attempts` limits how often a request is sent, and `hooks` are called as httpx calls its event hooks.
    """

    def __init__(
        self,
        url: str,
        *,
        token_source: TokenSource | None = None,
        timeout: httpx.Timeout | None = None,
        max_attempts: int = MAX_ATTEMPTS,
        hooks: Mapping[str, list[Callable[..., Any]]] | None = None,
    ) -> None:
        """Raises `ValueError` if `url` is not the address of a registry, or the environment names no usable proxy."""
        self.url = require_address(url)
        self._token_source = token_source
        self._max_attempts = max_attempts
        headers = {"user-agent": USER_AGENT, "accept": "application/json", "accept-encoding": "identity"}
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=timeout or _TIMEOUT,
            follow_redirects=False,
            transport=AsyncTransport(),
            event_hooks=hooks,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._http.aclose()

    async def get(self, schema: type[Resource], *path: str | int, **query: QueryValue) -> Resource:
        """Read a resource. Raises the registry's error, `UnreachableError` or `NotARegistryError`."""
        params = {name: value for name, value in query.items() if value is not None}
        return self._parse(schema, path, await self._request("GET", path, query=params))

    async def change(
        self,
        schema: type[Resource],
        method: str,
        *path: str | int,
        body: BaseModel | None = None,
        key: str | None = None,
    ) -> Resource:
        """Change a resource, once, however often the request is sent. Raises as `get` does."""
        return self._parse(schema, path, await self._request(method, path, body=body, key=key or uuid4().hex))

    async def remove(self, *path: str | int, key: str | None = None) -> None:
        """Delete a resource, once. Raises as `get` does."""
        response = await self._request("DELETE", path, key=key or uuid4().hex)
        if response.status_code != httpx.codes.NO_CONTENT:
            raise NotARegistryError(self.url, f"it answers a DELETE with status {response.status_code}")

    async def _request(
        self,
        method: str,
        path: tuple[str | int, ...],
        *,
        query: Mapping[str, QueryValue] | None = None,
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
        return await self._send_with_retries(request)

    async def _send_with_retries(self, request: httpx.Request) -> httpx.Response:
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._send_authenticated(request)
            except httpx.RequestError as error:
                limit = CONNECT_ATTEMPTS if isinstance(error, httpx.ConnectError) else MAX_ATTEMPTS
                if attempt >= min(limit, self._max_attempts):
                    raise UnreachableError(self.url, reason_of(error)) from error
                await asyncio.sleep(retry_delay(attempt))
                continue
            if response.status_code not in RETRYABLE or attempt >= self._max_attempts:
                self._raise_for_problem(response)
                return response
            await asyncio.sleep(retry_delay(attempt, retry_after(response)))

    async def _send_authenticated(self, request: httpx.Request) -> httpx.Response:
        """Send with the token. If it is refused (401), nothing has happened: send once more with a new one, if any."""
        if self._token_source is None:
            return await self._send_once(request)
        token = await self._token_source.token()
        response = await self._send_once(request, token)
        if response.status_code == httpx.codes.UNAUTHORIZED and (renewed := await self._token_source.renew(token)):
            return await self._send_once(request, renewed)
        return response

    async def _send_once(self, request: httpx.Request, token: str | None = None) -> httpx.Response:
        """Send once, and read the whole response."""
        if token:
            request.headers["authorization"] = f"Bearer {token}"
        response = await self._http.send(request, stream=True)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise NotARegistryError(self.url, "its answer is compressed, which was not asked for")
            content = bytearray()
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > _MAX_RESPONSE_BYTES:
                    raise NotARegistryError(self.url, f"its answer has more than {_MAX_RESPONSE_BYTES} bytes")
        finally:
            await response.aclose()
        return httpx.Response(response.status_code, headers=response.headers, content=bytes(content))

    def _raise_for_problem(self, response: httpx.Response) -> None:
        if response.is_success:
            return
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

    def _parse(self, schema: type[Resource], path: tuple[str | int, ...], response: httpx.Response) -> Resource:
        try:
            parsed = schema.model_validate_json(response.content)
        except ValidationError as error:
            raise NotARegistryError(self.url, f"its answer is no {schema.__name__}") from error
        if len(path) > 1 and getattr(parsed, "model", path[1]) != path[1]:
            raise NotARegistryError(self.url, f"asked about '{path[1]}', it answers about another model")
        return parsed
