"""What repository ids and revisions of the Hub mean here."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Literal

from modelkeep.domain.errors import ModelNotFoundError, VersionNotFoundError
from modelkeep.domain.models import Version
from modelkeep.domain.values import Ref, RefKind, Stage, check_model_name, parse_ref

MAIN: Final = "main"
_HEAD: Final = "HEAD"
"""What `modelInfo` of @huggingface/hub 2.17.5 asks for if it is given no revision."""

ANY_OWNER: Final = "*"
_DEFAULT_OWNER: Final = "registry"
_OTHER_KINDS: Final = frozenset({"datasets", "spaces"})
"""What is below these is no model."""


@dataclass(frozen=True, slots=True)
class Naming:
    """`NAME` and `OWNER/NAME` are the same model for each of the `owners`; `main` is the ref that `main` stands for."""

    owners: tuple[str, ...] = (_DEFAULT_OWNER,)
    main: Literal["production", "latest"] = "production"

    def model(self, repository: str) -> str:
        """The model that a repository id names. Raises `ModelNotFoundError` for another owner, and for no name."""
        owner, slash, name = repository.rpartition("/")
        try:
            model = check_model_name(name)
        except ValueError:
            raise ModelNotFoundError(repository) from None
        if slash and not self.has_owner(owner):
            raise ModelNotFoundError(repository)
        return model

    def has_owner(self, owner: str) -> bool:
        """Whether models are found below this owner."""
        return owner in self.owners or (ANY_OWNER in self.owners and owner not in _OTHER_KINDS)

    def repository(self, model: str, owner: str = "") -> str:
        """The id with an owner, which all clients accept."""
        first = next((each for each in self.owners if each != ANY_OWNER), _DEFAULT_OWNER)
        return f"{owner or first}/{model}"

    def main_of(self, versions: Sequence[Version]) -> Version | None:
        """The version that `main` names, of all versions, newest first."""
        if self.main == "latest":
            return max(versions, key=attrgetter("number"), default=None)
        return next((version for version in versions if version.stage is Stage.PRODUCTION), None)

    def ref(self, model: str, revision: str) -> Ref:
        """The ref that a revision is. Raises `VersionNotFoundError` if it cannot be one."""
        try:
            return Ref(RefKind(self.main), self.main) if revision in {MAIN, _HEAD} else parse_ref(revision)
        except ValueError:
            raise VersionNotFoundError(model, revision) from None
