"""Temporary failures: a repeat makes sense."""

from dataclasses import dataclass

from modelkeep.domain.errors.base import RegistryError


@dataclass(eq=False)
class TemporaryError(RegistryError):
    """Try again after `retry_after` seconds."""

    @property
    def retry_after(self) -> int:
        """Seconds after which a repeat makes sense."""
        return 2


@dataclass(eq=False)
class UnavailableError(TemporaryError):
    """The table or the object store cannot be used now; nothing was changed.

    `reason` is a sentence that says what an operator should do.
    """

    reason: str

    @classmethod
    def code(cls) -> str:
        """The drivers' own subclasses are all `unavailable`."""
        return "unavailable"

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class IssuerUnavailableError(TemporaryError):
    """The keys of the token's issuer cannot be read now."""

    issuer: str

    def __str__(self) -> str:
        return f"The keys of the issuer '{self.issuer}' cannot be read now, so its tokens cannot be checked; try again."


@dataclass(eq=False)
class ContentionError(TemporaryError):
    """Too many writers of one model at once; nothing was changed."""

    model: str

    def __str__(self) -> str:
        return f"'{self.model}' is being changed by too many callers at once. Nothing was changed; try again."


@dataclass(eq=False)
class NewerFormatError(TemporaryError):
    """A newer release changed the model in a format that this one cannot write; nothing was changed.

    `format` is what the model is stored in, `supported` the highest format that this release writes.
    """

    model: str
    format: int
    supported: int

    def __str__(self) -> str:
        return (
            f"'{self.model}' is stored in format {self.format}; this release writes format {self.supported} at most."
            f" Nothing was changed. Run a release that writes format {self.format} or later."
        )


@dataclass(eq=False)
class BucketOwnedError(TemporaryError):
    """The bucket belongs to another table than the one in use; nothing was changed.

    `bucket` is its address, `owner` the table that its mark names, `table` the one in use.
    """

    bucket: str
    owner: str
    table: str

    def __str__(self) -> str:
        other = f"a table '{self.owner}' that this one is a copy of" if self.owner == self.table else f"'{self.owner}'"
        return (
            f"{self.bucket} belongs to {other}, not to '{self.table}'; nothing was changed. Set MODELKEEP_BUCKET to the"
            " bucket of this table; or stop all that uses the other table, and run `modelkeep init --take-over`."
        )


@dataclass(eq=False)
class BucketUnmarkedError(TemporaryError):
    """The bucket has no mark of the table that owns it, so another table may use it too; nothing was changed."""

    bucket: str

    def __str__(self) -> str:
        return (
            f"{self.bucket} has no mark of the table that owns it, so another table may use it too; nothing was"
            " changed. Run `modelkeep init` once."
        )


@dataclass(eq=False)
class OutcomeUnknownError(TemporaryError):
    """The write may have happened: repeat it with the same `Idempotency-Key`."""

    model: str

    def __str__(self) -> str:
        return (
            f"The outcome of this change of '{self.model}' is unknown. Repeat it: with the same Idempotency-Key it"
            " takes effect once."
        )
