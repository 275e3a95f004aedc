"""What all requests and answers have in common."""

from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from modelkeep.domain.values import PresignedUrl

T = TypeVar("T")

MAX_DESCRIPTION_BYTES = 4 * 1024
MAX_COMMENT_BYTES = 1024

_PRINTABLE: Final[JsonDict] = {"pattern": r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f]*$"}


class Request(BaseModel):
    """A body that callers send: unknown fields and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Answer(BaseModel):
    """A body that the service sends; the client ignores fields that it does not know."""

    model_config = ConfigDict(extra="ignore")


class PageResponse(Answer, Generic[T]):
    """One page of a list; `next_cursor` continues it and is null at the end. Each list has a subclass of its own."""

    items: list[T]
    next_cursor: str | None


class PresignedUrlResponse(Answer):
    """Send exactly these headers with this method before `expires_at`.

    A body that is sent must have a known length: S3 answers a chunked one (a pipe, a generator) with a bare 403.
    """

    method: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


def presigned(url: PresignedUrl) -> dict[str, Any]:
    """The fields of a presigned URL (`method`, `url`, `headers`, `expires_at`), for an answer that includes them."""
    return {"method": url.method, "url": url.url, "headers": dict(url.headers), "expires_at": url.expires_at}


def _check_text(text: str, limit: int) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("this text has lone surrogates, which are no characters")
    if len(text.encode()) > limit:
        raise ValueError(f"this text has at most {limit} bytes")
    if any(character < " " and character not in "\t\n\r" for character in text):
        raise ValueError("this text has no control characters but tabs and line breaks")
    return text


Description = Annotated[
    str,
    AfterValidator(lambda text: _check_text(text, MAX_DESCRIPTION_BYTES)),
    Field(max_length=MAX_DESCRIPTION_BYTES, json_schema_extra=_PRINTABLE),
]
Comment = Annotated[
    str,
    AfterValidator(lambda text: _check_text(text, MAX_COMMENT_BYTES)),
    Field(max_length=MAX_COMMENT_BYTES, json_schema_extra=_PRINTABLE),
]
Name = Annotated[
    str,
    AfterValidator(lambda text: _check_text(text, 256)),
    Field(min_length=1, max_length=128, json_schema_extra=_PRINTABLE),
]
"""A metric's or a tag's name, or the id of a run."""
TagValue = Annotated[
    str, AfterValidator(lambda text: _check_text(text, 2048)), Field(max_length=1024, json_schema_extra=_PRINTABLE)
]
