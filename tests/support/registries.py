"""The registry without HTTP: services over a table and a store, as one process has them."""

import hashlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

from modelkeep.admin.wording import sentence
from modelkeep.bootstrap import build_services
from modelkeep.domain.access.principals import unrestricted
from modelkeep.domain.changes import StageRequest
from modelkeep.domain.events import Event, IdempotencyKey
from modelkeep.domain.models import Head, Version
from modelkeep.domain.uploads import Declared, Registration
from modelkeep.domain.values import UNSET, Digest, Ref, RefKind, Stage, Unset
from modelkeep.repositories.events import Events
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.table_scan import TableScan
from modelkeep.repositories.versions import Versions
from modelkeep.services.access.caller import Caller
from modelkeep.services.maintenance.checker import ConsistencyChecker
from modelkeep.settings import Settings
from modelkeep.storage.local.file_uploads import SignedPut
from modelkeep.storage.local.files import FileStore
from modelkeep.storage.table import Table
from tests.support.faults.storage import FaultyStore
from tests.support.upkeep import whole_history

PRODUCTION = Ref(RefKind.PRODUCTION, "production")


def caller(*, key: str | None = None) -> Caller:
    """Somebody; with a `key`, one whose requests are recognised when they come again."""
    idempotency = IdempotencyKey(key, "body") if key else None
    return Caller(principal=unrestricted("ci", rule="test"), request_id=str(uuid4()), idempotency=idempotency)


class Registry:
    """One process. Two of them over one table and one store have no lock in common."""

    def __init__(self, table: Table, store: FileStore | FaultyStore) -> None:
        self._table = table
        self._store = store
        self.services = build_services(table, store, Settings(backend="local", auth="none"))

    async def begin(self, model: str, content: bytes = b"weights") -> int:
        """Reserve a number."""
        declared = Declared(path="model.pt", size=len(content), sha256=Digest(hashlib.sha256(content).hexdigest()))
        registration = Registration(artifacts=[declared])
        return (await self.services.uploads.begin(model, registration, caller())).number

    async def send(self, model: str, number: int, content: bytes = b"weights") -> None:
        """Do what the upload's URLs say."""
        status = await self.services.uploads.status(model, number, caller())
        for signed in [artifact.upload for artifact in status.artifacts if artifact.upload]:
            parts = urlsplit(signed.url)
            key = parts.path.removeprefix("/local-store/")
            delivery = SignedPut.from_parameters(key, self._store.check(signed.method, key, parts.query))
            await self._store.receive(delivery, _chunks(content))

    async def register(self, model: str) -> int:
        """Begin, upload, complete; answer the number."""
        number = await self.begin(model)
        await self.send(model, number)
        return (await self.services.uploads.complete(model, number, caller())).number

    async def promote(
        self, model: str, number: int, *, key: str | None = None, expected: int | Unset | None = UNSET
    ) -> Version:
        request = StageRequest(stage=Stage.PRODUCTION, expected_production=expected)
        return await self.services.stages.move(model, number, request, caller(key=key))

    async def production(self, model: str) -> Version:
        """Who a serving container is told is production."""
        return await self.services.versions.get(model, PRODUCTION, caller())

    async def head(self, model: str) -> Head | None:
        """The head as it is kept."""
        return await Heads(self._table).find(model)

    async def stages(self, model: str) -> dict[int, Stage]:
        """The stage that each version's item has, whatever the head says."""
        return {version.number: version.stage async for version in Versions(self._table).walk(model)}

    async def history(self, model: str) -> list[Event]:
        """All events."""
        return await whole_history(self._table, model)

    async def faults(self) -> list[str]:
        """What `modelkeep check` finds."""
        table = self._table
        checker = ConsistencyChecker(Heads(table), Versions(table), Events(table), TableScan(table), self._store)
        return [sentence(fault) async for fault in checker.check()]


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content
