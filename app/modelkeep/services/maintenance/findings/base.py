"""What all findings have in common."""

from dataclasses import dataclass

from modelkeep.kit.text import snake_case


@dataclass(frozen=True)
class Finding:
    """The base of all findings."""

    @classmethod
    def code(cls) -> str:
        """The stable name that programs may compare: of `MissingObject` it is `missing_object`."""
        return snake_case(cls.__name__)


@dataclass(frozen=True)
class ModelFinding(Finding):
    """Something about a model."""

    model: str


@dataclass(frozen=True)
class VersionFinding(ModelFinding):
    """Something about a version, or about an upload that has its number."""

    version: int


@dataclass(frozen=True)
class ArtifactFinding(VersionFinding):
    """Something about an artifact and its object."""

    path: str
    key: str
