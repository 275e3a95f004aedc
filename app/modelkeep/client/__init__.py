"""The client: `RegistryClient` for code that awaits, `Registry` for code that does not."""

from modelkeep.client.async_client import RegistryClient
from modelkeep.client.blocking_client import Registry
from modelkeep.client.progress import Progress, Step
from modelkeep.client.token_sources import TokenProvider
from modelkeep.client.version_downloader import Downloaded

__all__ = ["Downloaded", "Progress", "Registry", "RegistryClient", "Step", "TokenProvider"]
