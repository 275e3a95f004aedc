"""The base of all errors."""

from dataclasses import dataclass

from modelkeep.kit.text import snake_case


@dataclass(eq=False)
class RegistryError(Exception):
    """The base of all that the registry refuses or fails at."""

    @classmethod
    def code(cls) -> str:
        """The stable name that programs may compare: `VersionNotFoundError` is `version_not_found`."""
        return snake_case(cls.__name__.removesuffix("Error"))
