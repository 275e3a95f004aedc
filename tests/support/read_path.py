"""The read path of one process, over a table whose reads are counted and can fail."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from modelkeep.domain.downloads import ANY_COMMIT, Download
from modelkeep.domain.limits import ServiceLimits
from modelkeep.domain.values import Ref
from modelkeep.repositories.heads import Heads
from modelkeep.repositories.ledger import Ledger
from modelkeep.repositories.versions import Versions
from modelkeep.services.reading.downloads import DownloadService
from modelkeep.services.reading.head_poller import HeadPoller
from modelkeep.services.reading.presigned_urls import PresignedUrlCache
from modelkeep.services.reading.resolver import Resolver
from modelkeep.services.reading.stale_cache import StaleCache
from modelkeep.storage.objects import ObjectStore
from modelkeep.storage.table import Item, ItemKey, Table
from tests.support.faults.storage import FaultyTable
from tests.support.registries import PRODUCTION, caller

MODEL: Final = "fraud-detector"
HOUR: Final = timedelta(hours=1)
LIMITS: Final = ServiceLimits(
    upload_url_ttl=HOUR, download_url_ttl=HOUR, upload_ttl=HOUR, trash_ttl=HOUR, multipart_threshold=0
)


class CountingTable(FaultyTable):
    """Counts the reads by the name of the call."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._counts: Counter[str] = Counter()

    async def get(self, key: ItemKey) -> Item | None:
        self._counts["get"] += 1
        return await super().get(key)

    async def get_many(self, keys: Sequence[ItemKey]) -> Sequence[Item | None]:
        self._counts["get_many"] += 1
        return await super().get_many(keys)

    async def _read(self) -> None:
        self._counts["all"] += 1
        await super()._read()

    def reads(self) -> dict[str, int]:
        """The reads since the last call of this."""
        reads, self._counts = self._counts, Counter()
        return dict(reads)


class ReadPath:
    """A process: its caches are empty and its own, its table and store are shared."""

    def __init__(self, table: Table, store: ObjectStore) -> None:
        self.table = CountingTable(table)
        self.stale_answers = 0
        self.stale_cache = StaleCache(900, self._count)
        self.resolver = Resolver(Ledger(self.table), Heads(self.table), Versions(self.table), self.stale_cache)
        self.poller = HeadPoller(self.resolver.find_head, lambda: False)
        urls = PresignedUrlCache(store, LIMITS)
        self.downloads = DownloadService(self.resolver, self.stale_cache, self.poller, urls)

    async def locate(self, ref: Ref = PRODUCTION, model: str = MODEL) -> Download:
        """Resolve a ref, without URLs."""
        return await self.downloads.locate(model, ref, caller(), known_commits=ANY_COMMIT)

    async def number(self, ref: Ref = PRODUCTION) -> int:
        """The version that a ref resolves to."""
        return (await self.locate(ref)).version.number

    def drop_versions(self) -> None:
        """Do what happens when other versions have used up the memory of the cache."""
        self.resolver._versions_cache.clear()

    def _count(self) -> None:
        self.stale_answers += 1
