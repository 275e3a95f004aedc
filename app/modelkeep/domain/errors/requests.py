"""The request cannot be read, is not acceptable, or is too large."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from modelkeep.domain.errors.base import RegistryError


@dataclass(eq=False)
class LengthRequiredError(RegistryError):
    """Local store: the header `Content-Length` is missing."""

    def __str__(self) -> str:
        return "Send the Content-Length header that came with this URL, and the body without chunked encoding."


@dataclass(eq=False)
class RangeNotSatisfiableError(RegistryError):
    """Local store: the range begins behind the last byte."""

    size: int

    def __str__(self) -> str:
        return f"There are {self.size} bytes here, none of them in this range. If you hold them all, you are done."

    @property
    def content_range(self) -> str:
        """The Content-Range header that the answer must carry."""
        return f"bytes */{self.size}"


@dataclass(eq=False)
class MalformedError(RegistryError):
    """The request is no HTTP/1.1, or its body is no well-formed JSON."""

    def __str__(self) -> str:
        return "The request cannot be read. Send HTTP/1.1, and a body as well-formed JSON."


@dataclass(eq=False)
class InvalidCursorError(MalformedError):
    """The cursor was not issued for this list, or was altered."""

    def __str__(self) -> str:
        return "This cursor does not belong to this list. Start again without one."


@dataclass(eq=False)
class MalformedPathError(MalformedError):
    """The path holds escapes or bytes that no route accepts."""

    def __str__(self) -> str:
        return "The path holds escapes or bytes that no route accepts. Use plain names, each slash once."


@dataclass(eq=False)
class BodyMismatchError(MalformedError):
    """Local store: other bytes arrived than the URL admits, or not all of them; nothing was stored."""

    def __str__(self) -> str:
        return "The body does not have the declared length and SHA-256; nothing was stored. Send the declared bytes."


@dataclass(eq=False)
class InvalidError(RegistryError):
    """Readable, and not acceptable."""


@dataclass(eq=False)
class InvalidRequestError(InvalidError):
    """A value is outside its rules; `errors` lists `location` and `message` of each."""

    errors: Sequence[dict[str, str]]

    def __str__(self) -> str:
        first = self.errors[0]
        return f"{': '.join(filter(None, (first['location'], first['message'])))}."


@dataclass(eq=False)
class IdempotencyKeyReusedError(InvalidError):
    """The `Idempotency-Key` came with another request before."""

    def __str__(self) -> str:
        return "This Idempotency-Key was used for a different request. Use a new key for a new request."


_REGISTER_AGAIN: Final = "Register again, with a new Idempotency-Key: stored bytes stay, another number is given out."


@dataclass(eq=False)
class IntegrityError(InvalidError):
    """The stored bytes are not the declared ones."""


@dataclass(eq=False)
class SizeMismatchError(IntegrityError):
    """Another number of bytes is stored than was declared."""

    path: str
    declared: int
    stored: int

    def __str__(self) -> str:
        return f"'{self.path}' was declared as {self.declared} bytes; {self.stored} are stored. {_REGISTER_AGAIN}"


@dataclass(eq=False)
class ChecksumMismatchError(IntegrityError):
    """Other bytes are stored than were declared, or nothing shows that they are the declared ones."""

    path: str

    def __str__(self) -> str:
        return f"The stored bytes of '{self.path}' do not have the declared SHA-256. {_REGISTER_AGAIN}"


@dataclass(eq=False)
class ObjectPredatesUploadError(IntegrityError):
    """The bytes were stored before the upload was begun: they are of another version, which the table does not know."""

    path: str

    def __str__(self) -> str:
        return f"The bytes of '{self.path}' were stored before this upload was begun. {_REGISTER_AGAIN}"


@dataclass(eq=False)
class ReusedObjectChangedError(IntegrityError):
    """The bytes that an earlier version holds are not in storage as they were recorded: somebody has removed them."""

    path: str
    reused_from: int

    def __str__(self) -> str:
        return (
            f"The bytes of '{self.path}', which version {self.reused_from} holds, are not in storage as they were "
            f'recorded. Run `modelkeep check`, and register the files again with "reuse": false.'
        )


@dataclass(eq=False)
class TooLargeError(RegistryError):
    """Over a limit."""


@dataclass(eq=False)
class ArtifactTooLargeError(TooLargeError):
    """An artifact, or a version as a whole, is over its limit in bytes."""

    path: str | None
    size: int
    limit: int

    def __str__(self) -> str:
        subject = "The version" if self.path is None else f"'{self.path}'"
        return f"{subject} has {self.size} bytes; the limit here is {self.limit}."


@dataclass(eq=False)
class TooManyArtifactsError(TooLargeError):
    """More than 1,000 artifacts."""

    count: int
    limit: int

    def __str__(self) -> str:
        return (
            f"{self.count} artifacts; a version has at most {self.limit}."
            " Register the folder as one archive (--zip, or as_zip=True), or leave some out."
        )


@dataclass(eq=False)
class MetadataTooLargeError(TooLargeError):
    """Metrics, tags, aliases or the item of a version are over a limit; `what` names it and its unit."""

    what: str
    size: int
    limit: int

    def __str__(self) -> str:
        return f"{self.size} {self.what}; the limit is {self.limit}. Shorten, or bundle small files into an archive."


@dataclass(eq=False)
class RequestTooLargeError(TooLargeError):
    """The request body has more than `limit` bytes (2 MiB)."""

    limit: int

    def __str__(self) -> str:
        return f"A request body has at most {self.limit} bytes."


@dataclass(eq=False)
class HeaderFieldsTooLargeError(TooLargeError):
    """Target and headers, trailers included, have more than `limit` bytes (32 KiB)."""

    limit: int

    def __str__(self) -> str:
        return f"Target and headers of a request have at most {self.limit} bytes together. Send fewer or shorter ones."


@dataclass(eq=False)
class RequestTimeoutError(RegistryError):
    """The body did not arrive within 30 s (local store: no byte of it for 60 s); nothing was done."""

    def __str__(self) -> str:
        return "The body of the request did not arrive in time, and nothing was done. Send it again, without pauses."
