"""Callers over HTTP who outlive the service: what it did not answer they ask again, under the same Idempotency-Key."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final
from uuid import uuid4

import httpx

from modelkeep.domain.events import EventType
from tests.support.api import Api, declare, sha256
from tests.support.journeys.acknowledged import Mutation

ALIASES: Final = ("champion", "canary")
PAUSE_SECONDS: Final = 0.05


class Shelf:
    """A model: its versions that nobody deletes, and the files that were declared of each of its numbers."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.kept: list[int] = []
        self.files: dict[int, Mapping[str, bytes]] = {}


class Caller:
    """Somebody who changes one model all the time, until asked to stop. What it deletes and restores is its own."""

    def __init__(self, http: httpx.AsyncClient, shelf: Shelf, *, seed: int) -> None:
        self.mutations: list[Mutation] = []
        self.stopping = False
        self._api = Api(http)
        self._shelf = shelf
        self._dice = random.Random(seed)
        self._spare: list[int] = []
        self._trashed: list[int] = []

    async def work(self) -> None:
        while not self.stopping:
            await self._dice.choice(self._steps())()

    def _steps(self) -> Sequence[Callable[[], Awaitable[None]]]:
        steps: list[Callable[[], Awaitable[None]]] = [
            self._register,
            self._register,
            self._roll_back,
            self._remove_alias,
        ]
        steps += [self._promote, self._set_alias, self._edit] if self._shelf.kept else []
        steps += [partial(self._delete, self._spare[0])] if self._spare else []
        steps += [partial(self._restore, self._trashed[0])] if self._trashed else []
        return steps

    async def _register(self) -> None:
        """Begin, upload and complete, or give up on the way; a sweep may be faster."""
        content = str(uuid4()).encode() * self._dice.choice([1, 2000])
        files = {"model.pt": content, "config.json": b"{}"} if self._dice.random() < 0.2 else {"weights.bin": content}
        body = {"artifacts": declare(files), "multipart": self._dice.random() < 0.4}
        begun = await self._change(EventType.UPLOAD_BEGUN, "POST", "/versions", body)
        if begun.status_code != 201:
            assert begun.json()["code"] == "upload_not_found", begun.text
            return
        number = begun.json()["version"]
        self._shelf.files[number] = files
        if self._dice.random() < 0.15:
            with suppress(httpx.TransportError):
                await self._upload(number, files)
            await self._change(EventType.UPLOAD_ABANDONED, "DELETE", f"/versions/{number}/upload", version=number)
            return
        await self._finish(number, files)

    async def _finish(self, number: int, files: Mapping[str, bytes]) -> None:
        answer = None
        while answer is None or (answer.status_code == 409 and answer.json()["code"] == "upload_incomplete"):
            with suppress(httpx.TransportError):
                if not await self._upload(number, files):
                    return
            answer = await self._change(
                EventType.VERSION_COMPLETED, "POST", f"/versions/{number}/complete", version=number
            )
        if answer.status_code == 200:
            self._dice.choice([self._shelf.kept, self._spare]).append(number)
        else:
            assert answer.json()["code"] == "upload_not_found", answer.text

    async def _upload(self, number: int, files: Mapping[str, bytes]) -> bool:
        """Send what is missing, and be content with whatever storage says; whether there is such an upload."""
        status = await self._ask("GET", f"/versions/{number}/upload")
        if status.status_code == 404:
            return False
        for artifact in status.json()["artifacts"]:
            content = files[artifact["path"]]
            if artifact["multipart"] and not artifact["multipart"]["parts_done"]:
                body = {"path": artifact["path"], "parts": [{"number": 1, "sha256": sha256(content)}]}
                signed = await self._ask("POST", f"/versions/{number}/upload/parts", body)
                if signed.status_code == 200:
                    await self._api.send(signed.json()["parts"][0], content)
            elif artifact["upload"]:
                await self._api.send(artifact["upload"], content)
        return True

    async def _promote(self) -> None:
        number = self._dice.choice(self._shelf.kept)
        body: dict[str, Any] = {"stage": "production"}
        if self._dice.random() < 0.3:
            body["expected_production"] = self._dice.choice(self._shelf.kept)
        await self._change(EventType.STAGE_CHANGED, "PUT", f"/versions/{number}/stage", body, version=number)

    async def _roll_back(self) -> None:
        await self._change(EventType.ROLLED_BACK, "POST", "/rollback", {})

    async def _set_alias(self) -> None:
        alias, number = self._dice.choice(ALIASES), self._dice.choice(self._shelf.kept)
        path = f"/aliases/{alias}"
        await self._change(EventType.ALIAS_SET, "PUT", path, {"version": number}, version=number, alias=alias)

    async def _remove_alias(self) -> None:
        alias = self._dice.choice(ALIASES)
        await self._change(EventType.ALIAS_REMOVED, "DELETE", f"/aliases/{alias}", alias=alias)

    async def _edit(self) -> None:
        number = self._dice.choice(self._shelf.kept)
        body = {"description": str(uuid4())}
        await self._change(EventType.VERSION_EDITED, "PATCH", f"/versions/{number}", body, version=number)

    async def _delete(self, number: int) -> None:
        self._spare.remove(number)
        answer = await self._change(EventType.VERSION_DELETED, "DELETE", f"/versions/{number}", version=number)
        assert answer.status_code == 204, answer.text
        self._trashed.append(number)

    async def _restore(self, number: int) -> None:
        self._trashed.remove(number)
        answer = await self._change(EventType.VERSION_RESTORED, "POST", f"/versions/{number}/restore", version=number)
        if answer.status_code == 200:
            self._spare.append(number)
        else:
            assert answer.json()["code"] == "version_not_found", answer.text

    async def _change(
        self,
        kind: EventType,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: int | None = None,
        alias: str | None = None,
    ) -> httpx.Response:
        """Ask for a change under one key until there is an answer to it."""
        key, since = str(uuid4()), await self._generation()
        wanted = Mutation(kind=kind, model=self._shelf.model, version=version, alias=alias, key=key, since=since)
        self.mutations.append(wanted)
        while True:
            wanted.request_ids.append(str(uuid4()))
            headers = {"idempotency-key": key, "x-request-id": wanted.request_ids[-1]}
            answer = await self._once(method, path, body, headers)
            if answer is None:
                wanted.answers.append("unknown")
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            wanted.answers.append("ok" if answer.is_success else "refused")
            wanted.until = await self._generation()
            return answer

    async def _generation(self) -> int:
        answer = await self._ask("GET", "")
        return int(answer.json()["generation"]) if answer.status_code == 200 else 0

    async def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask for what changes nothing until there is an answer."""
        while (answer := await self._once(method, path, body)) is None:  # noqa: ASYNC110 -- the service cannot call
            await asyncio.sleep(PAUSE_SECONDS)
        return answer

    async def _once(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response | None:
        """The answer; `None` if there was none, or one that says to ask again."""
        try:
            answer = await self._api.request(method, f"/models/{self._shelf.model}{path}", json=body, headers=headers)
        except httpx.TransportError:
            return None
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        return None if answer.status_code == 503 else answer
