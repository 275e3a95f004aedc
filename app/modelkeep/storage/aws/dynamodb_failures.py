"""What a failure of DynamoDB means: a condition failed, a conflict, the table unavailable, or the outcome unknown.

The outcome of a transaction is unknown if the request may have reached DynamoDB and no answer came. It is also unknown
if the SDK had sent the request before: the earlier copy may have taken effect, or may yet.

Source of the error codes: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ClientError, ParamValidationError

from modelkeep.storage.attributes import decode
from modelkeep.storage.aws.errors import THROTTLED, UNSENT, Resource, code_of, explain, status_of, was_resent
from modelkeep.storage.table import (
    CommitStateUnknownError,
    ConditionFailedError,
    Item,
    RequestRejectedError,
    TableUnavailableError,
    TransactionConflictError,
    WritesTooLargeError,
)

_CONDITION_MET: Final = "None"
_CONDITION_FAILED: Final = "ConditionalCheckFailed"
_CONFLICT_CODES: Final = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
_CONFLICT_ERRORS: Final = THROTTLED | {"ReplicatedWriteConflictException", "TransactionConflictException"}
_PROGRAMMING_ERRORS: Final = frozenset({"ValidationException", "SerializationException", "UnknownOperationException"})
_SIZE_ERRORS: Final = frozenset({"ItemCollectionSizeLimitExceededException"})
_REQUEST_TIMEOUT: Final = 408
_TOO_LARGE: Final = re.compile(r"ItemCollectionSizeLimit|\bsize\b.*\b(exceed|limit)", re.IGNORECASE | re.DOTALL)
"""Codes and sentences of validation errors that are about sizes."""


class UnexpectedAnswerError(RequestRejectedError):
    """DynamoDB rejected a request as invalid: a bug of this code, not of the caller or the table."""


def read_failure(error: Exception, resource: Resource) -> Exception:
    """The error to raise for a failed read: `TableUnavailableError`, unless the request itself was invalid."""
    if _lacks_index(error):
        return TableUnavailableError(f"An index of {resource} is missing or still being built: run `modelkeep init`.")
    if _is_bug(error):
        return UnexpectedAnswerError(f"DynamoDB rejected a read as invalid: {error}")
    return TableUnavailableError(explain(error, resource))


def write_failure(error: Exception, resource: Resource) -> Exception:
    """The error to raise for a failed transaction."""
    if isinstance(error, ClientError):
        return _client_error(error, resource)
    if _is_bug(error):
        return UnexpectedAnswerError(f"DynamoDB rejected a transaction as invalid: {error}")
    if isinstance(error, UNSENT):
        return TableUnavailableError(explain(error, resource))
    return CommitStateUnknownError(explain(error, resource))


def _lacks_index(error: Exception) -> bool:
    return isinstance(error, ClientError) and code_of(error) == "ValidationException" and "index" in str(error)


def _is_bug(error: Exception) -> bool:
    return isinstance(error, ParamValidationError) or (
        isinstance(error, ClientError) and code_of(error) in _PROGRAMMING_ERRORS
    )


def _client_error(error: ClientError, resource: Resource) -> Exception:
    code = code_of(error)
    if code == "TransactionCanceledException":
        return _cancellation(error, resource)
    if code == "IdempotentParameterMismatchException":
        return ValueError("the request token was sent before with other writes")
    if _is_bug(error) or code in _SIZE_ERRORS:
        return _rejection(f"DynamoDB rejected a transaction as invalid: {error}", code, str(error))
    if _may_have_taken_effect(error):
        return CommitStateUnknownError(explain(error, resource))
    return (
        TransactionConflictError(explain(error, resource))
        if code in _CONFLICT_ERRORS
        else TableUnavailableError(explain(error, resource))
    )


def _may_have_taken_effect(error: ClientError) -> bool:
    status = status_of(error)
    answered = 400 <= status < 500 and status != _REQUEST_TIMEOUT  # noqa: PLR2004 -- HTTP's own bounds
    in_progress = code_of(error) == "TransactionInProgressException"
    return was_resent(error) or in_progress or not answered


def _cancellation(error: ClientError, resource: Resource) -> Exception:
    reasons: Sequence[Any] = error.response.get("CancellationReasons", [])
    codes = {reason.get("Code", _CONDITION_MET) for reason in reasons} - {_CONDITION_MET}
    if _CONDITION_FAILED in codes:
        return ConditionFailedError(
            [reason.get("Code") == _CONDITION_FAILED for reason in reasons], [_item(reason) for reason in reasons]
        )
    if not codes or codes - _CONFLICT_CODES:
        messages = [str(reason.get("Message", "")) for reason in reasons]
        return _rejection(f"a transaction was cancelled for {sorted(codes)}: {error}", *codes, *messages)
    if was_resent(error):
        return CommitStateUnknownError(f"an earlier copy of the transaction may still be in progress in {resource}")
    return TransactionConflictError(f"the transaction conflicted with other requests to {resource}")


def _rejection(sentence: str, *causes: str) -> RequestRejectedError:
    is_size = any(_TOO_LARGE.search(cause) for cause in causes)
    return WritesTooLargeError(sentence) if is_size else UnexpectedAnswerError(sentence)


def _item(reason: Mapping[str, Any]) -> Item | None:
    return decode(reason["Item"]) if reason.get("Item") else None
