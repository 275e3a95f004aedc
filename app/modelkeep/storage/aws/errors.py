"""Converts failures of an AWS client to one sentence each, on what an operator should do."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import aiohttp
from botocore import exceptions as boto

from modelkeep.storage.aws.permissions import actions_of

FAILURES: Final = (boto.ClientError, boto.BotoCoreError, aiohttp.ClientError, OSError)
"""Everything that a call of a client may raise, except a cancellation."""

UNSENT: Final = (
    boto.CredentialRetrievalError,
    boto.NoAuthTokenError,
    boto.NoCredentialsError,
    boto.NoRegionError,
    boto.PartialCredentialsError,
    boto.SSOError,
    boto.TokenRetrievalError,
)
"""Raised by a client before it sends anything."""

NO_EFFECT: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NoSuchBucket",
        "RequestTimeTooSkewed",
        "ResourceNotFoundException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
"""Error codes of requests that AWS rejects before they have any effect."""

THROTTLED: Final = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Error codes of throttled requests."""

_MISSING = frozenset({"ResourceNotFoundException", "NoSuchBucket", "404"})
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403"})
_ELSEWHERE = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "301"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken"})

_KMS_REFUSAL: Final = "The ciphertext refers to a customer master key"
"""How KMS may refuse to decrypt, instead of naming the action."""

_DENIED_ACTION: Final = re.compile(r"is not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")
"""The action in AWS's own message; a response to HEAD has no message."""

_CREDENTIALS_MISSING = (
    "No AWS credentials were found. They are looked for in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in the shared"
    " configuration files (AWS_PROFILE), in a web identity token, and in the role of the container or machine."
)
_CREDENTIALS_REFUSED = (
    "AWS does not accept the credentials. Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN or the"
    " role in use, and that the clock of this machine is right."
)
_CREDENTIALS_EXPIRED = "The AWS credentials have expired. Renew them, or run under a role that renews them by itself."
_REGION_MISSING = "No AWS region is set. Set AWS_REGION."
CONFIGURATION_UNUSABLE = (
    "The AWS configuration cannot be used. Check AWS_PROFILE, AWS_REGION and the AWS_ENDPOINT_URL variables."
)


@dataclass(frozen=True, slots=True)
class Resource:
    """The table or bucket of a driver, as it is named in messages."""

    kind: Literal["table", "bucket"]
    name: str
    region: str | None = None
    endpoint: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"


def code_of(error: boto.ClientError) -> str:
    """AWS's error code."""
    return error.response.get("Error", {}).get("Code", "")


def status_of(error: boto.ClientError) -> int:
    """The HTTP status of the response."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def is_denied(error: boto.ClientError) -> bool:
    """Whether the role lacks a right."""
    return code_of(error) in _DENIED


def was_resent(error: boto.ClientError) -> bool:
    """Whether the SDK had sent the request before this response, so that an earlier copy may have taken effect."""
    return error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) > 0


def explain(error: Exception, resource: Resource) -> str:
    """One sentence, in our own words, on what an operator should do about a failure of botocore."""
    match error:
        case boto.ClientError():
            return _explain_refusal(error, resource)
        case boto.NoRegionError():
            return _REGION_MISSING
        case boto.NoCredentialsError() | boto.PartialCredentialsError() | boto.CredentialRetrievalError():
            return _CREDENTIALS_MISSING
        case boto.TokenRetrievalError() | boto.SSOError():
            return _CREDENTIALS_EXPIRED
        case boto.HTTPClientError() | boto.ConnectionError() | aiohttp.ClientError() | OSError():
            return _unreachable(resource)
        case _:
            return CONFIGURATION_UNUSABLE


def _explain_refusal(error: boto.ClientError, resource: Resource) -> str:
    code = code_of(error)
    if code.startswith("KMS."):
        return _key_unusable(error, resource)
    for codes, sentence in _SENTENCES:
        if code in codes:
            return sentence(error, resource)
    return f"AWS could not serve {resource} (status {status_of(error)}). Try again; if it lasts, look at AWS Health."


def _missing(_: boto.ClientError, resource: Resource) -> str:
    return f"The {resource} does not exist in {_region(resource)}: run `modelkeep init`."


def _denied(error: boto.ClientError, resource: Resource) -> str:
    message = error.response.get("Error", {}).get("Message", "")
    named = _DENIED_ACTION.search(message)
    if _KMS_REFUSAL in message or (named and named[1].startswith("kms:")):
        action = named[1] if named else "kms:Decrypt"
        return f"The role lacks {action} on the KMS key of {resource}. Allow it in the role's policy and in the key's."
    lacking = named[1] if named else actions_of(error.operation_name, resource.kind)
    return f"The role lacks {lacking} on {resource}. `modelkeep iam-policy` prints all it needs."


def _denied_without_reason(error: boto.ClientError, resource: Resource) -> str:
    """S3 answers every 403 to a HEAD alike: there is no body for a reason."""
    return (
        f"The role lacks {actions_of(error.operation_name, resource.kind)} on {resource}, or AWS does not accept the"
        " credentials: S3 does not say which. `modelkeep iam-policy` prints all that a role needs."
    )


def _refused_without_reason(error: boto.ClientError, resource: Resource) -> str:
    """S3 answers 400 to a HEAD with expired credentials, and with a signature for another region, without a body."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if (home := headers.get("x-amz-bucket-region")) is None:
        return f"{_CREDENTIALS_EXPIRED} If they are good, the {resource} is not in {_region(resource)}: set AWS_REGION."
    return _CREDENTIALS_EXPIRED if home == resource.region else _elsewhere(error, resource)


def _elsewhere(_: boto.ClientError, resource: Resource) -> str:
    return f"The {resource} is not in {_region(resource)}. Set AWS_REGION to the region where it is."


def _key_unusable(_: boto.ClientError, resource: Resource) -> str:
    return f"The KMS key of {resource} cannot be used. Look whether it is enabled, and in the bucket's region."


def _throttled(_: boto.ClientError, resource: Resource) -> str:
    return f"AWS limits requests to {resource} at present. Try again; if it lasts, look at its quotas and limits."


def _unreachable(resource: Resource) -> str:
    return f"No answer from {resource.endpoint or 'AWS'} for {resource}. Check the network and AWS_ENDPOINT_URL."


def _region(resource: Resource) -> str:
    return resource.region or "the configured region"


_SENTENCES: Final[Sequence[tuple[frozenset[str], Callable[[boto.ClientError, Resource], str]]]] = (
    (_MISSING, _missing),
    (frozenset({"400"}), _refused_without_reason),
    (frozenset({"403"}), _denied_without_reason),
    (_DENIED, _denied),
    (_ELSEWHERE, _elsewhere),
    (_EXPIRED, lambda _, __: _CREDENTIALS_EXPIRED),
    (NO_EFFECT, lambda _, __: _CREDENTIALS_REFUSED),
    (THROTTLED, _throttled),
)
