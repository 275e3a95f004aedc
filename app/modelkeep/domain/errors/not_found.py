"""Something is absent, or not visible to the caller."""

from dataclasses import dataclass

from modelkeep.domain.errors.base import RegistryError


@dataclass(eq=False)
class NotFoundError(RegistryError):
    """There is no such route."""

    def __str__(self) -> str:
        return "There is nothing at this address. `modelkeep docs http-api` lists the routes."


@dataclass(eq=False)
class ModelNotFoundError(NotFoundError):
    """There is no such model, or the caller may not read it."""

    model: str

    def __str__(self) -> str:
        return f"There is no model '{self.model}'. Check its name; the first version that is registered creates it."


@dataclass(eq=False)
class VersionNotFoundError(NotFoundError):
    """No complete version answers to the ref."""

    model: str
    ref: str

    def __str__(self) -> str:
        if self.ref == "production":
            return f"No version of '{self.model}' is in production. Promote one first."
        return f"No version of '{self.model}' answers to '{self.ref}'. List its versions to see which exist."


@dataclass(eq=False)
class ProductionNotFoundError(NotFoundError):
    """No version was production at the moment `at`, or the one that was (`version`) is deleted."""

    model: str
    at: str
    version: int | None

    def __str__(self) -> str:
        if self.version is None:
            return f"No version of '{self.model}' was in production at {self.at}. Its history says when one was."
        return (
            f"Version {self.version} of '{self.model}' was in production at {self.at}, and was deleted since. Restore"
            " it, if it is still in the trash."
        )


@dataclass(eq=False)
class UploadNotFoundError(NotFoundError):
    """No upload is open under this number: it was completed, abandoned or expired."""

    model: str
    version: int

    def __str__(self) -> str:
        return (
            f"No upload of '{self.model}' version {self.version} is open: it was completed, abandoned or expired, or it"
            " never began. If the version is not there, register again with a new Idempotency-Key."
        )


@dataclass(eq=False)
class AliasNotFoundError(NotFoundError):
    """The model has no such alias."""

    model: str
    alias: str

    def __str__(self) -> str:
        return f"'{self.model}' has no alias '{self.alias}'."


@dataclass(eq=False)
class ArtifactNotFoundError(NotFoundError):
    """The version has no such artifact, or its bytes are gone from the store."""

    model: str
    version: int
    path: str

    def __str__(self) -> str:
        return f"'{self.model}' version {self.version} has no artifact '{self.path}'."


@dataclass(eq=False)
class ObjectNotFoundError(NotFoundError):
    """Local store: the bytes that the URL names were deleted."""

    def __str__(self) -> str:
        return "The bytes behind this URL were deleted. Ask for the version again."


@dataclass(eq=False)
class MultipartNotFoundError(NotFoundError):
    """Local store: the multipart upload of the URL was completed or abandoned."""

    def __str__(self) -> str:
        return "This part belongs to nothing open: its upload was completed or abandoned. Read the upload to see which."


@dataclass(eq=False)
class TokenNotFoundError(NotFoundError):
    """There is no such registry token."""

    token: str

    def __str__(self) -> str:
        return f"There is no token '{self.token}'. List the tokens to see which exist."
