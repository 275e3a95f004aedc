"""Aliases on the wire."""

from typing import Self

from modelkeep.domain.models import Version
from modelkeep.domain.values import VersionNumber
from modelkeep.schemas.base import Answer, Comment, Request


class SetAlias(Request):
    """The version that an alias shall name."""

    version: VersionNumber
    comment: Comment | None = None


class AliasResponse(Answer):
    """An alias, and the version that it names."""

    model: str
    alias: str
    version: int
    commit: str

    @classmethod
    def of(cls, alias: str, version: Version) -> Self:
        """Shape the version that the alias names."""
        return cls(model=version.model, alias=alias, version=version.number, commit=version.commit)
