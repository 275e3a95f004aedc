"""A walk through the whole API in bad weather: each step must come to its end, once, whatever befalls it on the way."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import httpx

from tests.support.api import Api, check_problem, declare, serving, sha256
from tests.support.backends import aws_environment, environment, prepare
from tests.support.faults.aws import Fault
from tests.support.faults.dynamodb_proxy import DynamoDbProxy, before_dynamodb
from tests.support.faults.s3_proxy import S3Proxy, before_s3
from tests.support.servers import AwsServer
from tests.support.upkeep import Storage, looking_into

REPEATS: Final = 4
PATIENCE: Final = 1.5
"""Seconds that a caller of a presigned URL waits."""

PART: Final = 8
SMALL: Final = {"model.pt": b"the first weights", "config.json": b"{}"}
LARGE: Final = {"model.pt": b"parts of 8 bytes, three"}
UNSETTLED: Final = frozenset({"outcome_unknown", "unavailable", "contention"})


class Storm:
    """A plan: while it rages, the first requests to each operation meet the fault, as many as it is `deep`."""

    def __init__(self) -> None:
        self._fault = Fault.NONE
        self._operations: Collection[str] | None = None
        self._deep = 0
        self._met: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()

    def __call__(self, operation: str, _: Mapping[str, Any]) -> Fault:
        self.seen[operation] += 1
        chosen = self._operations is None or operation in self._operations
        if not chosen or not self._fault.befalls(operation) or self._met[operation] >= self._deep:
            return Fault.NONE
        self._met[operation] += 1
        return self._fault

    @contextmanager
    def raging(self, fault: Fault, *, deep: int, operations: Collection[str] | None) -> Iterator[None]:
        """Rage until the block ends."""
        self._fault, self._deep, self._operations = fault, deep, operations
        self._met.clear()
        try:
            yield
        finally:
            self._deep = 0


@dataclass(frozen=True)
class Site:
    """A registry with a proxy before its table and one before its bucket, and a way around both."""

    api: Api
    storage: Storage
    dynamodb: DynamoDbProxy
    s3: S3Proxy
    storm: Storm

    async def quiesce(self) -> None:
        """Return once all that was late has happened."""
        await self.dynamodb.quiesce()
        await self.s3.quiesce()


@asynccontextmanager
async def site(server: AwsServer) -> AsyncIterator[Site]:
    """Serve the app in this process until the block ends."""
    variables, storm = aws_environment(server), Storm()
    with environment(variables) as settings:
        await prepare(settings)
        async with (
            looking_into(settings) as storage,
            before_dynamodb(server.endpoint, storm) as dynamodb,
            before_s3(server, storm) as s3,
        ):
            s3.referee.smallest_part = PART
            between = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb.endpoint, "AWS_ENDPOINT_URL_S3": s3.endpoint}
            with environment(variables | between | {"MODELKEEP_S3_PUBLIC_URL": s3.endpoint}) as changed:
                async with serving(changed) as api:
                    yield Site(api, storage, dynamodb, s3, storm)


class Walk:
    """One model's life. Every step meets the fault, and is repeated in good weather until it is settled."""

    def __init__(self, site: Site, fault: Fault, *, deep: int = 1, operations: Collection[str] | None = None) -> None:
        self.model = f"{fault.name.lower().replace('_', '-')}-{uuid4().hex[:8]}"
        self.told: Counter[str] = Counter()
        self._site = site
        self._api = site.api
        self._fault = fault
        self._deep = deep
        self._operations = operations

    async def go(self) -> None:
        """From a first version to a deleted model."""
        await self.register(1, SMALL, multipart=False)
        await self.promote(1)
        await self.register(2, LARGE, multipart=True)
        await self.promote(2)
        assert await self.fetch("production") == LARGE
        await self.ask("PUT", "/aliases/champion", {"version": 2})
        assert (await self.ask("POST", "/rollback", {}))["version"] == 1
        assert await self.fetch("production") == SMALL
        assert await self.fetch("champion") == LARGE
        await self.ask("DELETE", "/aliases/champion", status=204)
        await self.ask("DELETE", "/versions/2", status=204)
        await self.ask("POST", "/versions/2/restore")
        await self.ask("PATCH", "/versions/2", {"metrics": {"f1": 0.9}})
        assert (await self.begin(LARGE, multipart=True, reuse=False))["version"] == 3
        assert [each["version"] for each in (await self.ask("GET", "/uploads"))["items"]] == [3]
        await self.ask("DELETE", "/versions/3/upload", status=204)
        await self.look_around()
        await self.ask("PUT", "/versions/1/stage", {"stage": "archived"})
        await self.ask("DELETE", "", status=204)

    async def look_around(self) -> None:
        """All that is listed is as it was left."""
        versions = {each["version"]: each["stage"] for each in (await self.ask("GET", "/versions"))["items"]}
        assert versions == {1: "production", 2: "archived"}
        staged = (await self.ask("GET", "/versions?stage=production"))["items"]
        assert [each["version"] for each in staged] == [1]
        assert (await self.ask("GET", ""))["production_version"] == 1
        found = await self.settle("GET", f"/models?prefix={self.model}")
        assert [each["model"] for each in found["items"]] == [self.model]

    async def register(self, number: int, files: Mapping[str, bytes], *, multipart: bool) -> None:
        begun = await self.begin(files, multipart=multipart)
        assert begun["version"] == number
        for artifact in begun["artifacts"]:
            content = files[artifact["path"]]
            for signed, piece in await self.pieces(number, artifact, content):
                await self.send(signed, piece)
        completed = await self.settle(
            "POST", f"/models/{self.model}/versions/{number}/complete", lost=lambda: self.send_lost(number, files)
        )
        assert (completed["version"], completed["stage"]) == (number, "staging")

    async def send_lost(self, number: int, files: Mapping[str, bytes]) -> None:
        """Send the parts again that S3 will not assemble: it wants another multipart upload after a conflict."""
        begun = await self._api.ask("GET", f"/{self.model}/versions/{number}/upload")
        assert [artifact["state"] for artifact in begun["artifacts"]] == ["missing"]
        await self._api.upload(begun, files)

    async def begin(self, files: Mapping[str, bytes], *, multipart: bool, reuse: bool = True) -> Any:
        body = {"artifacts": declare(files), "multipart": multipart, "reuse": reuse}
        return await self.ask("POST", "/versions", body, status=201)

    async def pieces(self, number: int, artifact: Mapping[str, Any], content: bytes) -> list[tuple[Any, bytes]]:
        """The presigned URLs of an artifact, each with its bytes."""
        if artifact["upload"]:
            return [(artifact["upload"], content)]
        cut = [content[start : start + PART] for start in range(0, len(content), PART)]
        assert artifact["multipart"]["part_count"] == len(cut)
        parts = [{"number": n, "sha256": sha256(piece)} for n, piece in enumerate(cut, start=1)]
        asked = {"path": artifact["path"], "parts": parts}
        signed = await self.ask("POST", f"/versions/{number}/upload/parts", asked)
        return list(zip(signed["parts"], cut, strict=True))

    async def promote(self, number: int) -> None:
        await self.ask("PUT", f"/versions/{number}/stage", {"stage": "production"})

    async def ask(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Settle a request about the model."""
        return await self.settle(method, f"/models/{self.model}{path}", body, status=status)

    async def settle(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int = 200,
        lost: Callable[[], Awaitable[None]] | None = None,
    ) -> Any:
        """Ask in the storm, and then in good weather with the same key; what was said to have failed had no effect.

        `lost` is done between, if S3 has refused the parts of an upload for a conflict.
        """
        headers = {} if method == "GET" else {"idempotency-key": str(uuid4())}
        before = await self.generation()
        with self._site.storm.raging(self._fault, deep=self._deep, operations=self._operations):
            answer = await self._api.request(method, path, json=body, headers=headers)
        for _ in range(REPEATS):
            self.told[_word(answer)] += 1
            if answer.status_code == status:
                return answer.json() if answer.content else None
            self._expect_unsettled(answer)
            await self._site.quiesce()
            if answer.json()["code"] != "outcome_unknown":
                assert await self.generation() == before, "what was said to have failed took effect"
            if lost and answer.json()["code"] == "upload_incomplete":
                await lost()
            answer = await self._api.request(method, path, json=body, headers=headers)
        raise AssertionError(f"{method} {path} is not settled: {answer.text}")

    def _expect_unsettled(self, answer: httpx.Response) -> None:
        if answer.status_code == 409 and self._fault is Fault.CONFLICT:
            check_problem(answer, 409, "upload_incomplete")
        else:
            check_problem(answer, 503, answer.json().get("code", ""))
            assert answer.json()["code"] in UNSETTLED

    async def send(self, signed: Mapping[str, Any], content: bytes) -> None:
        """Do what a presigned URL says until storage has the bytes: now, or before an answer that was lost."""
        with self._site.storm.raging(self._fault, deep=self._deep, operations=self._operations):
            status = await self._attempt(signed, content)
        if status != 200:
            await self._site.quiesce()
            assert (await self._api.send(signed, content)).status_code in {200, 412}

    async def _attempt(self, signed: Mapping[str, Any], content: bytes) -> int | None:
        with suppress(httpx.TransportError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                return (await self._api.send(signed, content)).status_code
        return None

    async def fetch(self, ref: str) -> dict[str, bytes]:
        """Read a version through its presigned URLs, in the storm and after it."""
        found = await self.ask("GET", f"/versions/{ref}/download")
        files = {}
        for artifact in found["artifacts"]:
            with self._site.storm.raging(self._fault, deep=self._deep, operations=self._operations):
                await self._attempt(artifact, b"")
            answer = await self._api.send(artifact)
            assert answer.status_code == 200, answer.text
            files[artifact["path"]] = answer.content
        return files

    async def generation(self) -> int:
        """The number of the model's latest event, asked of the table itself."""
        head = await self._site.storage.checker()._heads.find(self.model)
        return head.generation if head else 0

    async def history(self) -> list[tuple[Any, ...]]:
        """What happened, without who and when."""
        events = await self._api.events(self.model)
        assert [event["generation"] for event in events] == list(range(1, len(events) + 1))
        return [(event["type"], event["version"], event["from"], event["to"]) for event in events]


def _word(answer: httpx.Response) -> str:
    return "done" if answer.is_success else str(answer.json()["code"])
