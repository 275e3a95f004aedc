"""What can go wrong, as facts with fields. The sentence (`str(error)`) is for people and names the next step.

RegistryError
├── NotFoundError            absent, or not visible to the caller
│   ├── ModelNotFoundError
│   ├── VersionNotFoundError
│   ├── ProductionNotFoundError  at a moment of the past
│   ├── UploadNotFoundError
│   ├── AliasNotFoundError
│   ├── ArtifactNotFoundError
│   ├── ObjectNotFoundError      behind a URL of the local store
│   ├── MultipartNotFoundError
│   └── TokenNotFoundError
├── UnauthenticatedError     the caller is not known
│   ├── CredentialsRequiredError
│   ├── InvalidTokenError
│   └── TokenExpiredError
├── ForbiddenError           the caller is known, and not allowed
│   ├── ActionForbiddenError
│   ├── NoTrustRuleError
│   ├── ForeignOriginError       nobody is asked, and a page of another origin wants a change
│   ├── AuthenticationDisabledError   nobody is asked, so there are no tokens
│   ├── SignatureMismatchError
│   ├── SignedHeaderMismatchError
│   └── UrlExpiredError
├── ConflictError            the model's present state does not allow it
│   ├── UploadIncompleteError
│   ├── VersionInUseError
│   ├── VersionNotDeletedError
│   ├── NotNewerError
│   ├── ModelNotEmptyError
│   ├── NoEarlierProductionError
│   ├── NotMultipartError
│   ├── VersionConflictError
│   ├── ModelBeingDeletedError
│   ├── DigestUnknownError       adopted, and not verified
│   └── AliasReservedError
├── PreconditionFailedError  an expectation of the caller does not hold
│   ├── ProductionChangedError
│   └── ObjectExistsError
├── PreconditionRequiredError
├── LengthRequiredError
├── RangeNotSatisfiableError
├── MalformedError           not readable
│   ├── InvalidCursorError
│   ├── MalformedPathError
│   └── BodyMismatchError
├── InvalidError             readable, but not acceptable
│   ├── InvalidRequestError
│   ├── IdempotencyKeyReusedError
│   └── IntegrityError       the bytes are not the declared ones
│       ├── SizeMismatchError
│       ├── ChecksumMismatchError
│       ├── ObjectPredatesUploadError
│       └── ReusedObjectChangedError
├── TooLargeError
│   ├── ArtifactTooLargeError
│   ├── TooManyArtifactsError
│   ├── MetadataTooLargeError
│   ├── RequestTooLargeError
│   └── HeaderFieldsTooLargeError
├── RequestTimeoutError      the body arrived too slowly
├── ForeignHostError         nobody is asked, and the request is for another host
├── TooManyRequestsError     over a rate limit
└── TemporaryError           try again
    ├── UnavailableError     nothing was changed
    ├── IssuerUnavailableError   its keys cannot be read
    ├── ContentionError      nothing was changed
    ├── NewerFormatError     nothing was changed: a newer release is needed
    ├── BucketOwnedError     nothing was changed: the bucket is another table's
    ├── BucketUnmarkedError  nothing was changed: the bucket may be another table's
    └── OutcomeUnknownError  it may have been changed: repeat with the same Idempotency-Key
"""

from modelkeep.domain.errors.access import (
    ActionForbiddenError,
    AuthenticationDisabledError,
    CredentialsRequiredError,
    ForbiddenError,
    ForeignHostError,
    ForeignOriginError,
    InvalidTokenError,
    NoTrustRuleError,
    SignatureMismatchError,
    SignedHeaderMismatchError,
    TokenExpiredError,
    TooManyRequestsError,
    UnauthenticatedError,
    UrlExpiredError,
)
from modelkeep.domain.errors.base import (
    RegistryError,
)
from modelkeep.domain.errors.conflicts import (
    AliasReservedError,
    ConflictError,
    DigestUnknownError,
    ModelBeingDeletedError,
    ModelNotEmptyError,
    NoEarlierProductionError,
    NotMultipartError,
    NotNewerError,
    ObjectExistsError,
    PreconditionFailedError,
    PreconditionRequiredError,
    ProductionChangedError,
    UploadIncompleteError,
    VersionConflictError,
    VersionInUseError,
    VersionNotDeletedError,
)
from modelkeep.domain.errors.not_found import (
    AliasNotFoundError,
    ArtifactNotFoundError,
    ModelNotFoundError,
    MultipartNotFoundError,
    NotFoundError,
    ObjectNotFoundError,
    ProductionNotFoundError,
    TokenNotFoundError,
    UploadNotFoundError,
    VersionNotFoundError,
)
from modelkeep.domain.errors.requests import (
    ArtifactTooLargeError,
    BodyMismatchError,
    ChecksumMismatchError,
    HeaderFieldsTooLargeError,
    IdempotencyKeyReusedError,
    IntegrityError,
    InvalidCursorError,
    InvalidError,
    InvalidRequestError,
    LengthRequiredError,
    MalformedError,
    MalformedPathError,
    MetadataTooLargeError,
    ObjectPredatesUploadError,
    RangeNotSatisfiableError,
    RequestTimeoutError,
    RequestTooLargeError,
    ReusedObjectChangedError,
    SizeMismatchError,
    TooLargeError,
    TooManyArtifactsError,
)
from modelkeep.domain.errors.temporary import (
    BucketOwnedError,
    BucketUnmarkedError,
    ContentionError,
    IssuerUnavailableError,
    NewerFormatError,
    OutcomeUnknownError,
    TemporaryError,
    UnavailableError,
)

__all__ = [
    "ActionForbiddenError",
    "AliasNotFoundError",
    "AliasReservedError",
    "ArtifactNotFoundError",
    "ArtifactTooLargeError",
    "AuthenticationDisabledError",
    "BodyMismatchError",
    "BucketOwnedError",
    "BucketUnmarkedError",
    "ChecksumMismatchError",
    "ConflictError",
    "ContentionError",
    "CredentialsRequiredError",
    "DigestUnknownError",
    "ForbiddenError",
    "ForeignHostError",
    "ForeignOriginError",
    "HeaderFieldsTooLargeError",
    "IdempotencyKeyReusedError",
    "IntegrityError",
    "InvalidCursorError",
    "InvalidError",
    "InvalidRequestError",
    "InvalidTokenError",
    "IssuerUnavailableError",
    "LengthRequiredError",
    "MalformedError",
    "MalformedPathError",
    "MetadataTooLargeError",
    "ModelBeingDeletedError",
    "ModelNotEmptyError",
    "ModelNotFoundError",
    "MultipartNotFoundError",
    "NewerFormatError",
    "NoEarlierProductionError",
    "NoTrustRuleError",
    "NotFoundError",
    "NotMultipartError",
    "NotNewerError",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "ObjectPredatesUploadError",
    "OutcomeUnknownError",
    "PreconditionFailedError",
    "PreconditionRequiredError",
    "ProductionChangedError",
    "ProductionNotFoundError",
    "RangeNotSatisfiableError",
    "RegistryError",
    "RequestTimeoutError",
    "RequestTooLargeError",
    "ReusedObjectChangedError",
    "SignatureMismatchError",
    "SignedHeaderMismatchError",
    "SizeMismatchError",
    "TemporaryError",
    "TokenExpiredError",
    "TokenNotFoundError",
    "TooLargeError",
    "TooManyArtifactsError",
    "TooManyRequestsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UploadIncompleteError",
    "UploadNotFoundError",
    "UrlExpiredError",
    "VersionConflictError",
    "VersionInUseError",
    "VersionNotDeletedError",
    "VersionNotFoundError",
]
