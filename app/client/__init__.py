"""The client: `RegistryClient` for code that awaits, `Registry` for code that does not."""

from app.client.blocking import Registry
from app.client.client import RegistryClient
from app.client.credentials import TokenProvider
from app.client.fetching import Downloaded
from app.client.progress import Progress, Step

__all__ = ["Downloaded", "Progress", "Registry", "RegistryClient", "Step", "TokenProvider"]
