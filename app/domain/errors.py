"""What can go wrong, as facts with fields. The sentence (`str(error)`) is for people and says what to do next.

RegistryError
├── NotFoundError            absent, or not for this caller to see
│   ├── ModelNotFoundError
│   ├── VersionNotFoundError
│   ├── UploadNotFoundError
│   ├── AliasNotFoundError
│   ├── ArtifactNotFoundError
│   ├── ObjectNotFoundError      what follows a URL of the local store
│   ├── MultipartNotFoundError
│   └── TokenNotFoundError
├── UnauthenticatedError     who are you
│   ├── CredentialsRequiredError
│   ├── InvalidTokenError
│   └── TokenExpiredError
├── ForbiddenError           known, and not allowed
│   ├── ActionForbiddenError
│   ├── NoTrustRuleError
│   ├── SignatureMismatchError
│   ├── SignedHeaderMismatchError
│   └── UrlExpiredError
├── ConflictError            the model's present state does not allow it
│   ├── UploadIncompleteError
│   ├── VersionInUseError
│   ├── NotNewerError
│   ├── ModelNotEmptyError
│   ├── NoEarlierProductionError
│   ├── NotMultipartError
│   ├── NumberTakenError
│   ├── ModelBeingDeletedError
│   └── AliasReservedError
├── PreconditionFailedError  what the caller expected is no longer so
│   ├── ProductionChangedError
│   └── ObjectExistsError
├── PreconditionRequiredError
├── LengthRequiredError
├── RangeNotSatisfiableError
├── MalformedError           not even readable
│   ├── InvalidCursorError
│   ├── MalformedPathError
│   └── BodyMismatchError
├── InvalidError             readable, and not acceptable
│   ├── InvalidRequestError
│   ├── IdempotencyKeyReusedError
│   └── IntegrityError       the bytes are not the declared ones
│       ├── SizeMismatchError
│       └── ChecksumMismatchError
├── TooLargeError
│   ├── ArtifactTooLargeError
│   ├── TooManyArtifactsError
│   ├── MetadataTooLargeError
│   ├── RequestTooLargeError
│   └── HeadTooLargeError
├── RequestTimeoutError      too slow
├── TooManyRequestsError     slower
└── TemporaryError           try again
    ├── UnavailableError     nothing happened
    ├── IssuerUnavailableError   whose keys cannot be read now
    ├── ContentionError      nothing happened
    └── OutcomeUnknownError  it may have happened: repeat with the same Idempotency-Key to learn it
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(eq=False)
class RegistryError(Exception):
    """The base of all that the registry refuses or fails at."""

    @classmethod
    def code(cls) -> str:
        """The stable name that programs may compare: `VersionNotFoundError` is `version_not_found`."""
        return _CAMEL.sub("_", cls.__name__.removesuffix("Error")).lower()


@dataclass(eq=False)
class NotFoundError(RegistryError):
    """It is not there."""

    def __str__(self) -> str:
        return "There is nothing at this address. The routes are listed in the README."


@dataclass(eq=False)
class ModelNotFoundError(NotFoundError):
    """No such model."""

    model: str

    def __str__(self) -> str:
        return f"There is no model '{self.model}'. Registering its first version creates it."


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
class UploadNotFoundError(NotFoundError):
    """No upload is open under the number."""

    model: str
    version: int

    def __str__(self) -> str:
        return (
            f"No upload of '{self.model}' version {self.version} is open: it was completed, abandoned or expired, or it"
            " never began. If the version is not there, register again with a new Idempotency-Key."
        )


@dataclass(eq=False)
class AliasNotFoundError(NotFoundError):
    """No such alias."""

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
    """The bytes that a download URL names are gone."""

    def __str__(self) -> str:
        return "The bytes behind this URL were deleted. Ask for the version again."


@dataclass(eq=False)
class MultipartNotFoundError(NotFoundError):
    """The multipart object of a part's URL is complete or aborted."""

    def __str__(self) -> str:
        return "This part belongs to nothing open: its upload was completed or abandoned. Read the upload to see which."


@dataclass(eq=False)
class TokenNotFoundError(NotFoundError):
    """No such registry token."""

    token: str

    def __str__(self) -> str:
        return f"There is no token '{self.token}'. List the tokens to see which exist."


@dataclass(eq=False)
class UnauthenticatedError(RegistryError):
    """Nobody has been recognised."""


@dataclass(eq=False)
class CredentialsRequiredError(UnauthenticatedError):
    """No credentials came with the request."""

    def __str__(self) -> str:
        return (
            "Say who you are: send Authorization: Bearer, with a registry token or a token of a trusted issuer. The"
            " client takes it from REGISTRY_TOKEN, REGISTRY_TOKEN_FILE or GitHub (permissions: id-token: write)."
        )


@dataclass(eq=False)
class InvalidTokenError(UnauthenticatedError):
    """The token proves nothing here. `reason` is a sentence for people, without anything out of the token."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class TokenExpiredError(UnauthenticatedError):
    """The token was good until a moment that has passed."""

    expired_at: str

    def __str__(self) -> str:
        return f"The token expired at {self.expired_at}. Get a new one."


@dataclass(eq=False)
class ForbiddenError(RegistryError):
    """Not allowed."""


@dataclass(eq=False)
class ActionForbiddenError(ForbiddenError):
    """The caller is known, and no rule lets it do this. `model` is `*` for what is not about models."""

    action: str
    model: str
    principal: str

    def __str__(self) -> str:
        return f"'{self.principal}' may not do {self.action} on '{self.model}'. Ask who runs the registry for a grant."


@dataclass(eq=False)
class NoTrustRuleError(ForbiddenError):
    """The identity is proved, and no trust rule speaks of it."""

    principal: str

    def __str__(self) -> str:
        return (
            f"The token is good, and no trust rule speaks of '{self.principal}'. `model-registry access explain` says"
            " which claim of which rule does not fit."
        )


@dataclass(eq=False)
class SignatureMismatchError(ForbiddenError):
    """The URL was altered, cut short, or is used with another method than it was signed for."""

    def __str__(self) -> str:
        return "This URL is not as it was signed. Use it whole, with the method it came with, or ask for a new one."


@dataclass(eq=False)
class SignedHeaderMismatchError(ForbiddenError):
    """A header that belongs to the URL is missing or different."""

    header: str

    def __str__(self) -> str:
        return f"The header {self.header} is not the one that came with this URL. Send the headers exactly as given."


@dataclass(eq=False)
class UrlExpiredError(ForbiddenError):
    """The URL was good until a moment that has passed."""

    expired_at: str

    def __str__(self) -> str:
        return f"This URL expired at {self.expired_at}. Ask for a new one."


@dataclass(eq=False)
class ConflictError(RegistryError):
    """The present state does not allow it."""


@dataclass(eq=False)
class UploadIncompleteError(ConflictError):
    """Artifacts have not arrived; `missing` holds `{path}`, or `{path, parts}` with the missing part numbers."""

    model: str
    version: int
    missing: Sequence[dict[str, Any]]

    def __str__(self) -> str:
        first = self.missing[0]["path"]
        return (
            f"{len(self.missing)} artifact(s) of '{self.model}' version {self.version} have not arrived, '{first}'"
            " among them. Upload what is missing and complete again."
        )


@dataclass(eq=False)
class VersionInUseError(ConflictError):
    """The version is production or has aliases."""

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
class NotNewerError(ConflictError):
    """Production would move to a lower number although only_newer was asked for."""

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
    """There is nothing to roll back to."""

    model: str

    def __str__(self) -> str:
        return f"No earlier production version of '{self.model}' is left to roll back to. Promote one by its number."


@dataclass(eq=False)
class NotMultipartError(ConflictError):
    """Part URLs were asked for an artifact that goes up in one piece."""

    model: str
    version: int
    path: str

    def __str__(self) -> str:
        return f"'{self.path}' goes up in one piece: use the URL that the upload gave."


@dataclass(eq=False)
class NumberTakenError(ConflictError):
    """Another program wrote a version under the number of an upload."""

    model: str
    version: int

    def __str__(self) -> str:
        return (
            f"Another program wrote a version {self.version} of '{self.model}'. Run `model-registry init --adopt`,"
            " abandon this upload, and register again."
        )


@dataclass(eq=False)
class ModelBeingDeletedError(ConflictError):
    """A deletion was interrupted half-way through the model's versions."""

    model: str

    def __str__(self) -> str:
        return f"'{self.model}' is being deleted. Repeat its DELETE to finish that, then try again."


@dataclass(eq=False)
class AliasReservedError(ConflictError):
    """The alias would shadow another kind of ref."""

    alias: str

    def __str__(self) -> str:
        return f"'{self.alias}' already means something as a ref. Choose another alias."


@dataclass(eq=False)
class PreconditionFailedError(RegistryError):
    """What the caller expected is not so."""

    def __str__(self) -> str:
        return "A condition of the request does not hold. Read the present state and decide again."


@dataclass(eq=False)
class ProductionChangedError(PreconditionFailedError):
    """Another version is production than the caller expected."""

    model: str
    expected: int | None
    holder: int | None

    def __str__(self) -> str:
        now = "no version" if self.holder is None else f"version {self.holder}"
        return f"Production of '{self.model}' is {now}, not what was expected. Nothing was changed; decide again."


@dataclass(eq=False)
class ObjectExistsError(PreconditionFailedError):
    """There are bytes already where a PUT would store some; they stay as they are."""

    def __str__(self) -> str:
        return "These bytes were stored before, and stored bytes never change. There is nothing left to upload here."


@dataclass(eq=False)
class PreconditionRequiredError(RegistryError):
    """Repeated blindly, the request would act twice."""

    def __str__(self) -> str:
        return "Send an Idempotency-Key header or expected_production, so that a repeat cannot roll back twice."


@dataclass(eq=False)
class LengthRequiredError(RegistryError):
    """The length of the body was not announced."""

    def __str__(self) -> str:
        return "Send the Content-Length header that came with this URL, and the body without chunked encoding."


@dataclass(eq=False)
class RangeNotSatisfiableError(RegistryError):
    """The range begins behind the last byte."""

    size: int

    def __str__(self) -> str:
        return f"There are {self.size} bytes here, none of them in this range. If you hold them all, you are done."

    @property
    def content_range(self) -> str:
        """The Content-Range header that the answer must carry."""
        return f"bytes */{self.size}"


@dataclass(eq=False)
class MalformedError(RegistryError):
    """The request cannot be read."""

    def __str__(self) -> str:
        return "The request cannot be read. Send HTTP/1.1, and a body as well-formed JSON."


@dataclass(eq=False)
class InvalidCursorError(MalformedError):
    """The cursor was not issued for this list, or was altered."""

    def __str__(self) -> str:
        return "This cursor does not belong to this list. Start again without one."


@dataclass(eq=False)
class MalformedPathError(MalformedError):
    """The raw path holds bytes that no route accepts."""

    def __str__(self) -> str:
        return "The path holds escapes or bytes that no route accepts. Use plain names, each slash once."


@dataclass(eq=False)
class BodyMismatchError(MalformedError):
    """Other bytes arrived than the URL admits, or not all of them; nothing was stored."""

    def __str__(self) -> str:
        return "The body does not have the declared length and SHA-256; nothing was stored. Send the declared bytes."


@dataclass(eq=False)
class InvalidError(RegistryError):
    """Readable, and not acceptable."""


@dataclass(eq=False)
class InvalidRequestError(InvalidError):
    """A value is outside its rules; `errors` holds `{location, message}`, the first one is in the sentence."""

    errors: Sequence[dict[str, str]]

    def __str__(self) -> str:
        first = self.errors[0]
        return f"{first['location']}: {first['message']}."


@dataclass(eq=False)
class IdempotencyKeyReusedError(InvalidError):
    """The key came with another request before."""

    def __str__(self) -> str:
        return "This Idempotency-Key was used for a different request. Use a new key for a new request."


@dataclass(eq=False)
class IntegrityError(InvalidError):
    """The stored bytes are not the declared ones."""


@dataclass(eq=False)
class SizeMismatchError(IntegrityError):
    """Another number of bytes arrived."""

    path: str
    declared: int
    stored: int

    def __str__(self) -> str:
        return f"'{self.path}' was declared as {self.declared} bytes; {self.stored} arrived. Register it again."


@dataclass(eq=False)
class ChecksumMismatchError(IntegrityError):
    """Other bytes arrived."""

    path: str

    def __str__(self) -> str:
        return f"The stored bytes of '{self.path}' do not have the declared SHA-256. Register it again."


@dataclass(eq=False)
class TooLargeError(RegistryError):
    """Over a limit."""


@dataclass(eq=False)
class ArtifactTooLargeError(TooLargeError):
    """An artifact, or a version as a whole, is over its limit in bytes."""

    path: str | None
    size: int
    limit: int

    def __str__(self) -> str:
        subject = "The version" if self.path is None else f"'{self.path}'"
        return f"{subject} has {self.size} bytes; the limit here is {self.limit}."


@dataclass(eq=False)
class TooManyArtifactsError(TooLargeError):
    """More artifacts than a version may have."""

    count: int
    limit: int

    def __str__(self) -> str:
        return f"{self.count} artifacts; a version has at most {self.limit}. Bundle small files into an archive."


@dataclass(eq=False)
class MetadataTooLargeError(TooLargeError):
    """What is to be kept beside the bytes is over its limit: `what` says of what, and in which unit."""

    what: str
    size: int
    limit: int

    def __str__(self) -> str:
        return f"{self.size} {self.what}; the limit is {self.limit}. Shorten, or bundle small files into an archive."


@dataclass(eq=False)
class RequestTooLargeError(TooLargeError):
    """The request body is over its limit in bytes."""

    limit: int

    def __str__(self) -> str:
        return f"A request body has at most {self.limit} bytes."


@dataclass(eq=False)
class HeadTooLargeError(TooLargeError):
    """Target and headers, trailers included, are over their limit in bytes."""

    limit: int

    def __str__(self) -> str:
        return f"Target and headers of a request have at most {self.limit} bytes together. Send fewer or shorter ones."


@dataclass(eq=False)
class RequestTimeoutError(RegistryError):
    """The body did not arrive in time; nothing was done."""

    def __str__(self) -> str:
        return "The body of the request did not arrive in time, and nothing was done. Send it again, without pauses."


@dataclass(eq=False)
class TooManyRequestsError(RegistryError):
    """Over the rate limit of a principal, or of failed logins from an address. Nothing was done."""

    what: str
    seconds: int

    def __str__(self) -> str:
        return f"Too many {self.what}. Try again in {self.seconds} s."

    @property
    def retry_after(self) -> int:
        """Seconds after which a repeat makes sense."""
        return self.seconds


@dataclass(eq=False)
class TemporaryError(RegistryError):
    """Try again after `retry_after` seconds."""

    @property
    def retry_after(self) -> int:
        """Seconds after which a repeat makes sense."""
        return 2


@dataclass(eq=False)
class UnavailableError(TemporaryError):
    """Table or object store cannot be used now; nothing was changed. `reason` says what an operator should do."""

    reason: str

    @classmethod
    def code(cls) -> str:
        """The drivers' own subclasses are all `unavailable`."""
        return "unavailable"

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class IssuerUnavailableError(TemporaryError):
    """An issuer's keys cannot be read now, so its tokens can be neither believed nor refused."""

    issuer: str

    def __str__(self) -> str:
        return f"The keys of the issuer '{self.issuer}' cannot be read now, so its tokens cannot be checked; try again."


@dataclass(eq=False)
class ContentionError(TemporaryError):
    """Too many writers at once; nothing was changed."""

    model: str

    def __str__(self) -> str:
        return f"'{self.model}' is being changed by too many callers at once. Nothing was changed; try again."


@dataclass(eq=False)
class OutcomeUnknownError(TemporaryError):
    """The write may or may not have happened."""

    model: str

    def __str__(self) -> str:
        return (
            f"Whether this change of '{self.model}' happened could not be learnt. Repeat it: with the same"
            " Idempotency-Key it takes effect once."
        )
