"""The present state of the model does not allow it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelkeep.domain.errors.base import RegistryError


@dataclass(eq=False)
class ConflictError(RegistryError):
    """The present state does not allow it."""


@dataclass(eq=False)
class UploadIncompleteError(ConflictError):
    """Artifacts have not arrived; `missing` lists `path`, and `parts` of those that go up in parts."""

    model: str
    version: int
    missing: Sequence[dict[str, Any]]

    def __str__(self) -> str:
        first = self.missing[0]["path"]
        return (
            f"{len(self.missing)} artifact(s) of '{self.model}' version {self.version} have not arrived, '{first}'"
            " among them. Upload what is missing, each with the headers of its URL and a known length, and complete"
            " again."
        )


@dataclass(eq=False)
class VersionInUseError(ConflictError):
    """The version is in production or has aliases."""

    model: str
    version: int
    stage: str
    aliases: Sequence[str]

    def __str__(self) -> str:
        holds = [*([self.stage] if self.stage == "production" else []), *self.aliases]
        return (
            f"'{self.model}' version {self.version} answers to {', '.join(holds)}. Move those to another version first."
        )


@dataclass(eq=False)
class VersionNotDeletedError(ConflictError):
    """The version is not in the trash, but in a stage."""

    model: str
    version: int
    stage: str

    def __str__(self) -> str:
        return (
            f"'{self.model}' version {self.version} is not deleted: it is in stage {self.stage}. There is nothing to"
            " restore."
        )


@dataclass(eq=False)
class NotNewerError(ConflictError):
    """Production would move to a lower number although `only_newer` was sent."""

    model: str
    version: int
    holder: int

    def __str__(self) -> str:
        return (
            f"Version {self.holder} of '{self.model}' is production and newer than {self.version}. Leave only_newer"
            " out to go back on purpose."
        )


@dataclass(eq=False)
class ModelNotEmptyError(ConflictError):
    """The model still has a production version or aliases."""

    model: str
    production_version: int | None
    aliases: Sequence[str]

    def __str__(self) -> str:
        return (
            f"'{self.model}' still has a production version or aliases. Archive the production version and remove the"
            " aliases first."
        )


@dataclass(eq=False)
class NoEarlierProductionError(ConflictError):
    """No earlier production version is left to roll back to."""

    model: str

    def __str__(self) -> str:
        return f"No earlier production version of '{self.model}' is left to roll back to. Promote one by its number."


@dataclass(eq=False)
class NotMultipartError(ConflictError):
    """Parts were requested of an artifact that goes up in one piece."""

    model: str
    version: int
    path: str

    def __str__(self) -> str:
        return f"'{self.path}' goes up in one piece: use the URL that the upload gave."


@dataclass(eq=False)
class VersionConflictError(ConflictError):
    """Another program wrote a version under the number of the upload: adopt it, abandon, register again."""

    model: str
    version: int

    def __str__(self) -> str:
        return (
            f"Another program wrote a version {self.version} of '{self.model}'. Run `modelkeep init --adopt`,"
            " abandon this upload, and register again."
        )


@dataclass(eq=False)
class ModelBeingDeletedError(ConflictError):
    """A deletion of the model was interrupted: repeat its `DELETE` first."""

    model: str

    def __str__(self) -> str:
        return f"'{self.model}' is being deleted. Repeat its DELETE to finish that, then try again."


@dataclass(eq=False)
class AliasReservedError(ConflictError):
    """The alias would shadow another kind of ref, such as `latest` or `v3`."""

    alias: str

    def __str__(self) -> str:
        return f"'{self.alias}' already means something as a ref. Choose another alias."


@dataclass(eq=False)
class PreconditionFailedError(RegistryError):
    """Another condition of the request does not hold."""

    def __str__(self) -> str:
        return "A condition of the request does not hold. Read the present state and decide again."


@dataclass(eq=False)
class ProductionChangedError(PreconditionFailedError):
    """Another version is in production than `expected_production`; `holder` names it."""

    model: str
    expected: int | None
    holder: int | None

    def __str__(self) -> str:
        now = "no version" if self.holder is None else f"version {self.holder}"
        return f"Production of '{self.model}' is {now}, not what was expected. Nothing was changed; decide again."


@dataclass(eq=False)
class ObjectExistsError(PreconditionFailedError):
    """Local store: the bytes are stored already and stay as they are; there is nothing left to do."""

    def __str__(self) -> str:
        return "These bytes were stored before, and stored bytes never change. There is nothing left to upload here."


@dataclass(eq=False)
class PreconditionRequiredError(RegistryError):
    """A rollback without `Idempotency-Key` and without `expected_production`."""

    def __str__(self) -> str:
        return "Send an Idempotency-Key header or expected_production, so that a repeat cannot roll back twice."


@dataclass(eq=False)
class DigestUnknownError(ConflictError):
    """An artifact was adopted and never verified: its SHA-256, as `format=sha256sum` and copies need, is not known."""

    model: str
    version: int
    path: str

    def __str__(self) -> str:
        return (
            f"'{self.path}' of '{self.model}' version {self.version} was adopted and never verified, so its SHA-256 is"
            " not known. Run `modelkeep init --adopt --verify`."
        )
