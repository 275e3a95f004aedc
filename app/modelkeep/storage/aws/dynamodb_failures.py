"""What a failure of DynamoDB means for a transaction: refused, in the way, unavailable, or not known.

Whatever may have reached DynamoDB without an answer is unknown, and so is an answer to a request that the SDK had sent
before: the earlier copy may have had effect, or may have it yet.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ClientError, ParamValidationError

from modelkeep.storage.attributes import decode
from modelkeep.storage.aws.errors import THROTTLED, UNSENT, Resource, code_of, explain, status_of, was_resent
from modelkeep.storage.table import Contended, Item, OutcomeUnknown, Refused, Unavailable

_HELD: Final = "None"
_REFUSED: Final = "ConditionalCheckFailed"
_IN_THE_WAY: Final = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
_CONTENTION: Final = THROTTLED | {"ReplicatedWriteConflictException", "TransactionConflictException"}
_BUGS: Final = frozenset({"ValidationException", "SerializationException", "UnknownOperationException"})
_REQUEST_TIMEOUT: Final = 408


class UnexpectedAnswerError(RuntimeError):
    """DynamoDB did not understand a request: a fault of this code, not of the caller or the table."""


def read_failure(error: Exception, resource: Resource) -> Exception:
    """Turn a failed read into what it means: `Unavailable`, unless the request itself was wrong."""
    if _lacks_index(error):
        return Unavailable(f"An index of {resource} is missing or still being built: run `modelkeep init`.")
    if _is_bug(error):
        return UnexpectedAnswerError(f"a read was not understood: {error}")
    return Unavailable(explain(error, resource))


def write_failure(error: Exception, resource: Resource) -> Exception:
    """Turn a failed transaction into what it means."""
    if isinstance(error, ClientError):
        return _refusal(error, resource)
    if _is_bug(error):
        return UnexpectedAnswerError(f"a transaction was not understood: {error}")
    if isinstance(error, UNSENT):
        return Unavailable(explain(error, resource))
    return OutcomeUnknown(explain(error, resource))


def _lacks_index(error: Exception) -> bool:
    return isinstance(error, ClientError) and code_of(error) == "ValidationException" and "index" in str(error)


def _is_bug(error: Exception) -> bool:
    return isinstance(error, ParamValidationError) or (isinstance(error, ClientError) and code_of(error) in _BUGS)


def _refusal(error: ClientError, resource: Resource) -> Exception:
    code = code_of(error)
    if code == "TransactionCanceledException":
        return _cancellation(error, resource)
    if code == "IdempotentParameterMismatchException":
        return ValueError("the token was sent before with other writes")
    if _is_bug(error):
        return UnexpectedAnswerError(f"a transaction was not understood: {error}")
    if _may_have_happened(error):
        return OutcomeUnknown(explain(error, resource))
    return Contended(explain(error, resource)) if code in _CONTENTION else Unavailable(explain(error, resource))


def _may_have_happened(error: ClientError) -> bool:
    status = status_of(error)
    answered = 400 <= status < 500 and status != _REQUEST_TIMEOUT  # noqa: PLR2004 -- HTTP's own bounds
    in_progress = code_of(error) == "TransactionInProgressException"
    return was_resent(error) or in_progress or not answered


def _cancellation(error: ClientError, resource: Resource) -> Exception:
    reasons: Sequence[Any] = error.response.get("CancellationReasons", [])
    codes = {reason.get("Code", _HELD) for reason in reasons} - {_HELD}
    if _REFUSED in codes:
        return Refused([reason.get("Code") == _REFUSED for reason in reasons], [_item(reason) for reason in reasons])
    if not codes or codes - _IN_THE_WAY:
        return UnexpectedAnswerError(f"a transaction was cancelled for {sorted(codes)}: {error}")
    if was_resent(error):
        return OutcomeUnknown(f"an earlier copy of the transaction may be under way in {resource}")
    return Contended(f"other requests to {resource} were in the way")


def _item(reason: Mapping[str, Any]) -> Item | None:
    return decode(reason["Item"]) if reason.get("Item") else None
