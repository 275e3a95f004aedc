"""A model registry on S3 and DynamoDB, or on one machine: the names that a user of the Python client needs.

Each name is imported from its home when it is first used, so `import modelkeep` loads nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelkeep.client import AsyncRegistryClient, DownloadResult, Progress, RegistryClient, Step, TokenProvider
    from modelkeep.client.errors import (
        ChangedFileError,
        DamagedDownloadError,
        LocalFileError,
        NotARegistryError,
        NoTokenError,
        TransferRefusedError,
        UnknownProblemError,
        UnreachableError,
    )
    from modelkeep.domain.errors import (
        ActionForbiddenError,
        AliasNotFoundError,
        AliasReservedError,
        ArtifactNotFoundError,
        ArtifactTooLargeError,
        BodyMismatchError,
        ChecksumMismatchError,
        ConflictError,
        ContentionError,
        CredentialsRequiredError,
        DigestUnknownError,
        ForbiddenError,
        HeaderFieldsTooLargeError,
        IdempotencyKeyReusedError,
        IntegrityError,
        InvalidCursorError,
        InvalidError,
        InvalidRequestError,
        InvalidTokenError,
        IssuerUnavailableError,
        LengthRequiredError,
        MalformedError,
        MalformedPathError,
        MetadataTooLargeError,
        ModelBeingDeletedError,
        ModelNotEmptyError,
        ModelNotFoundError,
        MultipartNotFoundError,
        NewerFormatError,
        NoEarlierProductionError,
        NotFoundError,
        NotMultipartError,
        NotNewerError,
        NoTrustRuleError,
        ObjectExistsError,
        ObjectNotFoundError,
        OutcomeUnknownError,
        PreconditionFailedError,
        PreconditionRequiredError,
        ProductionChangedError,
        RangeNotSatisfiableError,
        RegistryError,
        RequestTimeoutError,
        RequestTooLargeError,
        SignatureMismatchError,
        SignedHeaderMismatchError,
        SizeMismatchError,
        TemporaryError,
        TokenExpiredError,
        TokenNotFoundError,
        TooLargeError,
        TooManyArtifactsError,
        TooManyRequestsError,
        UnauthenticatedError,
        UnavailableError,
        UploadIncompleteError,
        UploadNotFoundError,
        UrlExpiredError,
        VersionConflictError,
        VersionInUseError,
        VersionNotFoundError,
    )

__all__ = [
    "ActionForbiddenError",
    "AliasNotFoundError",
    "AliasReservedError",
    "ArtifactNotFoundError",
    "ArtifactTooLargeError",
    "AsyncRegistryClient",
    "BodyMismatchError",
    "ChangedFileError",
    "ChecksumMismatchError",
    "ConflictError",
    "ContentionError",
    "CredentialsRequiredError",
    "DamagedDownloadError",
    "DigestUnknownError",
    "DownloadResult",
    "ForbiddenError",
    "HeaderFieldsTooLargeError",
    "IdempotencyKeyReusedError",
    "IntegrityError",
    "InvalidCursorError",
    "InvalidError",
    "InvalidRequestError",
    "InvalidTokenError",
    "IssuerUnavailableError",
    "LengthRequiredError",
    "LocalFileError",
    "MalformedError",
    "MalformedPathError",
    "MetadataTooLargeError",
    "ModelBeingDeletedError",
    "ModelNotEmptyError",
    "ModelNotFoundError",
    "MultipartNotFoundError",
    "NewerFormatError",
    "NoEarlierProductionError",
    "NoTokenError",
    "NoTrustRuleError",
    "NotARegistryError",
    "NotFoundError",
    "NotMultipartError",
    "NotNewerError",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "OutcomeUnknownError",
    "PreconditionFailedError",
    "PreconditionRequiredError",
    "ProductionChangedError",
    "Progress",
    "RangeNotSatisfiableError",
    "RegistryClient",
    "RegistryError",
    "RequestTimeoutError",
    "RequestTooLargeError",
    "SignatureMismatchError",
    "SignedHeaderMismatchError",
    "SizeMismatchError",
    "Step",
    "TemporaryError",
    "TokenExpiredError",
    "TokenNotFoundError",
    "TokenProvider",
    "TooLargeError",
    "TooManyArtifactsError",
    "TooManyRequestsError",
    "TransferRefusedError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnknownProblemError",
    "UnreachableError",
    "UploadIncompleteError",
    "UploadNotFoundError",
    "UrlExpiredError",
    "VersionConflictError",
    "VersionInUseError",
    "VersionNotFoundError",
]

_HOMES = ("modelkeep.domain.errors", "modelkeep.client.errors", "modelkeep.client")


def __getattr__(name: str) -> Any:
    """Import a public name from its home. Raises `AttributeError` for every other name."""
    if name in __all__:
        for home in _HOMES:
            found = getattr(import_module(home), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module 'modelkeep' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The public names."""
    return sorted({*globals(), *__all__})
