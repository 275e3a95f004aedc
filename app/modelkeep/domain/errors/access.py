"""The caller is not recognised, not allowed, or calls too often."""

from dataclasses import dataclass

from modelkeep.domain.errors.base import RegistryError


@dataclass(eq=False)
class UnauthenticatedError(RegistryError):
    """Nobody has been recognised."""


@dataclass(eq=False)
class CredentialsRequiredError(UnauthenticatedError):
    """No credentials came with the request."""

    def __str__(self) -> str:
        return (
            "Say who you are: send Authorization: Bearer, with a registry token or a token of a trusted issuer. The"
            " client takes it from MODELKEEP_TOKEN, MODELKEEP_TOKEN_FILE or GitHub (permissions: id-token: write)."
        )


@dataclass(eq=False)
class InvalidTokenError(UnauthenticatedError):
    """The token is unknown, altered or revoked, or no trusted issuer vouches for it.

    `reason` is a sentence that says which, and holds nothing of the token.
    """

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class TokenExpiredError(UnauthenticatedError):
    """The token has expired: get a new one."""

    expired_at: str

    def __str__(self) -> str:
        return f"The token expired at {self.expired_at}. Get a new one."


@dataclass(eq=False)
class ForbiddenError(RegistryError):
    """Not allowed."""


@dataclass(eq=False)
class ActionForbiddenError(ForbiddenError):
    """No grant lets `principal` do `action` on `model`, which is `*` for what is not about models."""

    action: str
    model: str
    principal: str

    def __str__(self) -> str:
        return f"'{self.principal}' may not do {self.action} on '{self.model}'. Ask who runs the registry for a grant."


@dataclass(eq=False)
class NoTrustRuleError(ForbiddenError):
    """The token is valid, and no trust rule matches its bearer."""

    principal: str

    def __str__(self) -> str:
        return (
            f"The token is valid, but no trust rule matches '{self.principal}'. `modelkeep access explain` shows"
            " which claim of which rule does not match."
        )


@dataclass(eq=False)
class ForeignOriginError(ForbiddenError):
    """The service asks nobody for credentials, and a page of another origin wants to change something.

    `origin` is as the browser wrote it; "" if it did not.
    """

    origin: str

    def __str__(self) -> str:
        return (
            "This service asks nobody for credentials (MODELKEEP_AUTH=none), so pages of other origins may change"
            " nothing. Use the command line, or let the service require credentials."
        )


@dataclass(eq=False)
class AuthenticationDisabledError(ForbiddenError):
    """The service asks nobody for credentials, so it makes no tokens and takes no trust rules."""

    def __str__(self) -> str:
        return (
            "This service asks nobody for credentials (MODELKEEP_AUTH=none), so it makes no tokens and takes no rules."
            " Let it require credentials, or run `modelkeep token create …` with `--direct` on the machine that has the"
            " storage."
        )


@dataclass(eq=False)
class SignatureMismatchError(ForbiddenError):
    """Local store: the URL was altered or cut short, or is used with another method than it was signed for."""

    def __str__(self) -> str:
        return "This URL is not as it was signed. Use it whole, with the method it came with, or ask for a new one."


@dataclass(eq=False)
class SignedHeaderMismatchError(ForbiddenError):
    """Local store: a header that came with the URL is missing or different."""

    header: str

    def __str__(self) -> str:
        return f"The header {self.header} is not the one that came with this URL. Send the headers exactly as given."


@dataclass(eq=False)
class UrlExpiredError(ForbiddenError):
    """Local store: the URL has expired; ask for a new one."""

    expired_at: str

    def __str__(self) -> str:
        return f"This URL expired at {self.expired_at}. Ask for a new one."


@dataclass(eq=False)
class ForeignHostError(RegistryError):
    """The service asks nobody for credentials, so it answers at loopback names and its public host alone."""

    host: str

    def __str__(self) -> str:
        return (
            "This service asks nobody for credentials (MODELKEEP_AUTH=none), so it answers only as localhost and at the"
            f" host of MODELKEEP_PUBLIC_URL, and '{self.host}' is neither. Set MODELKEEP_PUBLIC_URL to the address that"
            " callers use, or let the service require credentials."
        )


@dataclass(eq=False)
class TooManyRequestsError(RegistryError):
    """Over the rate limit of a principal, or of failed logins from an address; nothing was done."""

    what: str
    seconds: int

    def __str__(self) -> str:
        return f"Too many {self.what}. Try again in {self.seconds} s."

    @property
    def retry_after(self) -> int:
        """Seconds after which a repeat makes sense."""
        return self.seconds
