"""Asking AWS for one setting of a table or a bucket, which the role may lack the right to see."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore.exceptions import ClientError

from modelkeep.domain.errors import UnavailableError
from modelkeep.storage.aws.errors import FAILURES, Resource, code_of, explain, is_denied, status_of

_UNSUPPORTED: Final = frozenset(
    {"MethodNotAllowed", "NotImplemented", "UnknownOperation", "UnknownOperationException", "XNotImplemented"}
)
_NOT_IMPLEMENTED: Final = 501


class SettingUnreadableError(Exception):
    """The role may not read the setting; the message says what it lacks."""


class SettingUnsupportedError(Exception):
    """The server, which is not AWS, has no such setting."""


def is_unsupported(error: ClientError) -> bool:
    """Whether the server does not know the operation."""
    return code_of(error) in _UNSUPPORTED or status_of(error) == _NOT_IMPLEMENTED


@contextmanager
def reading_setting(resource: Resource) -> Iterator[None]:
    """Convert failures. Raises `SettingUnreadableError`, `SettingUnsupportedError`, `UnavailableError`."""
    try:
        yield
    except ClientError as error:
        if is_unsupported(error):
            raise SettingUnsupportedError from None
        if is_denied(error):
            raise SettingUnreadableError(explain(error, resource)) from error
        raise UnavailableError(explain(error, resource)) from error
    except FAILURES as error:
        raise UnavailableError(explain(error, resource)) from error
