"""What both AWS drivers share: how a client is configured, and what its failures mean to an operator.

Region, endpoint and credentials come from where every AWS program takes them: the `AWS_…` variables, the shared
configuration files, and the role of the machine.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from botocore import exceptions as boto
from botocore.awsrequest import AWSRequest

from modelkeep.domain.errors import UnavailableError

CONFIG: Final = AioConfig(
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=1,
    read_timeout=3,
    max_pool_connections=64,
    parameter_validation=False,
    user_agent_extra="modelkeep",
)
"""Short timeouts and few attempts: whoever calls has a deadline of its own. Requests are ours, and checked before."""

FAILURES: Final = (boto.ClientError, boto.BotoCoreError, aiohttp.ClientError, OSError)
"""All that a call of a client may raise; a caller's cancellation is none of them."""

UNSENT: Final = (
    boto.CredentialRetrievalError,
    boto.NoAuthTokenError,
    boto.NoCredentialsError,
    boto.NoRegionError,
    boto.PartialCredentialsError,
    boto.SSOError,
    boto.TokenRetrievalError,
)
"""What a client raises before it sends anything."""

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
"""Error codes that AWS gives before it does anything."""

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
"""Error codes of a request that was turned away because there were too many."""

_MISSING = frozenset({"ResourceNotFoundException", "NoSuchBucket", "404"})
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403"})
_ELSEWHERE = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "301", "400"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken"})

_ACTIONS: Final = {
    "CompleteMultipartUpload": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutBucketCors": "PutBucketCORS",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "UploadPart": "PutObject",
}
"""The IAM action of an operation, where the names differ."""

_NAMED: Final = re.compile(r"is not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")
"""How AWS itself names the action, where its answer has a body."""

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
_CONFIGURATION = (
    "The AWS configuration cannot be used. Check AWS_PROFILE, AWS_REGION and the AWS_ENDPOINT_URL variables."
)


@dataclass(frozen=True, slots=True)
class Resource:
    """What a driver works on, as an operator would look for it."""

    kind: Literal["table", "bucket"]
    name: str
    region: str | None = None
    endpoint: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"


def new_session(on_retry: Callable[[str], None] = lambda _: None) -> aioboto3.Session:
    """Begin a session; it costs about 0.2 s, so one is made for the life of the process.

    AWS_REGION comes first, as everywhere but in botocore, which knows AWS_DEFAULT_REGION only. `on_retry` is told
    "table" or "store" when a request is sent again. Raises `UnavailableError` for a profile that is not there.
    """
    try:
        session = aioboto3.Session(region_name=os.environ.get("AWS_REGION") or None)
    except boto.BotoCoreError as error:
        raise UnavailableError(_CONFIGURATION) from error
    for service, backend in (("dynamodb", "table"), ("s3", "store")):
        session.events.register(f"request-created.{service}", _on_sdk_retry(on_retry, backend))
    return session


def _on_sdk_retry(on_retry: Callable[[str], None], backend: str) -> Callable[..., None]:
    def tell(request: AWSRequest, **_: object) -> None:
        if request.context.get("retries", {}).get("attempt", 1) > 1:
            on_retry(backend)

    return tell


def code_of(error: boto.ClientError) -> str:
    """Return AWS's own name for what went wrong."""
    return error.response.get("Error", {}).get("Code", "")


def status_of(error: boto.ClientError) -> int:
    """Return the HTTP status of the refusal."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def was_resent(error: boto.ClientError) -> bool:
    """Tell whether the SDK had sent the request before this answer, so that an earlier copy may have had effect."""
    return error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) > 0


def explain(error: Exception, resource: Resource) -> str:
    """Say in one sentence, in our own words, what an operator should do about a failure of botocore."""
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
            return _CONFIGURATION


def _explain_refusal(error: boto.ClientError, resource: Resource) -> str:
    code = code_of(error)
    for codes, sentence in _SENTENCES:
        if code in codes:
            return sentence(error, resource)
    return f"AWS could not serve {resource} (status {status_of(error)}). Try again; if it lasts, look at AWS Health."


def _missing(_: boto.ClientError, resource: Resource) -> str:
    return f"The {resource} does not exist in {_region(resource)}: run `modelkeep init`."


def _denied(error: boto.ClientError, resource: Resource) -> str:
    return f"The role lacks {_action(error, resource)} on {resource}. `modelkeep iam-policy` prints all it needs."


def _elsewhere(_: boto.ClientError, resource: Resource) -> str:
    return f"The {resource} is not in {_region(resource)}. Set AWS_REGION to the region where it is."


def _throttled(_: boto.ClientError, resource: Resource) -> str:
    return f"AWS limits requests to {resource} at present. Try again; if it lasts, look at its quotas and limits."


def _unreachable(resource: Resource) -> str:
    return f"No answer from {resource.endpoint or 'AWS'} for {resource}. Check the network and AWS_ENDPOINT_URL."


def _region(resource: Resource) -> str:
    return resource.region or "the configured region"


def _action(error: boto.ClientError, resource: Resource) -> str:
    operation = error.operation_name
    if named := _NAMED.search(error.response.get("Error", {}).get("Message", "")):
        return named[1]
    if operation == "TransactWriteItems":
        return "dynamodb:PutItem, dynamodb:DeleteItem or dynamodb:ConditionCheckItem"
    if operation == "HeadObject":
        return "s3:GetObject, s3:GetObjectVersion, or s3:ListBucket to tell a missing object from a forbidden one,"
    service = "dynamodb" if resource.kind == "table" else "s3"
    return f"{service}:{_ACTIONS.get(operation, operation)}"


_SENTENCES: Final[Sequence[tuple[frozenset[str], Callable[[boto.ClientError, Resource], str]]]] = (
    (_MISSING, _missing),
    (_DENIED, _denied),
    (_ELSEWHERE, _elsewhere),
    (_EXPIRED, lambda _, __: _CREDENTIALS_EXPIRED),
    (NO_EFFECT, lambda _, __: _CREDENTIALS_REFUSED),
    (THROTTLED, _throttled),
)
