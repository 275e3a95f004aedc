"""What the client raises: the registry's own errors, rebuilt from its problems, and errors of the client itself.

RegistryError
├── every class of `modelkeep.domain.errors`: by the problem's code, with the problem's fields
├── UnknownProblemError      the registry refused with a code that this client does not know
├── UnreachableError         no answer from the registry, or from its storage
│   └── NotARegistryError    something else answers at this address
├── TransferRefusedError     storage refused bytes or a URL, and would again
├── NoTokenError             no token can be obtained from the client's source
├── LocalFileError           a file or folder on this machine cannot be used
├── ChangedFileError         a file changed while it was being registered
└── DamagedDownloadError     the bytes that arrived are not those of the version
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from modelkeep.client.addresses import DEFAULT_URL
from modelkeep.domain import errors
from modelkeep.domain.errors import IntegrityError, RegistryError
from modelkeep.kit.text import escaped


@dataclass(eq=False)
class UnknownProblemError(RegistryError):
    """A problem of a newer registry, or of a proxy in front of it. `problem` is the whole body."""

    status: int
    problem: Mapping[str, Any]

    def __str__(self) -> str:
        return str(self.problem.get("detail") or f"The registry refused with status {self.status}.")


@dataclass(eq=False)
class UnreachableError(RegistryError):
    """No answer after all retries. `reason` is the failure of the last attempt."""

    url: str
    reason: str

    def __str__(self) -> str:
        advice = "Check the address, and that the service runs."
        if self.url == DEFAULT_URL:
            advice = "It is the default: set MODELKEEP_URL to another address, or start `modelkeep dev` here."
        return f"No answer from {self.url}: {self.reason}. {advice}"


@dataclass(eq=False)
class NotARegistryError(UnreachableError):
    """Something else than a model registry answers."""

    @classmethod
    def code(cls) -> str:
        """Two capitals in a row are two words."""
        return "not_a_registry"

    def __str__(self) -> str:
        return f"{self.url} does not answer like a model registry: {self.reason}. Check --url or MODELKEEP_URL."


@dataclass(eq=False)
class TransferRefusedError(RegistryError):
    """Storage refuses to take or to send these bytes. `reason` is its own code; no URL is shown."""

    path: str
    status: int
    reason: str

    def __str__(self) -> str:
        return f"Storage refused '{self.path}' with status {self.status} ({self.reason})."


@dataclass(eq=False)
class NoTokenError(RegistryError):
    """The source of the client's token has none, so nothing was sent to the registry."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"No token from {self.source}: {self.reason}."


@dataclass(eq=False)
class LocalFileError(RegistryError):
    """A file or folder on this machine cannot be used; `reason` says why and what to do."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"'{escaped(str(self.path))}' {self.reason}"


@dataclass(eq=False)
class ChangedFileError(IntegrityError):
    """A file has changed since it was hashed."""

    path: str

    def __str__(self) -> str:
        return (
            f"'{escaped(self.path)}' changed while it was being registered. Let its writer finish, and register again."
        )


@dataclass(eq=False)
class DamagedDownloadError(IntegrityError):
    """Other bytes arrived than those of the version, and were removed. `received` is empty if their number differs."""

    path: str
    expected: str
    received: str

    def __str__(self) -> str:
        found = f"have SHA-256 {self.received}, not {self.expected} as" if self.received else "are not those"
        return (
            f"The bytes that came for '{self.path}' {found} registered."
            " They were removed; something between storage and this machine alters them, or storage is damaged."
        )


def _subclasses(base: type[RegistryError]) -> Iterator[type[RegistryError]]:
    for each in base.__subclasses__():
        yield from _subclasses(each)
        yield each


_BY_CODE = {each.code(): each for each in _subclasses(RegistryError) if each.__name__ in errors.__all__}


def from_problem(status: int, problem: Mapping[str, Any]) -> RegistryError:
    """The error that the registry raised, with its fields. The request's id is added as a note."""
    error = _rebuild(problem) or UnknownProblemError(status, problem)
    if problem.get("request_id"):
        error.add_note(f"request_id {problem['request_id']}")
    return error


def code_of(error: RegistryError) -> str:
    """The stable code of an error; for a problem that this client does not know, the registry's code."""
    if isinstance(error, UnknownProblemError):
        return str(error.problem.get("code") or error.code())
    return error.code()


def _rebuild(problem: Mapping[str, Any]) -> RegistryError | None:
    """The error of a problem's code, or `None` if it is unknown or the problem does not have the error's fields."""
    known = _BY_CODE.get(str(problem.get("code")))
    if known is None:
        return None
    try:
        error = TypeAdapter(known).validate_python({"reason": problem.get("detail"), **problem})
        return error if str(error) else None
    except (ValidationError, LookupError):
        return None
