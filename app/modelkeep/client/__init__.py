"""The client: `RegistryClient` for code that awaits, `Registry` for code that does not."""

from modelkeep.client.blocking import Registry
from modelkeep.client.client import RegistryClient
from modelkeep.client.credentials import TokenProvider
from modelkeep.client.fetching import Downloaded
from modelkeep.client.progress import Progress, Step

__all__ = ["Downloaded", "Progress", "Registry", "RegistryClient", "Step", "TokenProvider"]
