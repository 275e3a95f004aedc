"""What all errors have in common."""

import re
from dataclasses import dataclass

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(eq=False)
class RegistryError(Exception):
    """The base of all that the registry refuses or fails at."""

    @classmethod
    def code(cls) -> str:
        """The stable name that programs may compare: `VersionNotFoundError` is `version_not_found`."""
        return _CAMEL.sub("_", cls.__name__.removesuffix("Error")).lower()
