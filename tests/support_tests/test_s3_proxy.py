"""What the proxy before S3 claims of each fault: its effect on the bucket, and what the driver makes of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from unittest import mock
from uuid import uuid4

import httpx
import pytest
from aiobotocore.config import AioConfig
from botocore.retries.standard import ExponentialBackoff

from modelkeep.domain.errors import ObjectExistsError
from modelkeep.storage.aws import s3_clients
from modelkeep.storage.aws.s3 import S3Store
from modelkeep.storage.aws.s3_setup import set_up_bucket
from modelkeep.storage.objects import (
    MultipartGoneError,
    MultipartRefusedError,
    ObjectStore,
    ObjectStoreError,
    StoredPart,
    StoreUnavailableError,
)
from tests.support.faults.aws import Fault, always, in_turn, no_faults
from tests.support.faults.s3_proxy import S3Proxy, before_s3
from tests.support.servers import AwsServer
from tests.support.stores import digest_of, presign, presign_part, read_all, send

pytest_plugins = ["tests.support.store_fixtures"]

CONTENT = b"the bytes of a model"
COMPLETE = "CompleteMultipartUpload"
ANSWERED = {Fault.ERROR_500: 500, Fault.ERROR_500_AFTER: 500, Fault.THROTTLED: 503, Fault.CONFLICT: 409}
UNHARMED = {Fault.NONE, Fault.DELAYED}


class Doors:
    """One bucket, as it is reached without a proxy, through it, and by somebody who waits 0.3 seconds at most."""

    def __init__(self, behind: S3Store, proxy: S3Proxy, store: S3Store, hasty: S3Store) -> None:
        self.behind = behind
        self.proxy = proxy
        self.store = store
        self.hasty = hasty

    def through(self, fault: Fault) -> S3Store:
        """The way for whoever will meet this fault."""
        return self.hasty if fault is Fault.HANGING else self.store


@pytest.fixture(scope="module")
async def doors(ministack: AwsServer) -> AsyncIterator[Doors]:
    bucket = f"proxied-{uuid4().hex[:12]}"

    async def opened(endpoint: str, patience: float = 20) -> S3Store:
        config = s3_clients.S3_CONFIG.merge(AioConfig(read_timeout=patience))
        opening = S3Store.open(ministack.session(), bucket, public_url=proxy.endpoint, endpoint_url=endpoint)
        with mock.patch.object(s3_clients, "S3_CONFIG", config):
            return await stack.enter_async_context(opening)

    async with before_s3(ministack) as proxy, AsyncExitStack() as stack:
        behind = await opened(ministack.endpoint)
        assert [sentence async for sentence in set_up_bucket(behind._client, bucket, ministack.region)]
        yield Doors(behind, proxy, await opened(proxy.endpoint), await opened(proxy.endpoint, 0.3))


@pytest.fixture
def proxy(doors: Doors) -> Iterator[S3Proxy]:
    doors.proxy.requests.clear()
    yield doors.proxy
    doors.proxy.plan = no_faults


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pause: Callable[..., float] = lambda *_: 0  # noqa: E731 -- named for its type
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", pause)


def befalling(operation: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", [fault for fault in Fault if fault.befalls(operation)])


async def outcome(call: Awaitable[object]) -> type[Exception] | None:
    try:
        await call
    except (ObjectStoreError, ObjectExistsError) as error:
        return type(error)
    return None


async def parts_of(http: httpx.AsyncClient, doors: Doors, key: str) -> tuple[str, list[StoredPart]]:
    """One part that has arrived."""
    multipart = await doors.behind.begin(key)
    answer = await send(http, await presign_part(doors.behind, key, multipart, 1, CONTENT), CONTENT)
    assert answer.status_code == 200
    return multipart, list(await doors.behind.list_parts(key, multipart))


async def blocks() -> AsyncIterator[bytes]:
    yield CONTENT


def put(store: ObjectStore, key: str) -> Awaitable[None]:
    return store.put(key, blocks(), size=len(CONTENT), sha256=digest_of(CONTENT))


@befalling("HeadObject")
async def test_a_question_has_its_answer_or_is_unavailable(
    doors: Doors, proxy: S3Proxy, key: str, fault: Fault
) -> None:
    await put(doors.behind, key)
    store = doors.through(fault)
    proxy.plan = in_turn([fault])
    assert (await store.stat(key)) == (await doors.behind.stat(key))
    proxy.plan = always(fault)
    assert await outcome(store.stat(key)) is (None if fault in UNHARMED else StoreUnavailableError)


@befalling(COMPLETE)
async def test_a_completion_that_always_meets_a_fault(
    http: httpx.AsyncClient, doors: Doors, proxy: S3Proxy, key: str, fault: Fault
) -> None:
    multipart, parts = await parts_of(http, doors, key)
    proxy.plan = always(fault, operations=[COMPLETE])
    meaning = await outcome(doors.through(fault).complete(key, multipart, parts))
    await proxy.quiesce()
    assert meaning is {Fault.CONFLICT: MultipartGoneError}.get(
        fault, None if fault in UNHARMED else StoreUnavailableError
    )
    assert (await doors.behind.stat(key) is not None) == fault.has_effect
    assert set(proxy.met(COMPLETE)) == {fault}


@befalling(COMPLETE)
async def test_a_completion_that_meets_a_fault_once_stands_whatever_was_said(
    http: httpx.AsyncClient, doors: Doors, proxy: S3Proxy, key: str, fault: Fault
) -> None:
    multipart, parts = await parts_of(http, doors, key)
    proxy.plan = in_turn([fault], operations=[COMPLETE])
    meaning = await outcome(doors.through(fault).complete(key, multipart, parts))
    assert meaning in {None, MultipartGoneError, MultipartRefusedError}
    assert fault.has_effect or meaning is (MultipartGoneError if fault is Fault.CONFLICT else None)
    stands = await doors.behind.stat(key) is not None
    assert stands == (fault is not Fault.CONFLICT)


@befalling("PutObject")
async def test_an_object_that_always_meets_a_fault(doors: Doors, proxy: S3Proxy, key: str, fault: Fault) -> None:
    proxy.plan = always(fault, operations=["PutObject"])
    meaning = await outcome(put(doors.through(fault), key))
    await proxy.quiesce()
    assert meaning is {Fault.CONFLICT: ObjectExistsError}.get(
        fault, None if fault in UNHARMED else StoreUnavailableError
    )
    assert (await doors.behind.stat(key) is not None) == fault.has_effect


@befalling("PutObject")
async def test_a_caller_of_a_url_meets_it_too(
    http: httpx.AsyncClient, doors: Doors, proxy: S3Proxy, key: str, fault: Fault
) -> None:
    proxy.plan = lambda _, parameters: fault if parameters["presigned"] else Fault.NONE
    url = await presign(doors.store, key, CONTENT)
    try:
        sending = http.put(
            url.url, content=CONTENT, headers=dict(url.headers), timeout=0.5 if fault is Fault.HANGING else 30
        )
        status = (await sending).status_code
    except httpx.TransportError:
        status = None
    await proxy.quiesce()
    assert status == (200 if fault in UNHARMED else ANSWERED.get(fault))
    assert (await doors.store.stat(key) is not None) == fault.has_effect
    if fault.has_effect:
        assert await read_all(doors.behind, key) == CONTENT


async def test_nothing_of_all_that_was_against_the_rules(doors: Doors) -> None:
    assert doors.proxy.violations == []
