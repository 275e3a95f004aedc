"""How AWS failures read to an operator."""

from typing import Any

import pytest
from botocore import exceptions as boto

from modelkeep.storage.aws.dynamodb import DynamoDbTable
from modelkeep.storage.aws.errors import Resource, explain
from modelkeep.storage.aws.session import CONFIG, new_session
from modelkeep.storage.table import TableUnavailableError

TABLE = Resource("table", "registry", "eu-west-1", "http://dynamodb.example")
BUCKET = Resource("bucket", "models", "eu-west-1")


DENIED = "User: arn:aws:sts::123456789012:assumed-role/r/s is not authorized to perform: {} on resource: arn:aws:x"

CIPHERTEXT = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not"
    " allowed to access."
)
EXPIRED = "The AWS credentials have expired. Renew them, or run under a role that renews them by itself."


def refusal(code: str, operation: str, status: int = 400, message: str = "x") -> boto.ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(response, operation)


@pytest.mark.parametrize(
    ("error", "resource", "sentence"),
    [
        (refusal("NoSuchBucket", "PutObject"), BUCKET, "The bucket 'models' does not exist in eu-west-1: run"),
        (refusal("404", "HeadBucket"), BUCKET, "The bucket 'models' does not exist in eu-west-1: run"),
        (
            refusal("403", "HeadBucket"),
            BUCKET,
            "The role lacks s3:ListBucket on bucket 'models', or AWS does not accept",
        ),
        (refusal("403", "HeadObject"), BUCKET, "The role lacks s3:GetObject, s3:GetObjectVersion, s3:ListBucket"),
        (
            refusal("AccessDenied", "UploadPart"),
            BUCKET,
            "The role lacks s3:PutObject (or kms:Decrypt on the key that encrypts it) on bucket 'models'.",
        ),
        (
            refusal("AccessDenied", "GetObject", 403, "Access Denied"),
            BUCKET,
            "The role lacks s3:GetObject (or kms:Decrypt on the key that encrypts it) on bucket 'models'.",
        ),
        (
            refusal("AccessDenied", "GetObject", 403, DENIED.format("s3:GetObject")),
            BUCKET,
            "The role lacks s3:GetObject on bucket 'models'.",
        ),
        (
            refusal("AccessDenied", "GetObject", 403, DENIED.format("kms:Decrypt")),
            BUCKET,
            "The role lacks kms:Decrypt on the KMS key of bucket 'models'.",
        ),
        (
            refusal("AccessDenied", "GetObject", 403, CIPHERTEXT),
            BUCKET,
            "The role lacks kms:Decrypt on the KMS key of bucket 'models'.",
        ),
        (refusal("KMS.DisabledException", "GetObject"), BUCKET, "The KMS key of bucket 'models' cannot be used."),
        (refusal("AccessDeniedException", "GetItem"), TABLE, "The role lacks dynamodb:GetItem on table 'registry'."),
        (
            refusal("AccessDeniedException", "TransactWriteItems", message=DENIED.format("dynamodb:DeleteItem")),
            TABLE,
            "The role lacks dynamodb:DeleteItem on table 'registry'.",
        ),
        (
            refusal("AccessDenied", "PutObject", 403, DENIED.format("kms:GenerateDataKey")),
            BUCKET,
            "The role lacks kms:GenerateDataKey on the KMS key of bucket 'models'.",
        ),
        (refusal("PermanentRedirect", "PutObject", 301), BUCKET, "The bucket 'models' is not in eu-west-1."),
        (refusal("AuthorizationHeaderMalformed", "PutObject"), BUCKET, "The bucket 'models' is not in eu-west-1."),
        (refusal("SlowDown", "PutObject", 503), BUCKET, "AWS limits requests to bucket 'models'"),
        (refusal("ExpiredToken", "PutObject"), BUCKET, "The AWS credentials have expired."),
        (refusal("InvalidAccessKeyId", "PutObject", 403), BUCKET, "AWS does not accept the credentials."),
        (refusal("InternalError", "PutObject", 500), BUCKET, "AWS could not serve bucket 'models' (status 500)."),
        (boto.EndpointConnectionError(endpoint_url="x"), TABLE, "No answer from http://dynamodb.example for table"),
        (boto.ReadTimeoutError(endpoint_url="x"), BUCKET, "No answer from AWS for bucket 'models'."),
        (boto.NoCredentialsError(), BUCKET, "No AWS credentials were found."),
        (boto.NoRegionError(), BUCKET, "No AWS region is set."),
        (boto.ProfileNotFound(profile="x"), BUCKET, "The AWS configuration cannot be used."),
    ],
    ids=repr,
)
def test_a_failure_says_what_to_do(error: Exception, resource: Resource, sentence: str) -> None:
    assert explain(error, resource).startswith(sentence)


@pytest.mark.parametrize(
    ("home", "sentence"),
    [
        (None, f"{EXPIRED} If they are good, the bucket 'models' is not in eu-west-1: set AWS_REGION."),
        ("eu-west-1", EXPIRED),
        ("us-east-2", "The bucket 'models' is not in eu-west-1. Set AWS_REGION to the region where it is."),
    ],
)
@pytest.mark.parametrize("operation", ["HeadBucket", "HeadObject"])
def test_a_bare_400_is_expired_credentials_unless_the_bucket_is_elsewhere(
    operation: str, home: str | None, sentence: str
) -> None:
    """S3 gives no reason to a HEAD; the region of the bucket is in a header, if at all."""
    error = refusal("400", operation)
    error.response["ResponseMetadata"]["HTTPHeaders"] = {} if home is None else {"x-amz-bucket-region": home}
    assert explain(error, BUCKET) == sentence


def test_a_bare_403_names_both_causes() -> None:
    """Of a HEAD for a checksum that a KMS key encrypts, too."""
    said = explain(refusal("403", "HeadObject", 403), BUCKET)
    for cause in ("s3:GetObject", "kms:Decrypt", "AWS does not accept the credentials"):
        assert cause in said


def test_attempts_are_few_and_short() -> None:
    config: Any = CONFIG
    assert config.retries == {"mode": "standard", "total_max_attempts": 3}
    assert (config.connect_timeout, config.read_timeout, config.max_pool_connections) == (1, 3, 64)


@pytest.fixture
def nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, "eu-west-1"),
        ({"AWS_REGION": ""}, None),
    ],
    ids=repr,
)
def test_the_region_is_that_of_the_environment(
    nothing_configured: None, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], region: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert new_session().region_name == region


async def test_a_table_without_a_region_says_so(nothing_configured: None) -> None:
    with pytest.raises(TableUnavailableError, match="Set AWS_REGION"):
        async with DynamoDbTable.open(new_session(), "registry"):
            pass


async def test_a_table_at_no_address_says_so(nothing_configured: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with pytest.raises(TableUnavailableError, match="AWS_ENDPOINT_URL"):
        async with DynamoDbTable.open(new_session(), "registry", endpoint_url="nonsense"):
            pass
