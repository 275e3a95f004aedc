"""Concurrent clients of a deployment that write down what they asked, what they were told, and when."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import Any, Final
from uuid import uuid4

import httpx

from tests.support.api import Api, declare
from tests.support.histories.linearizability import Operation
from tests.support.reference_registry import (
    PRODUCTION,
    Begin,
    Complete,
    Delete,
    Expected,
    Move,
    NoPrecondition,
    Read,
    RemoveAlias,
    Request,
    Resolve,
    RollBack,
    SetAlias,
    Told,
)

ATTEMPTS: Final = 12
"""How often a request with a key is sent until its outcome is known."""

LONGEST_PAUSE: Final = 0.01
STALE: Final = "x-registry-stale"
FILES: Final = {"model.pt": b"weights"}
ARRIVED: Final = {httpx.codes.OK, httpx.codes.PRECONDITION_FAILED}
"""What storage says of bytes that it has, be it by an attempt whose answer was lost."""

NOT_TAKEN: Final = {httpx.codes.CONFLICT, httpx.codes.INTERNAL_SERVER_ERROR, httpx.codes.SERVICE_UNAVAILABLE}
"""What S3 says to a request that is to be sent again."""


class NoEffectError(Exception):
    """By the registry's own word nothing was changed; or the answer counts for nothing."""


class UnknownError(Exception):
    """What became of the request was not told."""


@dataclass(slots=True)
class Record:
    """What clients wrote down. `stale` answers say so themselves, and are held to nothing; lists may lack a model."""

    operations: list[Operation] = field(default_factory=list)
    requests: int = 0
    stale: int = 0
    without_effect: int = 0
    unlisted: int = 0
    abandoned: set["asyncio.Task[httpx.Response]"] = field(default_factory=set)
    moments: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def unknown(self) -> int:
        """How many operations are open."""
        return sum(operation.is_open for operation in self.operations)


class Client:
    """Sends each request to any of the instances, as a load balancer does, and writes down what came of it.

    With `abandons`, it stops waiting for so many of the answers, while the requests go on.
    """

    def __init__(self, apis: Sequence[Api], record: Record, number: int, *, seed: int, abandons: float = 0) -> None:
        self.chance = random.Random(f"{seed}/{number}")
        self._apis = apis
        self._record = record
        self._number = number
        self._abandons = abandons

    async def ask(self, model: str, asked: Request, *, key: str | None = None) -> Any:
        """What was told, and as which operation that counts: `None` if nobody knows, or nothing was done.

        With a `key` the request is sent until its outcome is known. A refusal after an attempt of unknown outcome may
        be one of its repeat only, so it settles nothing.
        """
        invoked, requests, body = next(self._record.moments), list[str](), None
        is_open, told = False, None
        for _ in range(ATTEMPTS if key else 1):
            requests.append(str(uuid4()))
            try:
                told, body = await self._attempt(model, asked, key, requests[-1])
                break
            except UnknownError:
                is_open = True
            except NoEffectError:
                pass
            await asyncio.sleep(self.chance.uniform(0, LONGEST_PAUSE))
        if told and told["code"] and is_open:
            told = None
        if told or is_open:
            answered = next(self._record.moments) if told else inf
            self._record.operations.append(
                Operation(
                    model=model,
                    client=self._number,
                    asked=asked,
                    told=told,
                    invoked=invoked,
                    answered=answered,
                    requests=requests,
                )
            )
        return body if told and not told["code"] else None

    async def deliver(self, upload: Mapping[str, Any]) -> None:
        """Do what the upload's URLs say until storage has the bytes, unless that was done."""
        for artifact in upload["artifacts"]:
            if artifact["state"] == "missing":
                await self._send(artifact["upload"], FILES[artifact["path"]])

    async def _send(self, signed: Mapping[str, Any], content: bytes) -> None:
        for _ in range(ATTEMPTS):
            with suppress(httpx.TransportError):
                answer = await self.chance.choice(self._apis).send(signed, content)
                if answer.status_code in ARRIVED:
                    return
                assert answer.status_code in NOT_TAKEN, answer.text
        raise AssertionError("storage does not take the bytes")

    async def _attempt(self, model: str, asked: Request, key: str | None, request: str) -> tuple[Told, Any]:
        self._record.requests += 1
        method, path, body = wire(model, asked)
        headers = {"x-request-id": request}
        if key:
            headers["idempotency-key"] = key
        if isinstance(asked, Resolve) and asked.known:
            headers["if-none-match"] = f'"{asked.known}"'
        sending = self.chance.choice(self._apis).request(method, path, json=body, headers=headers)
        answer = await self._answered(asyncio.create_task(sending), asked)
        if STALE in answer.headers:
            self._record.stale += 1
            raise NoEffectError
        found = answer.json() if answer.content else {}
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            if found["code"] == "outcome_unknown":
                raise UnknownError
            assert found["code"] in {"contention", "unavailable"}, answer.text
            self._record.without_effect += 1
            raise NoEffectError
        assert answer.status_code < 500, answer.text
        if "items" in found:
            found = self._listed(found["items"])
        assert found.get("model", model) == model
        return told_by(asked, answer.status_code, answer.headers, found, keyed=key is not None), found

    def _listed(self, found: Sequence[Any]) -> Any:
        if not found:
            self._record.unlisted += 1
            raise NoEffectError
        (only,) = found
        return only

    async def _answered(self, sending: "asyncio.Task[httpx.Response]", asked: Request) -> httpx.Response:
        if self.chance.random() >= self._abandons:
            return await sending
        self._record.abandoned.add(sending)
        done, _ = await asyncio.wait([sending], timeout=self.chance.uniform(0, 2 * LONGEST_PAUSE))
        if done:
            return sending.result()
        raise NoEffectError if asked.is_read else UnknownError


def wire(model: str, asked: Request) -> tuple[str, str, Any]:
    """Method, path, and body."""
    if isinstance(asked, Read) and asked.in_list:
        return "GET", f"/models?prefix={model}", None
    method, path, body = _about_a_model(asked)
    return method, f"/models/{model}{path}", body


def _about_a_model(asked: Request) -> tuple[str, str, Any]:
    route: tuple[str, str, Any]
    match asked:
        case Resolve(ref=ref):
            route = "GET", f"/versions/{ref}/download", None
        case Begin():
            route = "POST", "/versions", {"artifacts": declare(FILES)}
        case Complete(number=number):
            route = "POST", f"/versions/{number}/complete", None
        case Delete(number=number):
            route = "DELETE", f"/versions/{number}", None
        case SetAlias(alias=alias, number=number):
            route = "PUT", f"/aliases/{alias}", {"version": number}
        case RemoveAlias(alias=alias):
            route = "DELETE", f"/aliases/{alias}", None
        case RollBack(expected=expected):
            route = "POST", "/rollback", _precondition(expected)
        case Move(number=number, stage=stage, expected=expected, only_newer=only_newer):
            move = {"stage": stage, "only_newer": only_newer, **_precondition(expected)}
            route = "PUT", f"/versions/{number}/stage", move
        case _:
            assert isinstance(asked, Read)
            route = "GET", "", None
    return route


def _precondition(expected: Expected) -> dict[str, int | None]:
    return {} if isinstance(expected, NoPrecondition) else {"expected_production": expected}


def told_by(asked: Request, status: int, headers: Mapping[str, str], body: Mapping[str, Any], *, keyed: bool) -> Told:
    """What an answer says in the words of the specification."""
    if "code" in body:
        return {name: body[name] for name in ("code", "holder") if name in body}
    if status == httpx.codes.NOT_MODIFIED:
        assert isinstance(asked, Resolve)
        assert headers["etag"] == f'"{asked.known}"'
        return {"code": None, "version": int(headers["etag"].strip('"')[-8:], 16)}
    if isinstance(asked, Resolve):
        assert headers["etag"] == f'"{body["commit"]}"'
    return {"code": None, **_shown(asked, body, keyed=keyed)}


def _shown(asked: Request, body: Mapping[str, Any], *, keyed: bool) -> dict[str, object]:
    """A version in the answer to a repeat is as it is now, not as it was made: with a key only its number counts."""
    match asked:
        case Resolve():
            shown = {name: body[name] for name in ("version", "generation")}
            return shown | {"is_production": body["stage"] == PRODUCTION}
        case Read():
            shown = {name: body[name] for name in ("generation", "aliases")}
            return shown | {"latest": body["latest_version"], "production": body["production_version"]}
        case Move() if not keyed:
            return {name: body[name] for name in ("version", "stage", "aliases")}
        case RemoveAlias() | Delete():
            return {}
        case _:
            return {"version": body["version"]}
