"""The client of a registry: `RegistryClient` blocks, `AsyncRegistryClient` is for code that awaits."""

from modelkeep.client.async_client import AsyncRegistryClient
from modelkeep.client.blocking_client import RegistryClient
from modelkeep.client.progress import Progress, Step
from modelkeep.client.token_sources import TokenProvider
from modelkeep.client.version_downloader import DownloadResult

__all__ = ["AsyncRegistryClient", "DownloadResult", "Progress", "RegistryClient", "Step", "TokenProvider"]
