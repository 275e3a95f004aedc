"""What a failure of DynamoDB becomes, and that nothing of AWS's own text gets out."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from botocore import exceptions as boto

from modelkeep.storage.aws.dynamodb import DynamoDbTable
from modelkeep.storage.aws.dynamodb_failures import UnexpectedAnswerError
from modelkeep.storage.table import (
    CATALOG_INDEX,
    Absent,
    CommitStateUnknownError,
    ConditionFailedError,
    ItemKey,
    Put,
    RequestRejectedError,
    TableUnavailableError,
    TransactionConflictError,
    WritesTooLargeError,
)

HERE = ItemKey("model", 1)
WRITE = Put({"model_name": "model", "version": 1}, Absent())
ITEM_TOO_LARGE = {
    "Code": "ValidationError",
    "Message": "Item size to update has exceeded the maximum allowed size",
}
SECRET = "arn:aws:iam::123456789012:user/someone"


def refusal(
    code: str,
    *,
    status: int = 400,
    resent: int = 0,
    reasons: Sequence[dict[str, Any]] | None = None,
    message: str = SECRET,
) -> boto.ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": resent},
    }
    if reasons is not None:
        response["CancellationReasons"] = reasons
    return boto.ClientError(response, "TransactWriteItems")


def cancelled(*codes: str, resent: int = 0) -> boto.ClientError:
    return refusal("TransactionCanceledException", resent=resent, reasons=[{"Code": code} for code in codes])


def table(failure: BaseException) -> DynamoDbTable:
    """A table all of whose calls fail in this way."""

    async def fail(**_: Any) -> None:
        raise failure

    meta = SimpleNamespace(region_name="eu-west-1", endpoint_url="http://dynamodb.example")
    calls = dict.fromkeys(["get_item", "batch_get_item", "query", "scan", "transact_write_items"], fail)
    client: Any = SimpleNamespace(meta=meta, **calls)
    return DynamoDbTable(client, "registry")


async def outcome(failure: BaseException) -> BaseException:
    try:
        await table(failure).transact([WRITE], request_token="token")
    except BaseException as error:  # noqa: BLE001 -- whatever it is, it is looked at
        return error
    raise AssertionError("it did not fail")


CONTENDED = [
    cancelled("TransactionConflict"),
    cancelled("None", "TransactionConflict", "None"),
    cancelled("ThrottlingError"),
    cancelled("ProvisionedThroughputExceeded", "TransactionConflict"),
    refusal("ThrottlingException"),
    refusal("ProvisionedThroughputExceededException"),
    refusal("RequestLimitExceeded"),
    refusal("ReplicatedWriteConflictException"),
]
UNKNOWN = [
    refusal("TransactionInProgressException"),
    refusal("TransactionInProgressException", resent=2),
    refusal("InternalServerError", status=500),
    refusal("InternalServerError", status=500, resent=2),
    refusal("ServiceUnavailable", status=503),
    refusal("502", status=502),
    refusal("RequestTimeout", status=408),
    refusal("ThrottlingException", resent=1),
    refusal("AccessDeniedException", resent=1),
    refusal("ExpiredTokenException", resent=1),
    refusal("", status=0),
    cancelled("TransactionConflict", resent=1),
    boto.ReadTimeoutError(endpoint_url="http://x"),
    boto.ConnectTimeoutError(endpoint_url="http://x"),
    boto.EndpointConnectionError(endpoint_url="http://x"),
    boto.ConnectionClosedError(endpoint_url="http://x"),
    boto.ChecksumError(checksum_type="crc32", expected_checksum="1", actual_checksum="2"),
    boto.HTTPClientError(error="x"),
    aiohttp.ClientPayloadError(),
    ConnectionResetError(),
    TimeoutError(),
]
UNAVAILABLE = [
    (refusal("AccessDeniedException"), "dynamodb:PutItem"),
    (refusal("ResourceNotFoundException"), "table 'registry' does not exist in eu-west-1: run `modelkeep init`"),
    (refusal("UnrecognizedClientException"), "does not accept the credentials"),
    (refusal("InvalidSignatureException"), "clock"),
    (refusal("ExpiredTokenException"), "expired"),
    (refusal("SomethingNewException"), "table 'registry'"),
    (boto.NoCredentialsError(), "AWS_ACCESS_KEY_ID"),
    (boto.PartialCredentialsError(provider="env", cred_var="x"), "AWS_ACCESS_KEY_ID"),
    (boto.CredentialRetrievalError(provider="x", error_msg=SECRET), "AWS_ACCESS_KEY_ID"),
    (boto.TokenRetrievalError(provider="x", error_msg=SECRET), "expired"),
    (boto.NoRegionError(), "Set AWS_REGION"),
]
BUGS = [
    cancelled("ValidationError"),
    cancelled("None", "TransactionConflict", "ValidationError"),
    cancelled("SomethingNew"),
    cancelled("None"),
    refusal("TransactionCanceledException"),
    refusal("ValidationException"),
    refusal("SerializationException"),
    boto.ParamValidationError(report="x"),
]
TOO_LARGE = [
    cancelled("ItemCollectionSizeLimitExceeded"),
    refusal("ItemCollectionSizeLimitExceededException"),
    refusal("ItemCollectionSizeLimitExceededException", resent=1),
    refusal("ValidationException", message="Item size has exceeded the maximum allowed size"),
    refusal("ValidationException", message="Transaction size limit exceeded"),
    refusal("TransactionCanceledException", reasons=[{"Code": "None"}, ITEM_TOO_LARGE]),
]


def name(value: object) -> str | None:
    if isinstance(value, boto.ClientError):
        reasons = [reason["Code"] for reason in value.response.get("CancellationReasons", [])]
        return f"{reasons or value.response['Error']['Code']}+{value.response['ResponseMetadata']['RetryAttempts']}"
    return type(value).__name__ if isinstance(value, Exception) else None


@pytest.mark.parametrize("failure", CONTENDED, ids=name)
async def test_what_was_in_the_way_is_contention(failure: Exception) -> None:
    assert type(await outcome(failure)) is TransactionConflictError


@pytest.mark.parametrize("failure", UNKNOWN, ids=name)
async def test_what_may_have_happened_is_unknown(failure: Exception) -> None:
    assert type(await outcome(failure)) is CommitStateUnknownError


@pytest.mark.parametrize(("failure", "sentence"), UNAVAILABLE, ids=name)
async def test_what_cannot_have_happened_is_unavailable_and_explained(failure: Exception, sentence: str) -> None:
    error = await outcome(failure)
    assert type(error) is TableUnavailableError
    assert sentence in str(error)


@pytest.mark.parametrize("failure", BUGS, ids=name)
async def test_what_was_not_understood_is_a_fault_of_the_code(failure: Exception) -> None:
    assert type(await outcome(failure)) is UnexpectedAnswerError


@pytest.mark.parametrize("failure", TOO_LARGE, ids=name)
async def test_what_is_too_large_is_refused_as_such(failure: Exception) -> None:
    assert type(await outcome(failure)) is WritesTooLargeError


@pytest.mark.parametrize("failure", [*BUGS, *TOO_LARGE], ids=name)
async def test_what_was_rejected_has_certainly_not_happened(failure: Exception) -> None:
    error = await outcome(failure)
    assert isinstance(error, RequestRejectedError)
    assert not isinstance(error, CommitStateUnknownError)


async def test_a_failed_condition_is_a_refusal_by_position() -> None:
    reasons: list[dict[str, Any]] = [
        {"Code": "None"},
        {"Code": "ConditionalCheckFailed", "Item": {"model_name": {"S": "model"}, "version": {"N": "1"}}},
        {"Code": "TransactionConflict"},
        {"Code": "ConditionalCheckFailed"},
    ]
    error = await outcome(refusal("TransactionCanceledException", reasons=reasons))
    assert isinstance(error, ConditionFailedError)
    assert error.failed == [False, True, False, True]
    assert error.items == [None, {"model_name": "model", "version": 1}, None, None]


async def test_a_token_with_other_writes_is_a_fault_of_the_caller() -> None:
    assert type(await outcome(refusal("IdempotentParameterMismatchException"))) is ValueError


async def test_a_cancelled_caller_stays_cancelled() -> None:
    assert type(await outcome(asyncio.CancelledError())) is asyncio.CancelledError
    with pytest.raises(asyncio.CancelledError):
        await table(asyncio.CancelledError()).get(HERE)


@pytest.mark.parametrize("failure", [*CONTENDED[4:], *UNKNOWN, *(row[0] for row in UNAVAILABLE)], ids=name)
async def test_a_read_that_fails_is_unavailable(failure: Exception) -> None:
    broken = table(failure)
    reads = [broken.get(HERE), broken.get_many([HERE]), broken.query("model", limit=1), broken.scan(limit=1)]
    for read in [*reads, broken.query_index(CATALOG_INDEX, "models", limit=1)]:
        with pytest.raises(TableUnavailableError):
            await read


async def test_a_read_that_was_not_understood_is_a_fault_of_the_code() -> None:
    with pytest.raises(UnexpectedAnswerError):
        await table(refusal("ValidationException")).get(HERE)


@pytest.mark.parametrize(
    "message",
    [
        "The table does not have the specified index: catalog-index",
        "Cannot read from backfilling global secondary index: catalog-index",
    ],
)
async def test_an_index_that_is_missing_or_not_yet_built_is_explained(message: str) -> None:
    with pytest.raises(TableUnavailableError, match=r"index of table 'registry'.*run `modelkeep init`"):
        await table(refusal("ValidationException", message=message)).query_index(CATALOG_INDEX, "models", limit=1)


@pytest.mark.parametrize("failure", [*CONTENDED, *UNKNOWN, *(row[0] for row in UNAVAILABLE)], ids=name)
async def test_no_text_of_aws_gets_out(failure: Exception) -> None:
    assert SECRET not in str(await outcome(failure))


async def test_keys_that_were_left_out_are_asked_for_again() -> None:
    answers = iter(
        [
            {"Responses": {}, "UnprocessedKeys": {"registry": {"Keys": [{"model_name": {"S": "model"}}]}}},
            {"Responses": {"registry": [{"model_name": {"S": "model"}, "version": {"N": "1"}}]}, "UnprocessedKeys": {}},
        ]
    )
    assert await batched(answers).get_many([HERE]) == [{"model_name": "model", "version": 1}]


async def test_keys_that_are_left_out_again_and_again_are_unavailable() -> None:
    left_out = {"Responses": {}, "UnprocessedKeys": {"registry": {"Keys": [{"model_name": {"S": "model"}}]}}}
    with pytest.raises(TableUnavailableError, match="limited"):
        await batched(iter([left_out] * 100)).get_many([HERE])


def batched(answers: Any) -> DynamoDbTable:
    async def answer(**_: Any) -> Any:
        return next(answers)

    meta = SimpleNamespace(region_name="eu-west-1", endpoint_url="http://dynamodb.example")
    client: Any = SimpleNamespace(meta=meta, batch_get_item=answer)
    return DynamoDbTable(client, "registry")
