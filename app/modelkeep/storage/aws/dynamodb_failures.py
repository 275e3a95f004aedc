"""What a failure of DynamoDB means for a transaction: refused, in the way, unavailable, or not known.

Whatever may have reached DynamoDB without an answer is unknown, and so is an answer to a request that the SDK had sent
before: the earlier copy may have had effect, or may have it yet.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ClientError, ParamValidationError

from modelkeep.storage.attributes import decode
from modelkeep.storage.aws.errors import THROTTLED, UNSENT, Resource, code_of, explain, status_of, was_resent
from modelkeep.storage.table import (
    CommitStateUnknownError,
    ConditionFailedError,
    Item,
    TableUnavailableError,
    TransactionConflictError,
)

_CONDITION_MET: Final = "None"
_REFUSED: Final = "ConditionalCheckFailed"
_CONFLICT_CODES: Final = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
_CONTENTION: Final = THROTTLED | {"ReplicatedWriteConflictException", "TransactionConflictException"}
_PROGRAMMING_ERRORS: Final = frozenset({"ValidationException", "SerializationException", "UnknownOperationException"})
_REQUEST_TIMEOUT: Final = 408


class UnexpectedAnswerError(RuntimeError):
    """DynamoDB did not understand a request: a fault of this code, not of the caller or the table."""


def read_failure(error: Exception, resource: Resource) -> Exception:
    """Turn a failed read into what it means: `TableUnavailableError`, unless the request itself was wrong."""
    if _lacks_index(error):
        return TableUnavailableError(f"An index of {resource} is missing or still being built: run `modelkeep init`.")
    if _is_bug(error):
        return UnexpectedAnswerError(f"a read was not understood: {error}")
    return TableUnavailableError(explain(error, resource))


def write_failure(error: Exception, resource: Resource) -> Exception:
    """Turn a failed transaction into what it means."""
    if isinstance(error, ClientError):
        return _refusal(error, resource)
    if _is_bug(error):
        return UnexpectedAnswerError(f"a transaction was not understood: {error}")
    if isinstance(error, UNSENT):
        return TableUnavailableError(explain(error, resource))
    return CommitStateUnknownError(explain(error, resource))


def _lacks_index(error: Exception) -> bool:
    return isinstance(error, ClientError) and code_of(error) == "ValidationException" and "index" in str(error)


def _is_bug(error: Exception) -> bool:
    return isinstance(error, ParamValidationError) or (
        isinstance(error, ClientError) and code_of(error) in _PROGRAMMING_ERRORS
    )


def _refusal(error: ClientError, resource: Resource) -> Exception:
    code = code_of(error)
    if code == "TransactionCanceledException":
        return _cancellation(error, resource)
    if code == "IdempotentParameterMismatchException":
        return ValueError("the token was sent before with other writes")
    if _is_bug(error):
        return UnexpectedAnswerError(f"a transaction was not understood: {error}")
    if _may_have_happened(error):
        return CommitStateUnknownError(explain(error, resource))
    return (
        TransactionConflictError(explain(error, resource))
        if code in _CONTENTION
        else TableUnavailableError(explain(error, resource))
    )


def _may_have_happened(error: ClientError) -> bool:
    status = status_of(error)
    answered = 400 <= status < 500 and status != _REQUEST_TIMEOUT  # noqa: PLR2004 -- HTTP's own bounds
    in_progress = code_of(error) == "TransactionInProgressException"
    return was_resent(error) or in_progress or not answered


def _cancellation(error: ClientError, resource: Resource) -> Exception:
    reasons: Sequence[Any] = error.response.get("CancellationReasons", [])
    codes = {reason.get("Code", _CONDITION_MET) for reason in reasons} - {_CONDITION_MET}
    if _REFUSED in codes:
        return ConditionFailedError(
            [reason.get("Code") == _REFUSED for reason in reasons], [_item(reason) for reason in reasons]
        )
    if not codes or codes - _CONFLICT_CODES:
        return UnexpectedAnswerError(f"a transaction was cancelled for {sorted(codes)}: {error}")
    if was_resent(error):
        return CommitStateUnknownError(f"an earlier copy of the transaction may be under way in {resource}")
    return TransactionConflictError(f"other requests to {resource} were in the way")


def _item(reason: Mapping[str, Any]) -> Item | None:
    return decode(reason["Item"]) if reason.get("Item") else None
